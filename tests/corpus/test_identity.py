from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.corpus import Corpus, Utterance, corpus_hash, open_corpus
from analysis.corpus.recording import Seen
from analysis.errors import AudioError, ConfigurationError


@pytest.fixture
def corpus(tmp_path: Path, sound, text) -> Corpus:
    for number in range(3):
        text(sound(tmp_path / "one" / "anna" / f"{number}.wav").with_suffix(".lab"), f"sentence {number}")
    return open_corpus(tmp_path / "one")


def test_neither_order_nor_place_matters(corpus: Corpus, tmp_path: Path):
    first = corpus_hash(corpus)
    assert len(first) == 64
    assert corpus_hash(reversed(corpus.utterances)) == first
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert corpus_hash(open_corpus(tmp_path / "two")) == first


def test_every_content_matters(corpus: Corpus, sound):
    first, *others = corpus
    hashes = {corpus_hash(corpus), corpus_hash(others), corpus_hash([first, first, *others]), corpus_hash(corpus, audio="header")}
    hashes |= {corpus_hash([replace(first, text="other"), *others])}
    hashes |= {corpus_hash([replace(first, speaker="bert"), *others])}
    hashes |= {corpus_hash([replace(first, id="x"), *others])}
    # what moves between fields is seen too
    hashes |= {corpus_hash([replace(first, id="0s", text="entence 0"), *others])}
    sound(first.audio, seconds=0.3)
    hashes |= {corpus_hash(corpus)}
    assert len(hashes) == 9


def test_bad_requests(corpus: Corpus):
    with pytest.raises(ConfigurationError) as caught:
        corpus_hash(corpus, audio="none")
    assert str(caught.value) == "corpus_hash reads the audio's 'content' or its 'header', not 'none'."
    path = corpus.utterances[0].audio
    path.unlink()
    with pytest.raises(AudioError) as caught:
        corpus_hash(corpus)
    assert str(caught.value) == (
        f"{path} cannot be read: No such file or directory. It was there when the corpus was opened; restore it."
    )


@given(st.lists(st.text(max_size=5)))
def test_seen_agrees_with_a_set(texts: list[str]):
    seen, known = Seen(), set()
    for item in texts:
        assert seen.add(item) == (item not in known)
        known.add(item)
    assert len(seen) == len(known)


def test_seen_grows():
    seen = Seen()
    assert all(seen.add(f"19-198-{number:06d}") for number in range(5000))
    assert not any(seen.add(f"19-198-{number:06d}") for number in range(5000))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"id": ""}, "An utterance needs an id; the one for a.wav has none."),
        ({"text": " "}, "Utterance u has an empty transcript. Give its words in the transcript file."),
        ({"duration": float("nan")}, "Utterance u has a duration of nan s. Is a.wav truncated?"),
        ({"sampling_rate": 0}, "Utterance u has a sampling rate of 0 Hz."),
    ],
)
def test_utterances_validate_themselves(changes: dict, expected: str):
    fields = {"id": "u", "audio": Path("a.wav"), "text": "yes", "speaker": "s", "duration": 1.0, "sampling_rate": 16000}
    with pytest.raises(Exception) as caught:
        Utterance(**(fields | changes))
    assert str(caught.value) == expected
