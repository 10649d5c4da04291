"""A long recording with a transcript without times becomes utterances; what does not agree is a failure."""

from __future__ import annotations

import csv
import math
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from analysis.alignment import Alignment, align_cached, make_aligner
from analysis.alignment.__main__ import main
from analysis.alignment.long_recordings import Heard, _matched, language_model, segments
from analysis.corpus import open_corpus, read_audio
from analysis.corpus.utterance import Utterance
from analysis.errors import Failure


@pytest.fixture(scope="module")
def talk(demo, tmp_path_factory):
    """16 sentences of two speakers with pauses between them in one file; and where each of them is."""
    folder = tmp_path_factory.mktemp("long") / "ann"
    folder.mkdir()
    speakers = sorted({one.speaker for one in demo})
    chosen = [one for one in demo if one.speaker in (speakers[0], speakers[3])]
    chosen = list({one.text: one for one in chosen}.values())[:16]
    rng = np.random.default_rng(0)
    sound, places, position = [], [], 0
    for one in chosen:
        samples = read_audio(one, 16000)
        pause = (1e-4 * rng.normal(size=int(16000 * rng.uniform(0.2, 0.7)))).astype(np.float32)
        places.append((position / 16000, (position + len(samples)) / 16000, one.text, one))
        sound += [samples, pause]
        position += len(samples) + len(pause)
    soundfile.write(folder / "talk.wav", np.concatenate(sound), 16000)
    (folder / "talk.lab").write_text(" ".join(text for _, _, text, _ in places))
    (whole,) = open_corpus(folder.parent)
    return whole, places


@pytest.fixture(scope="module")
def aligner():
    return make_aligner("pocketsphinx")


@pytest.fixture(scope="module")
def parts(talk, aligner):
    return list(segments(talk[0], aligner))


def test_segments_hold_all_words_at_their_times(talk, parts):
    whole, places = talk
    found = parts
    assert all(isinstance(one, Utterance) for one in found)
    assert " ".join(one.text for one in found) == whole.text, "every word is in one segment, in order"
    assert found[0].start == 0.0 and found[-1].end == pytest.approx(whole.duration)
    assert all(one.duration <= 20 and one.is_part and one.audio == whole.audio for one in found)
    assert len(found) >= 6
    # each segment holds whole sentences or pieces of one, and its times are theirs
    position = 0
    words = [(word, start, end) for start, end, text, _ in places for word in text.split()]
    for one in found:
        held = words[position : position + len(one.text.split())]
        position += len(held)
        assert one.start <= held[0][2] and one.end >= held[-1][1]
        assert all(start < one.end and end > one.start for _, start, end in held)


@pytest.mark.slow
def test_words_of_segments_are_where_they_are_in_the_single_recordings(talk, parts, aligner):
    part, (_, places) = parts, talk
    together = [
        (word.label, one.start + word.start)
        for one, outcome in zip(part, aligner.align(part), strict=True)
        for word in outcome.words
    ]
    alone = [(word.label, start + word.start) for start, _, _, one in places for word in next(iter(aligner.align([one]))).words]
    assert [word for word, _ in together] == [word for word, _ in alone]
    shifts = np.array([abs(a - b) for (_, a), (_, b) in zip(together, alone, strict=True)])
    assert np.mean(shifts <= 0.05) >= 0.95


def test_what_the_transcript_lacks_adds_or_swaps_is_a_failure_and_the_rest_is_kept(talk, aligner):
    whole, places = talk
    texts = [text for _, _, text, _ in places]
    wrong = (
        "Seventeen purple engines quietly gathered underneath forgotten harbour lights beyond winter mountains every Thursday."
    )
    texts[10] = f"{wrong} {wrong} {wrong}"
    found = list(segments(replace(whole, text=" ".join(texts)), aligner))
    failures = [one for one in found if isinstance(one, Failure)]
    kept = [one for one in found if isinstance(one, Utterance)]
    assert len(failures) == 1
    assert failures[0].reason.startswith("From ") and "transcript and sound do not agree: " in failures[0].reason
    assert failures[0].remedy == "Mend the transcript there, or leave this stretch out; what lies beside it was kept."
    assert "purple" not in " ".join(one.text for one in kept)
    start, end, *_ = places[10]
    assert all(one.end <= start + 0.5 or one.start >= end - 0.5 for one in kept), "no other segment takes that sound in"
    assert sum(len(one.text.split()) for one in kept) >= 0.8 * len(whole.text.split())


def test_long_utterances_say_how_they_are_divided(talk, aligner, tmp_path):
    class Fixed:
        source = "fixed"

        def align(self, utterances):
            for one in utterances:
                yield (
                    Failure("alignment", one.id, "No.", "Why?")
                    if one.id == "bad"
                    else Alignment(one.id, (), (), one.duration, "f")
                )

    whole = replace(talk[0], duration=1800.0)
    good, bad, short = align_cached(Fixed(), [whole, replace(whole, id="bad"), replace(whole, duration=60.0)], tmp_path)
    remedy = "Divide it: python -m analysis.alignment segment CORPUS --out MANIFEST.csv, and give that manifest."
    assert good.warnings == (f"It lasts 1800 s; aligners and encoders are made for less than 60 s. {remedy}",)
    assert bad.remedy == f"Why? {remedy}"
    assert short.warnings == ()


@pytest.mark.slow
def test_from_file_to_manifest_to_alignments(talk, tmp_path, capsys):
    whole, _ = talk
    out = tmp_path / "manifest.csv"
    assert main(["segment", str(whole.audio.parent.parent), "--out", str(out), "--longer", "30"]) == 0
    corpus = open_corpus(out)
    assert capsys.readouterr().out == f"{out}: {len(corpus)} utterances, {whole.duration / 60:.1f} min\n"
    assert {one.speaker for one in corpus} == {"ann"} and all(one.is_part for one in corpus)
    assert main([str(out), "--aligner", "pocketsphinx", "--out", str(tmp_path / "out")]) == 0
    with (tmp_path / "out" / "alignment.csv").open() as stream:
        words = [row for row in csv.DictReader(stream) if row["tier"] == "words"]
    assert len(words) >= len(whole.text.split())
    assert sorted(path.stem for path in (tmp_path / "out").glob("*.TextGrid")) == sorted(one.id for one in corpus)


def test_a_language_model_sums_to_one():
    text = "the goat jumped out of the boat and the goat ran".split()
    lines = language_model(text).splitlines()
    assert lines[:4] == ["\\data\\", "ngram 1=10", "ngram 2=11", "ngram 3=11"]
    tables: dict[tuple[str, ...], tuple[float, float]] = {}
    for line in lines:
        fields = line.split()
        if len(fields) > 1 and not line.startswith(("ngram", "\\")):
            words = tuple(field for field in fields[1:] if field.isalpha() or field in ("<s>", "</s>"))
            tables[words] = (10 ** float(fields[0]), 10 ** float(fields[-1]) if len(fields) > len(words) + 1 else 1.0)

    def probability(word, history):
        if (*history, word) in tables:
            return tables[(*history, word)][0]
        return tables.get(history, (0.0, 1.0))[1] * probability(word, history[1:])

    vocabulary = [*dict.fromkeys(text), "</s>"]
    for history in ((), ("the",), ("goat",), ("the", "goat"), ("of", "the")):
        assert math.isclose(sum(probability(word, history) for word in vocabulary), 1.0, abs_tol=2e-3), history
    assert probability("jumped", ("the", "goat")) > probability("boat", ("the", "goat"))


def test_anchors_are_runs_of_three_words():
    said = "a b c d e f g h i j".split()
    heard = [Heard(word, 0.0, 0.0) for word in "a b c x e y g h i j".split()]
    assert _matched(said, heard) == [0, 1, 2, -1, -1, -1, 6, 7, 8, 9]


def test_a_part_is_aligned_as_the_recording_alone(demo, aligner, tmp_path):
    some = [one for one in demo if one.duration < 2.2][:3]
    sound = [read_audio(one, 16000) for one in some]
    soundfile.write(tmp_path / "all.wav", np.concatenate(sound), 16000)
    starts = np.cumsum([0, *map(len, sound)]) / 16000
    parts = [replace(one, audio=tmp_path / "all.wav", start=float(start)) for one, start in zip(some, starts, strict=False)]
    assert list(aligner.align(parts)) == list(aligner.align(some))
    assert len({aligner.cache_key(one) for one in (*parts, *some)}) == 6
