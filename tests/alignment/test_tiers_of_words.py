"""Words in word tiers: a plain word is a word, one spelling for equal words, and tiers are known by name, not by place."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest

from analysis.alignment import Alignment, align_cached, make_aligner, read_textgrid, write_textgrid
from analysis.alignment.textgrid import inventory_of
from analysis.alignment.tiers import Tier, write_tiers
from analysis.config import cache_folder
from analysis.corpus import open_corpus
from analysis.corpus.labels import read_labels, transcript_of_textgrid
from analysis.corpus.utterance import Utterance
from analysis.phonology import load_inventory, token_table
from analysis.timebase import Interval

SAID = "a breath of noise broke the silence after the pause".split()


def utterance(text="the ship", duration=1.0):
    return Utterance("u", "u.wav", text, "s", duration, 16000)


def one_tier(name, labels, step=0.1):
    return Tier(name, True, tuple((round(i * step, 3), round((i + 1) * step, 3), label) for i, label in enumerate(labels)))


def test_words_that_name_noises_stay_and_marks_go(tmp_path):
    words = one_tier("words", ["", *SAID, "sp", "<unk>", "[noise]", ",", "{LG}", "sil"])
    phones = one_tier("phones", ["sil", "noise", "breath", "IH1", "spn", "lg", "Z"])
    path = write_tiers([words, phones], tmp_path / "u.TextGrid", xmax=1.7)
    found = read_textgrid(path)
    assert [word.label for word in found.words] == SAID
    assert [phone.label for phone in found.phones] == ["IH1", "Z"]
    assert transcript_of_textgrid(path) == (" ".join(SAID), True)


def test_label_files_of_words_keep_words(tmp_path):
    (tmp_path / "u.wrd").write_text("0 10 h#\n10 20 noise\n20 30 pause\n")
    (tmp_path / "u.phn").write_text("0 10 h#\n10 20 noise\n20 30 ih\n")
    (tmp_path / "u.words").write_text("#\n0.1 122 <SIL>; S; S; null\n0.2 122 silence; S; S; NN\n")
    assert [one.label for one in read_labels(tmp_path / "u.wrd")] == ["noise", "pause"]
    assert [one.label for one in read_labels(tmp_path / "u.phn")] == ["ih"]
    assert [one.label for one in read_labels(tmp_path / "u.words")] == ["silence"]


@pytest.mark.parametrize("order", list(permutations(["ORT-MAU", "KAN-MAU", "MAU", "TRN"])))
def test_webmaus_tiers_are_known_by_name(tmp_path, order):
    tiers = {
        "ORT-MAU": one_tier("ORT-MAU", ["the", "ship"], 0.5),
        "KAN-MAU": one_tier("KAN-MAU", ["D@", "SIp"], 0.5),
        "MAU": one_tier("MAU", ["D", "@", "S", "I", "p"], 0.2),
        "TRN": one_tier("TRN", ["the ship"], 1.0),
    }
    found = read_textgrid(write_tiers([tiers[name] for name in order], tmp_path / "u.TextGrid", xmax=1.0))
    assert [word.label for word in found.words] == ["the", "ship"]
    assert [phone.label for phone in found.phones] == ["D", "@", "S", "I", "p"]


def test_canonical_words_are_never_phones(tmp_path):
    tiers = [one_tier("ORT-MAU", ["the", "ship"]), one_tier("KAN-MAU", ["D@", "SIp"])]
    found = read_textgrid(write_tiers(tiers, tmp_path / "u.TextGrid", xmax=1.0))
    assert [word.label for word in found.words] == ["the", "ship"] and found.phones == ()


def test_word_types_are_compared_without_case_punctuation_and_apostrophe_form():
    labels = ["Sheep", "sheep,", "“sheep”", "Don’t", "don't.", "DON´T"]
    step, words, phones = 0.2, [], []
    for i, label in enumerate(labels):
        words.append(Interval(i * step, (i + 1) * step, label))
        phones.append(Interval(i * step, (i + 1) * step, "AH"))
    alignment = Alignment("u", tuple(words), tuple(phones), 1.2, "test")
    tokens, failures = token_table([utterance(duration=1.2)], [alignment], "word")
    assert tokens["type"].tolist() == tokens["word"].tolist() == ["sheep"] * 3 + ["don't"] * 3 and not failures
    whole, _ = token_table([utterance(duration=1.2)], [alignment], "utterance")
    assert whole["type"].tolist() == ["sheep sheep sheep don't don't don't"]


@pytest.mark.parametrize("unit", ["syllable", "word", "phone", "utterance"])
def test_phones_without_words_are_a_failure(unit):
    alignment = Alignment("u", (), (Interval(0, 0.1, "SH"), Interval(0.1, 0.2, "IY1")), 1.0, "test")
    nothing = Alignment("v", (Interval(0, 0.5, "sil"),), (), 1.0, "test")
    tokens, failures = token_table(
        [utterance(), Utterance("v", "v.wav", "the ship", "s", 1.0, 16000)], [alignment, nothing], unit
    )
    assert tokens.empty
    remedy = "Add a tier of words, name the one there is with words_tier, or align this recording again."
    assert [(one.stage, one.item, one.reason, one.remedy, one.severity) for one in failures] == [
        (
            "phonology", "u", f"its alignment has 2 phones and no words, so that no {unit} can be read from it.", remedy,
            "error",
        ),
        (
            "phonology", "v", f"its alignment has neither words nor phones, so that no {unit} can be read from it.", remedy,
            "error",
        ),
    ]  # fmt: skip


def test_sampa_is_not_taken_for_arpabet():
    strengths = "S t r E N T s".split()
    assert inventory_of(strengths) == "unknown" and inventory_of("DH AH0 sp SH IH1 P sil".split()) == "arpabet"
    assert inventory_of("dh ax sh ih p".split()) == "arpabet" and inventory_of(["sil", "sp"]) == "arpabet"
    words = (Interval(0.0, 0.2, "the"), Interval(0.2, 0.5, "ship"))
    phones = tuple(Interval(i / 10, (i + 1) / 10, label) for i, label in enumerate(["D", "@", "S", "I", "p"]))
    [tokens, failures] = token_table([utterance()], [Alignment("u", words, phones, 1.0, "test", inventory="sampa")], "word")
    assert tokens["phones"].tolist() == ["DH AX", "SH IH P"] and not failures
    [tokens, [failure]] = token_table([utterance()], [Alignment("u", words, phones, 1.0, "test", inventory="unknown")], "word")
    assert tokens.empty and (failure.reason, failure.remedy) == (
        "its phones ('D', '@', 'S', 'I', 'p') are in no inventory that could be told.",
        "Name the inventory of the alignments (--inventory, such as sampa for WebMAUS's English), or align again.",
    )
    sampa = load_inventory("sampa")
    assert sampa.split("T") == ("TH", -1) and sampa.split("t") == ("T", -1) and not sampa.knows("B")


def test_capitals_and_full_stops_change_no_type(demo, tmp_path):
    part = demo.utterances[:24]
    aligned = list(align_cached(make_aligner("pocketsphinx"), part, cache_folder("alignments")))
    for one in aligned:
        words = [
            replace(word, label=word.label.upper() if i else f"“{word.label.capitalize()}”") for i, word in enumerate(one.words)
        ]
        words[-1] = replace(words[-1], label=words[-1].label + ".")
        write_textgrid(replace(one, words=tuple(words)), tmp_path / f"{one.utterance_id}.TextGrid")
    again = list(make_aligner("textgrid", folder=tmp_path).align(part))
    for unit in ("word", "syllable"):
        [before, _], [after, _] = token_table(part, aligned, unit), token_table(part, again, unit)
        assert before["type"].tolist() == after["type"].tolist() and before["stress"].tolist() == after["stress"].tolist()


def test_the_reported_alignments(shared_cases, tmp_path):
    corpus = open_corpus(shared_cases / "speech" / "mau")
    found = list(make_aligner("textgrid", folder=shared_cases / "speech" / "mau_tg").align(corpus.utterances))
    assert {tuple(word.label for word in one.words) for one in found} == {("the", "ship", "is", "near", "the", "sheep")}
    assert {one.phones[2].label for one in found} == {"S"}, "from MAU; KAN-MAU has SIp there"
    grids = shared_cases / "speech" / "textgrids"
    phoneonly = next(item for item in open_corpus(grids) if item.id == "phoneonly")
    [alignment] = make_aligner("textgrid", folder=grids).align([phoneonly])
    tokens, [failure] = token_table([phoneonly], [alignment], "word")
    assert tokens.empty and failure.reason == ("its alignment has 15 phones and no words, so that no word can be read from it.")
    [noise] = open_corpus(shared_cases / "speech" / "noise2")
    [aligned] = make_aligner("pocketsphinx").align([noise])
    write_textgrid(aligned, tmp_path / "n.TextGrid")
    [again] = make_aligner("textgrid", folder=tmp_path).align([noise])
    assert [word.label for word in again.words] == [word.label for word in aligned.words] == SAID
