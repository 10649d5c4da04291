"""Official parts of a corpus: what trains, what validates, what is left alone, and what is kept of it."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from analysis.corpus.utterance import Corpus, Utterance
from analysis.errors import ConfigurationError, SemanticsError
from analysis.wav2sem.recipe import Recipe, run
from analysis.wav2sem.splits import keep_data, last_of_chapters, official_part, training_parts


def _utterance(audio: str, speaker: str = "1", text: str = "", **extra: str) -> Utterance:
    return Utterance(audio, Path("/c") / audio, text or f"the text of {audio}", speaker, 3600.0, 16000, extra)


def _librispeech(*parts: str) -> Corpus:
    utterances = [
        _utterance(f"{part}/{10 * number + speaker}/7/{10 * number + speaker}-7-000{take}.flac", f"{10 * number + speaker}")
        for number, part in enumerate(parts, 1)
        for speaker in (1, 2)
        for take in (0, 1)
    ]
    return Corpus("LibriSpeech", tuple(utterances), root=Path("/c"))


def test_train_trains_dev_validates_and_test_is_left_alone() -> None:
    found = training_parts(_librispeech("train-clean-100", "train-other-500", "dev-clean", "test-clean", "test-other", "notes"))
    assert {one.audio.parts[2] for one in found.train} == {"train-clean-100", "train-other-500"}
    assert {one.audio.parts[2] for one in found.validation} == {"dev-clean"}
    assert str(found).splitlines() == [
        "train: train-clean-100 (4 utterances, 2 speakers, 4.0 h)",
        "train: train-other-500 (4 utterances, 2 speakers, 4.0 h)",
        "validation: dev-clean (4 utterances, 2 speakers, 4.0 h)",
        "left out: LibriSpeech (4 utterances, 2 speakers, 4.0 h): in no official part",
        "left out: test-clean (4 utterances, 2 speakers, 4.0 h): an official test part",
        "left out: test-other (4 utterances, 2 speakers, 4.0 h): an official test part",
    ]


def test_without_a_dev_part_some_of_the_training_part_is_held_out() -> None:
    found = training_parts(_librispeech("train-clean-100", "test-clean"), share=0.3)
    assert {one.audio.parts[2] for one in (*found.train, *found.validation)} == {"train-clean-100"}
    assert len(found.train) + len(found.validation) == 4
    assert not {one.speaker for one in found.train} & {one.speaker for one in found.validation[:2]}
    assert [(part["use"], part["part"], part["why"]) for part in found.card["parts"]] == [
        ("train", "train-clean-100", ""),
        ("validation", "train-clean-100", "30% of speakers and of texts held out"),
        ("left out", "test-clean", "an official test part"),
    ]


@pytest.mark.parametrize("parts", [("test-clean",), ("dev-clean", "test-clean")])
def test_test_parts_are_trained_on_only_when_asked(parts: tuple[str, ...]) -> None:
    corpus = _librispeech(*parts)
    with pytest.raises(ConfigurationError) as error:
        training_parts(corpus)
    assert str(error.value) == (
        f"The corpus LibriSpeech has only the official parts {', '.join(parts)}, and none of them is for training. Give a corpus "
        "with its training part, or pass --splits ignore to train on these: they test nothing afterwards."
    )
    found = training_parts(corpus, share=0.3, splits="ignore")
    assert len(found.train) + len(found.validation) == 4 * len(parts)
    assert found.card["parts"][0]["why"] == "official parts ignored, as asked"


@pytest.mark.parametrize(
    ("audio", "root", "extra", "expected"),
    [
        ("train-clean-100/1/2/1-2-0.flac", "/c", {}, ("train-clean-100", "train")),
        ("1/2/1-2-0.flac", "/c", {}, ("", "")),
        ("tests/1-2-0.flac", "/c", {}, ("", "")),
        ("train/test/a.wav", "/c", {}, ("test", "test")),
        ("x/TRAIN/DR1/FCJF0/SA1.WAV", "/c/x", {}, ("TRAIN", "train")),
        ("test/spk/a.wav", "/c/test/spk", {}, ("", "")),
        ("test/spk/a.wav", "/c/test", {}, ("test", "test")),
        ("train/a.wav", "/c", {"split": "validation"}, ("validation", "validation")),
        ("train/a.wav", None, {}, ("", "")),
    ],
)
def test_the_part_is_the_nearest_folder_in_the_corpus_or_the_column(
    audio: str, root: str | None, extra: dict, expected: tuple[str, str]
) -> None:
    assert official_part(_utterance(audio, **extra), None if root is None else Path(root)) == expected


def test_the_released_loader_keeps_the_last_utterance_of_a_chapter() -> None:
    corpus = _librispeech("train-clean-100", "dev-clean")
    found = training_parts(corpus, data="release")
    assert [one.audio.name for one in found.train] == ["11-7-0001.flac", "12-7-0001.flac"]
    assert len(found.validation) == 4  # only what trains is thinned
    assert found.card["data"] == "release"
    with pytest.raises(ConfigurationError, match=r"a\.wav is not named SPEAKER-CHAPTER-NUMBER\. Leave --data out"):
        last_of_chapters([_utterance("a.wav")])
    for option in ({"data": "some"}, {"splits": "none"}):
        with pytest.raises(ConfigurationError, match=f"^--{next(iter(option))} is '"):
            training_parts(corpus, **option)


def test_what_was_used_is_kept_and_a_run_goes_on_with_the_same(tmp_path: Path) -> None:
    card = training_parts(_librispeech("train-clean-100", "dev-clean", "test-clean")).card
    keep_data(card, tmp_path)
    keep_data(card, tmp_path)
    assert json.loads((tmp_path / "data.json").read_text()) == card
    other = training_parts(_librispeech("train-clean-100", "dev-clean")).card
    with pytest.raises(SemanticsError) as error:
        keep_data(other, tmp_path)
    assert str(error.value) == (
        f"{tmp_path} holds a run on other data: train train-clean-100 (4), validation dev-clean (4), left out test-clean (4); now "
        "train train-clean-100 (4), validation dev-clean (4). Go on with the same data, or choose another --out."
    )


def test_a_training_run_says_and_keeps_what_it_used(tmp_path: Path, caplog) -> None:
    import numpy as np
    import soundfile

    rng = np.random.default_rng(0)
    lines = ["path,transcript,speaker,split"]
    for number in range(8):
        soundfile.write(tmp_path / f"u{number}.wav", 0.1 * rng.standard_normal(9000), 16000)
        lines.append(
            f"u{number}.wav,The ship number {number} comes in.,s{number},{('train', 'dev', 'test', 'train')[number % 4]}"
        )
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n")
    recipe = Recipe(host="random:bundled", width=32, depth=1, hidden=32, settings={"epochs": 1, "loss": "l1"})
    with caplog.at_level(logging.INFO, logger="analysis.wav2sem.recipe"):
        run(recipe, tmp_path / "run", corpus=str(tmp_path / "manifest.csv"), progress=False)
    assert "left out: test (2 utterances, 2 speakers, 0.0 h): an official test part" in caplog.text
    parts = json.loads((tmp_path / "run" / "data.json").read_text())["parts"]
    assert [(part["use"], part["part"], part["utterances"]) for part in parts] == [
        ("train", "train", 4),
        ("validation", "dev", 2),
        ("left out", "test", 2),
    ]
