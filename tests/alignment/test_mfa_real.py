"""The MFA aligner against the `mfa` that is on the PATH (`make test-mfa`): what must hold of any MFA 3, so of the stand-in too.

An acoustic model is trained on 64 sentences of the demo first, which takes minutes; nothing is downloaded.
"""

from __future__ import annotations

import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from analysis.alignment import Alignment, make_aligner
from analysis.alignment.mfa_files import read_content
from analysis.alignment.pronunciation import Pronouncer
from analysis.corpus import read_audio
from analysis.corpus.utterance import Utterance
from analysis.errors import Failure

STAND_IN = Path(__file__).with_name("mfa_stand_in.py")
REAL = pytest.param("real", marks=pytest.mark.skipif(shutil.which("mfa") is None, reason="no command mfa is on the PATH"))


@pytest.fixture(scope="module", params=["stand-in", REAL])
def speech(request, demo, tmp_path_factory):
    """Utterances of two speakers, and options of an aligner whose model was trained on them."""
    folder = tmp_path_factory.mktemp("mfa")
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "stand-in":
            (folder / "bin").mkdir()
            (folder / "bin" / "mfa").write_text(f'#!/bin/sh\nexec "{sys.executable}" "{STAND_IN}" "$@"\n')
            (folder / "bin" / "mfa").chmod(0o755)
            patch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
        patch.setenv("MFA_ROOT_DIR", str(folder / "root"))
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        speakers = sorted({one.speaker for one in demo})[:2]
        utterances = [one for one in demo if one.speaker in speakers]
        pronounce = Pronouncer()
        words = sorted({word.strip(".,?!").lower() for one in utterances for word in one.text.split()})
        dictionary = folder / "demo.dict"
        dictionary.write_text("".join(f"{word} {' '.join(pronounce(word)[0].phones)}\n" for word in words), encoding="utf-8")
        trained = make_aligner("mfa", train=True, dictionary=dictionary, text="english")
        trained.prepare(utterances)
        model = folder / "demo.zip"
        shutil.copyfile(trained._model, model)
        options = {"acoustic": model, "dictionary": dictionary, "text": "english"}
        yield utterances, options, folder


def words_of(outcome):
    return [word.label for word in outcome.words]


def test_every_utterance_has_its_words_in_order_and_phones_inside_them(speech):
    utterances, options, _ = speech
    found = list(make_aligner("mfa", num_jobs=2, **options).align(utterances))
    aligned = [(one, outcome) for one, outcome in zip(utterances, found, strict=True) if isinstance(outcome, Alignment)]
    assert len(aligned) >= 0.9 * len(utterances)
    for utterance, outcome in aligned:
        assert words_of(outcome) == [word.strip(".,?!").lower() for word in utterance.text.split()]
        assert all(len(outcome.phones_of(word)) for word in outcome.words)
        assert outcome.warnings == () and outcome.inventory == "arpabet"
        assert set(dict(outcome.measures)) <= {"overall_log_likelihood", "phone_duration_deviation", "snr", "intensity_deviation"}
    assert {outcome.remedy for outcome in found if isinstance(outcome, Failure)} <= {
        "Does the transcript belong to this recording, and is it complete? Else try beam=100 and retry_beam=400."
    }


@pytest.mark.parametrize("output", ["json", "csv"])
def test_every_format_holds_the_same(speech, output):
    utterances, options, _ = speech
    some = utterances[:6]
    first = list(make_aligner("mfa", **options).align(some))
    second = list(make_aligner("mfa", output=output, **options).align(some))
    for one, other in zip(first, second, strict=True):
        assert words_of(one) == words_of(other) and other.warnings == ()
        for left, right in zip(one.phones, other.phones, strict=True):
            assert right.label == left.label
            # a last phone that ends within two frames of the end is drawn out to it, but in TextGrids only where it is the last
            assert abs(left.start - right.start) < 1e-3 and abs(left.end - right.end) < 0.021


def test_bad_recordings_beside_good_ones(speech, tmp_path):
    utterances, options, _ = speech
    broken = tmp_path / "nan.wav"
    soundfile.write(broken, np.full(16000, np.nan, np.float32), 16000, subtype="FLOAT")
    good = utterances[:4]
    nan, *found = make_aligner("mfa", **options).align([replace(good[0], id="nan", audio=broken, duration=1.0), *good])
    assert isinstance(nan, Failure) and "not finite numbers" in nan.reason
    assert all(isinstance(one, Alignment) for one in found)


def test_runs_side_by_side(speech):
    utterances, options, _ = speech
    aligner = make_aligner("mfa", **options)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda one: next(iter(aligner.align([one]))), utterances[:8]))
    assert [one.utterance_id for one in found if isinstance(one, Alignment)], "no run failed for another's sake"


def test_the_same_folder_again(speech, tmp_path):
    utterances, options, _ = speech
    aligner = make_aligner("mfa", folder=tmp_path / "work", **options)
    first = list(aligner.align(utterances[:3]))
    assert list(aligner.align(utterances[:3])) == first
    other = list(aligner.align(utterances[3:6]))
    assert [one.utterance_id for one in other if isinstance(one, Alignment)] == [
        one.id for one, outcome in zip(utterances[3:6], other, strict=True) if isinstance(outcome, Alignment)
    ]
    assert not {tuple(words_of(one)) for one in other if isinstance(one, Alignment)} & {
        tuple(words_of(one)) for one in first if isinstance(one, Alignment)
    }


def test_a_conversation(speech, tmp_path):
    """Parts of one file, two speakers: times on each part's own clock, as good as of separate files."""
    utterances, options, _ = speech
    speakers = sorted({one.speaker for one in utterances})
    turns = [next(one for one in utterances if one.speaker == speaker) for speaker in speakers]
    turns.append([one for one in utterances if one.speaker == speakers[0]][1])
    sound, parts, position = [], [], 0.0
    for turn in turns:
        samples = read_audio(turn, 16000)
        sound.append(samples)
        length = len(samples) / 16000
        parts.append((position, length))
        position += length
    talk = tmp_path / "talk.wav"
    soundfile.write(talk, np.concatenate(sound), 16000)
    conversation = [
        Utterance(f"part-{turn.id}", talk, turn.text, turn.speaker, length, 16000, start=start)
        for turn, (start, length) in zip(turns, parts, strict=True)
    ]
    work = tmp_path / "work"
    found = list(make_aligner("mfa", folder=work, **options).align(conversation))
    alone = list(make_aligner("mfa", **options).align(turns))
    assert all(isinstance(one, Alignment) for one in (*found, *alone))
    for one, other in zip(found, alone, strict=True):
        assert words_of(one) == words_of(other)
        shifts = [abs(left.start - right.start) for left, right in zip(one.words, other.words, strict=True)]
        assert np.median(shifts) <= 0.03
    (written,) = work.glob("run-*/output/*/*.TextGrid")
    assert sorted(tier.name for tier in read_content(written).tiers) == [
        f"s0000{number} - {tier}" for number in (0, 1) for tier in ("phones", "words")
    ]


def test_nothing_aligned_is_a_row(speech):
    utterances, options, _ = speech
    one = next(one for one in utterances if one.duration > 2)
    # far more words than the recording has frames for; the stand-in has a word for it
    text = " ".join(word for other in utterances[:30] for word in other.text.split()) + " unalignable"
    (outcome,) = make_aligner("mfa", **options).align([replace(one, text=text)])
    assert isinstance(outcome, Failure)
    assert outcome.reason.startswith(("MFA aligned none of the 1 utterances of its run:", "MFA wrote no alignment for it:"))
