"""Lexicons of one's own and of other languages: what reaches the aligner, the syllables and the pairs; bad ones in words."""

from __future__ import annotations

import pytest

from analysis.alignment import Alignment, make_aligner, named_options, options_for
from analysis.alignment.pronunciation import Pronouncer, find_lexicon
from analysis.corpus.utterance import Corpus, Utterance
from analysis.errors import ConfigurationError, CorpusError, LexiconError, SeparationError
from analysis.phonology import load_lexicon, near_homophones, token_table
from analysis.phonology.from_corpus import syllables
from analysis.timebase import Interval


def message(kind, call, *arguments, **options):
    with pytest.raises(kind) as error:
        call(*arguments, **options)
    return str(error.value)


def said(name, words, inventory):
    """Words one after the other, a tenth of a second for each phone."""
    intervals, phones, position = [], [], 0.0
    for word, pronunciation in words:
        start = position
        for label in pronunciation.split():
            phones.append(Interval(round(position, 3), round(position + 0.1, 3), label))
            position += 0.1
        intervals.append(Interval(round(start, 3), round(position, 3), word))
    return Alignment(name, tuple(intervals), tuple(phones), round(position, 3), "test", inventory=inventory)


def test_names_files_and_inventories(tmp_path):
    own = tmp_path / "own.dict"
    own.write_text("zorb(2) Z AO1 R B\nzorb 0.9 0.1 Z ER1 B\n# comment\n;;; comment\n")
    assert find_lexicon(None) == find_lexicon("cmudict") == (None, "arpabet")
    assert find_lexicon("mandarin")[1] == "mandarin" and find_lexicon("mandarin")[0].name == "lexicon.txt"
    assert find_lexicon(own) == (own, "arpabet") and find_lexicon(own, "ipa") == (own, "ipa")
    pronounce = Pronouncer(own)
    assert [one.phones for one in pronounce("zorb")] == [("Z", "AO1", "R", "B"), ("Z", "ER1", "B")]
    assert pronounce("sheep")[0].source == "cmudict", "what one's own lexicon lacks is looked up in CMUdict"
    mandarin = Pronouncer("mandarin")
    assert mandarin("妈")[0].phones == ("m", "a", "˥") and mandarin("sheep") == [] and not mandarin.known("sheep")


def test_settings_become_options_of_each_aligner(tmp_path):
    own = tmp_path / "own.dict"
    own.write_text("zorb Z AO1 R B\n")
    assert options_for("pocketsphinx", workers=2) == {"workers": 2}
    assert options_for("pocketsphinx", lexicon=str(own)) == {"workers": 1, "lexicon": str(own)}
    assert options_for("ctc", lexicon="mandarin", device="cpu") == {
        "device": "cpu",
        "lexicon": "mandarin",
        "inventory": "mandarin",
    }
    assert options_for("mfa", lexicon=str(own), inventory="ipa") == {"num_jobs": 1, "dictionary": own, "inventory": "ipa"}
    assert options_for("textgrid", lexicon="mandarin") == options_for("labels", lexicon="mandarin") == {"inventory": "mandarin"}
    assert options_for("textgrid") == {}
    assert named_options(["model=a=b", "text=english"]) == {"model": "a=b", "text": "english"}
    assert message(ConfigurationError, named_options, ["model"]) == (
        "An option of an aligner is written NAME=VALUE, such as model=DIR, not 'model'."
    )


def test_mandarin_textgrids_become_syllables_and_pairs():
    words = [("妈", "m a ˥"), ("怕", "pʰ a ˥˩"), ("爸", "p a ˥˩")]
    alignments = {f"u{i}": said(f"u{i}", words, "mandarin") for i in range(4)}
    corpus = Corpus("c", tuple(Utterance(name, "a.wav", "妈 怕 爸", "s", 0.9, 16000) for name in alignments))
    tokens = syllables(corpus, alignments, lexicon="mandarin")
    pairs = near_homophones(tokens, lexicon="mandarin")
    assert set(tokens["type"]) == {"m a ˥", "pʰ a ˥˩", "p a ˥˩"} and not tokens.failures and tokens.inventory == "mandarin"
    near = pairs[pairs["relation"] == "near_homophone"].iloc[0]
    assert {near["type_a"], near["type_b"]} == {"pʰ a ˥˩", "p a ˥˩"}
    assert (near["edit_class"], near["phone_distance"]) == ("aspiration", pytest.approx(1 / 3))


def test_stress_comes_from_ones_own_lexicon_first(tmp_path):
    own = tmp_path / "own.dict"
    own.write_text("record R AH0 K AO1 R D\n")
    alignment = said("u", [("record", "R AH K AO R D"), ("tickle", "T IH K AH L")], "arpabet")
    utterances = [Utterance("u", "a.wav", "record tickle", "s", 1.1, 16000)]
    tokens, _ = token_table(utterances, [alignment], lexicon=load_lexicon(str(own)))
    assert tokens["stress"].tolist() == [0, 1, 1, 0]
    without, _ = token_table(utterances, [alignment], lexicon=None)
    assert without["stress"].tolist() == [-1, -1, -1, -1]


def test_unknown_phones_are_one_failure_an_utterance():
    utterances = [Utterance(name, "a.wav", "x", "s", 0.3, 16000) for name in ("a", "b")]
    tokens, failures = token_table(utterances, [said("a", [("x", "Q1 Q2")], "unknown"), said("b", [("sea", "S IY1")], "arpabet")])
    assert tokens["word"].tolist() == ["sea"]
    assert [(one.item, one.reason, one.remedy) for one in failures] == [
        (
            "a", "its phones ('Q1', 'Q2') are in no inventory that could be told.",
            "Name the inventory of the alignments (--inventory, such as sampa for WebMAUS's English), or align again.",
        )
    ]  # fmt: skip
    mixed = {"a": said("a", [("妈", "m a ˥")], "mandarin"), "b": said("b", [("sea", "S IY1")], "arpabet")}
    corpus = Corpus("c", tuple(utterances))
    assert message(CorpusError, syllables, corpus, mixed) == (
        "The alignments are in different phones: arpabet, mandarin. Pairs can be formed within one inventory only: name it with "
        "--inventory, or analyse the corpora apart."
    )
    one = {"b": mixed["b"]}
    with pytest.raises(SeparationError):
        near_homophones(syllables(corpus, one))


def test_bad_lexicons_say_what_is_wrong(tmp_path):
    assert message(LexiconError, find_lexicon, "klingon") == (
        "There is no lexicon 'klingon'. Choose one of cmudict, mandarin, or give a file."
    )
    path = tmp_path / "own.dict"
    path.write_text("sheep\n")
    assert message(LexiconError, Pronouncer, path) == (
        f"{path}, line 1: 'sheep' has no phones. Write the word, then its phones, in one line."
    )
    path.write_text("sheep ʃ iː p\n")
    assert message(LexiconError, Pronouncer, path).startswith(
        f"{path}: the word 'sheep' has the phone 'ʃ', which is not ARPAbet. ARPAbet is AA AE "
    )
    path.write_bytes(b"caf\xe9 K AE1 F\n")
    assert message(LexiconError, Pronouncer, path) == (
        f"{path} is not UTF-8 text (invalid continuation byte at byte 3). Save it as UTF-8."
    )
    assert message(ConfigurationError, make_aligner, "pocketsphinx", lexicon="mandarin") == (
        "The pocketsphinx aligner hears English only, and the lexicon mandarin is in the phones of mandarin. "
        "For other languages take the aligner mfa or ctc, or read TextGrids."
    )
    assert message(ConfigurationError, make_aligner, "pocketsphinx", workers=0) == (
        "The pocketsphinx aligner needs at least 1 worker, not 0."
    )
    assert message(ConfigurationError, make_aligner, "ctc") == (
        "The aligner ctc needs the option 'model'. Its options: model, revision, vocabulary, lexicon, inventory, text, device, "
        "batch_seconds."
    )
