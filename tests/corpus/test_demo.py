from __future__ import annotations

import re
import shutil
import sys
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from analysis.corpus import Corpus, demo_corpus, open_corpus, read_audio
from analysis.corpus.demo import plan, sentences, synthesis, word_pairs
from analysis.corpus.demo.recipe import SPEAKERS
from analysis.errors import CorpusError
from analysis.phonology import load_lexicon

LEXICON = load_lexicon()


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def edit_distance(left: list[str], right: list[str]) -> int:
    """By the definition: the least of deleting, inserting or replacing the last one."""
    if not left or not right:
        return len(left) + len(right)
    return min(
        edit_distance(left[:-1], right) + 1,
        edit_distance(left, right[:-1]) + 1,
        edit_distance(left[:-1], right[:-1]) + (left[-1] != right[-1]),
    )


def test_pairs_are_near_homophones():
    assert len(word_pairs()) >= 30
    for pair in word_pairs():
        first, second = ([phone.rstrip("012") for phone in LEXICON.pronunciations(word)[0].split()] for word in pair)
        distance = edit_distance(first, second) / max(len(first), len(second))
        assert 0 < distance <= 0.4, pair


def test_sentences():
    texts = [sentence.text for sentence in sentences()]
    assert len(texts) >= 160
    assert len(set(texts)) == len(texts)
    assert all(5 <= len(words(text)) <= 9 for text in texts)
    assert all(word in LEXICON for text in texts for word in words(text))
    assert {(sentence.word_a, sentence.word_b) for sentence in sentences()} == set(word_pairs())


def test_every_word_stands_in_four_sentences_and_pairs_meet_in_some():
    counts = Counter(word for sentence in sentences() for word in set(words(sentence.text)))
    assert min(counts[word] for pair in word_pairs() for word in pair) >= 4
    both = [s for s in sentences() if {s.word_a, s.word_b} <= set(words(s.text))]
    assert len(both) >= 30
    assert {(s.word_a, s.word_b) for s in both} == set(word_pairs())


def test_the_crossing_is_balanced():
    assert len(SPEAKERS) >= 8
    assert len({utterance.id for utterance in plan()}) == len(plan()) >= 240
    assert {utterance.sentence for utterance in plan()} == set(sentences())
    by_pair = defaultdict(list)
    by_place = defaultdict(Counter)
    for utterance in plan():
        by_pair[utterance.sentence.word_a, utterance.sentence.word_b].append(utterance.speaker)
        by_place[utterance.sentence.id[-1]][utterance.speaker] += 1
    assert all(sorted(s.name for s in said) == sorted(s.name for s in SPEAKERS) for said in by_pair.values())
    for counts in by_place.values():  # every speaker reads each kind of sentence equally often
        assert len(set(counts.values())) == 1 and len(counts) == len(SPEAKERS)
    together = Counter()
    for sentence in sentences():
        together.update(combinations(sorted(u.speaker.name for u in plan() if u.sentence == sentence), 2))
    assert len(together) >= 12  # speakers who share a sentence are not always the same


def test_the_corpus_is_synthetic_and_opens_by_name(demo: Corpus):
    assert open_corpus("demo") == demo
    assert demo.synthetic
    assert demo.name == "demo"
    assert len(demo) == len(plan())
    assert demo.failures == ()
    assert {utterance.sampling_rate for utterance in demo} == {16000}
    assert all(1.0 < utterance.duration < 5.0 for utterance in demo)
    assert all(utterance.extra["synthetic"] == "yes" for utterance in demo)
    again = open_corpus(demo.root / "manifest.csv")  # the folder is a corpus for other tools too
    assert [(u.id, u.audio, u.text, u.speaker) for u in again] == [(u.id, u.audio, u.text, u.speaker) for u in demo]
    assert "synthetic" in (demo.root / "README.txt").read_text(encoding="utf-8")


def test_pseudo_speakers_differ_in_pitch_and_pace(demo: Corpus):
    import pyworld

    pitch, pace = defaultdict(list), defaultdict(list)
    for utterance in demo.utterances[::4]:
        samples = read_audio(utterance).astype(np.float64)
        contour, times = pyworld.dio(samples, 16000, f0_floor=60.0, f0_ceil=600.0, frame_period=10.0)
        contour = pyworld.stonemask(samples, contour, times, 16000)
        pitch[utterance.speaker].append(np.median(contour[contour > 0]))
        pace[utterance.speaker].append(utterance.duration / len(words(utterance.text)))
        assert 0.05 < np.sqrt(np.mean(samples**2)) < 0.07
    medians = {name: float(np.median(values)) for name, values in pitch.items()}
    assert medians.keys() == {speaker.name for speaker in SPEAKERS}
    # neighbours on the scale of pitch are more than a semitone and a half apart, far more than one speaker varies
    ordered = sorted(medians.values())
    assert min(np.diff(np.log2(ordered))) > 1.5 / 12
    assert ordered[0] < 110 and ordered[-1] > 270
    wanted = [medians[speaker.name] / medians["demo1"] for speaker in SPEAKERS]
    assert np.allclose(wanted, [speaker.pitch for speaker in SPEAKERS], rtol=0.06)
    assert np.mean(pace["demo6"]) > 1.1 * np.mean(pace["demo5"])


def test_a_longer_tract_lowers_formants():
    """On a known vowel: an impulse train through one resonance at 1000 Hz, whose peak must move by the factor."""
    import scipy.signal

    rate, pitch = 24000, 120
    train = np.zeros(rate)
    train[:: rate // pitch] = 1.0
    radius, angle = 0.98, 2 * np.pi * 1000 / rate
    vowel = scipy.signal.lfilter([1.0], [1.0, -2 * radius * np.cos(angle), radius**2], train)
    for tract in (0.85, 1.0, 1.15):
        speaker = SPEAKERS[0].__class__("x", speed=1.0, pitch=1.5, pitch_range=1.0, tract=tract)
        samples = synthesis.change_speaker(0.1 * vowel, rate, speaker)[4000:-4000]
        frequencies, power = scipy.signal.welch(samples, 16000, nperseg=2048)
        harmonics = frequencies[scipy.signal.find_peaks(power, height=power.max() / 50)[0]]
        assert abs(np.diff(harmonics).min() - 180) < 12
        # the envelope's peak lies between the two loudest harmonics
        loudest = np.average(frequencies, weights=power**2)
        assert abs(loudest - 1000 * tract) < 60


@pytest.fixture
def copy(demo: Corpus, tmp_path: Path) -> Path:
    folder = tmp_path / "demo"
    shutil.copytree(demo.root, folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def test_damaged_and_missing_files_are_made_again_bit_for_bit(demo: Corpus, copy: Path):
    names = [f"{utterance.id}.flac" for utterance in plan()]
    (copy / names[0]).unlink()
    raw = bytearray((copy / names[100]).read_bytes())
    raw[len(raw) // 2] ^= 1
    (copy / names[100]).write_bytes(raw)
    (copy / "README.txt").unlink()
    assert [u.id for u in demo_corpus(copy, workers=1)] == [u.id for u in demo]
    assert contents(copy) == contents(demo.root)


def test_an_interrupted_synthesis_goes_on_where_it_stopped(demo: Corpus, copy: Path, monkeypatch: pytest.MonkeyPatch):
    lines = (copy / "SHA256SUMS").read_text(encoding="ascii").splitlines(keepends=True)
    for line in lines[:3]:
        (copy / line.split()[1]).unlink()
    (copy / "SHA256SUMS").write_text("".join(lines)[:-20], encoding="ascii")  # killed while it wrote the last line
    spoken = []

    def stopping(utterance, voice, folder):
        if len(spoken) == 2:
            raise KeyboardInterrupt
        spoken.append(utterance.id)
        return original(utterance, voice, folder)

    original = synthesis.write_utterance
    monkeypatch.setattr(synthesis, "write_utterance", stopping)
    with pytest.raises(KeyboardInterrupt):
        demo_corpus(copy, workers=1)
    assert len(spoken) == 2
    monkeypatch.setattr(synthesis, "write_utterance", lambda *args: spoken.append(args[0].id) or original(*args))
    demo_corpus(copy, workers=1)
    assert spoken == [plan()[0].id, plan()[1].id, plan()[2].id, plan()[-1].id]  # nothing twice
    assert contents(copy) == contents(demo.root)


def test_several_processes_give_the_same_bits(demo: Corpus, copy: Path):
    for utterance in plan()[:16]:
        (copy / f"{utterance.id}.flac").unlink()
    demo_corpus(copy, workers=2, progress=False)
    assert contents(copy) == contents(demo.root)


def test_a_failing_child_is_quoted(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for utterance in plan()[:16]:
        (copy / f"{utterance.id}.flac").unlink()
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho no such voice >&2\nexit 3\n", encoding="ascii")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(CorpusError) as caught:
        demo_corpus(copy, workers=2, progress=False)
    assert str(caught.value) == (
        f"Speaking the demo corpus failed (exit code 3); what was finished is kept in {copy}.\nno such voice\n"
        f"Run it again to go on, or delete that folder to start afresh."
    )


def test_without_the_voice_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "hibari", None)
    with pytest.raises(CorpusError) as caught:
        synthesis.load_voice()
    assert str(caught.value) == (
        "The demo corpus cannot be spoken: import of hibari halted; None in sys.modules. Install its voice and vocoder with "
        "`pip install hibari-tts==0.2.1 pyworld-prebuilt==0.3.6.post1` (the voice's source is also at "
        "https://github.com/MMWilliams/hibari), or give a corpus of recordings with --corpus."
    )
