"""Utterances that are parts of a longer recording: read in place, listed in manifests, told apart by hashes."""

from __future__ import annotations

import csv
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from analysis.corpus import corpus_hash, open_corpus, read_audio, write_manifest
from analysis.corpus.audio import audio_digest
from analysis.corpus.utterance import Utterance
from analysis.errors import AudioError, CorpusError


@pytest.fixture
def tone(tmp_path):
    """Two channels of 3 s whose frequency rises, so that every stretch differs from every other."""
    time = np.arange(3 * 16000) / 16000
    left = 0.3 * np.sin(2 * np.pi * (200 + 300 * time) * time)
    return np.stack([left, 0.5 * left[::-1]], axis=1).astype(np.float32)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.opus"])
def test_a_part_is_the_same_samples_as_in_the_whole(tmp_path, tone, name):
    path = tmp_path / name
    soundfile.write(path, tone[:, 0], 16000, **({"format": "OGG", "subtype": "OPUS"} if name == "a.opus" else {}))
    whole = read_audio(path)
    for start, duration in ((0.0, 0.5), (1.25, 0.75), (2.5, 0.5)):
        part = Utterance("a", path, "yes", "s", duration, 16000, start=start)
        expected = whole[round(start * 16000) :][: round(duration * 16000)]
        np.testing.assert_allclose(read_audio(part), expected, atol=1e-4)
        assert (part.is_part, part.end) == (True, start + duration)
    assert read_audio(Utterance("a", path, "yes", "s", 0.5, 16000, start=1.0), 8000).shape == (4000,)


def test_one_channel_may_be_meant(tmp_path, tone):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone, 16000, subtype="FLOAT")
    right = Utterance("a", path, "yes", "s", 3.0, 16000, channel=1)
    np.testing.assert_array_equal(read_audio(right), tone[:, 1])
    with pytest.raises(AudioError) as error:
        read_audio(Utterance("a", path, "yes", "s", 3.0, 16000, channel=2))
    assert str(error.value) == (
        f"{path} has 2 channels, and channel 2 (counted from 0) is meant. Mend the channel in the corpus."
    )


def test_a_part_beyond_the_end_and_a_silent_part_are_errors(tmp_path, tone):
    path = tmp_path / "a.wav"
    tone[:16000] = 0
    soundfile.write(path, tone, 16000)
    with pytest.raises(AudioError) as error:
        read_audio(Utterance("a", path, "yes", "s", 1.0, 16000, start=2.95))
    assert str(error.value) == (
        f"{path}, from 2.950 to 3.950 s, holds 0.050 s of sound, less than the 0.1 s that hold a syllable; the file lasts 3.000 s. "
        f"Mend start and end, or leave it out."
    )
    with pytest.raises(AudioError) as error:
        read_audio(Utterance("a", path, "yes", "s", 0.5, 16000, start=0.25))
    assert str(error.value).startswith(f"{path}, from 0.250 to 0.750 s, is silent: no sample exceeds 0.0001")


def manifest(folder: Path, rows: list[dict]) -> Path:
    path = folder / "manifest.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(dict.fromkeys(name for row in rows for name in row)), restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_rows_with_times_are_parts_of_their_file(tmp_path, tone):
    soundfile.write(tmp_path / "talk.wav", tone, 16000)
    rows = [
        {"path": "talk.wav", "transcript": "one", "speaker": "a", "start": "0", "end": "0.5"},
        {"path": "talk.wav", "transcript": "two", "speaker": "b", "start": "0:01.25", "end": "0:00:02"},
        {"path": "talk.wav", "transcript": "three", "speaker": "a", "start": "2", "duration": "1"},
        {"path": "talk.wav", "transcript": "whole", "speaker": "a"},
        {"path": "talk.wav", "transcript": "left", "speaker": "a", "start": "1.5", "end": "2", "audio_channel": "0"},
    ]
    corpus = open_corpus(manifest(tmp_path, rows))
    assert corpus.failures == ()
    assert [(one.id, one.start, round(one.duration, 6), one.speaker, one.channel) for one in corpus] == [
        ("talk-0000000-0000500", 0.0, 0.5, "a", None), ("talk-0001250-0002000", 1.25, 0.75, "b", None),
        ("talk-0002000-0003000", 2.0, 1.0, "a", None), ("talk", None, 3.0, "a", None),
        ("talk-0001500-0002000", 1.5, 0.5, "a", 0),
    ]  # fmt: skip
    for suffix in (".csv", ".tsv", ".jsonl", ".parquet"):
        written = write_manifest(corpus, tmp_path / f"again{suffix}")
        again = [replace(one, extra={}) for one in open_corpus(written.path)]
        assert again == [replace(one, extra={}) for one in corpus], suffix
    assert corpus_hash(corpus) == corpus_hash(open_corpus(tmp_path / "again.parquet"))
    assert pickle.loads(pickle.dumps(corpus.utterances[1])) == corpus.utterances[1]


def test_a_row_with_offset_and_the_whole_duration_is_the_whole_file(tmp_path, tone):
    """As NeMo writes its manifests."""
    soundfile.write(tmp_path / "talk.wav", tone, 16000)
    rows = [{"audio_filepath": "talk.wav", "text": "one", "offset": 0.0, "duration": 3.0}]
    (one,) = open_corpus(manifest(tmp_path, rows))
    assert (one.id, one.start, one.duration, one.is_part) == ("talk", None, 3.0, False)


def test_impossible_times_are_failures_beside_the_good_rows(tmp_path, tone):
    path = tmp_path / "talk.wav"
    soundfile.write(path, tone, 16000)
    rows = [
        {"id": name, "path": "talk.wav", "transcript": "yes", "start": start, "end": end, "audio_channel": channel}
        for name, start, end, channel in (
            ("good", 1, 2, ""), ("late", 305, 310, ""), ("back", 2, 1, ""), ("short", 1, 1.05, ""), ("odd", "later", 2, ""),
            ("third", 1, 2, 2), ("side", 1, 2, "left"),
        )
    ]  # fmt: skip
    table = manifest(tmp_path, rows)
    corpus = open_corpus(table)
    assert [one.id for one in corpus] == ["good"]
    assert [(failure.item, f"{failure.reason} {failure.remedy}") for failure in corpus.failures] == [
        ("late", f"It starts at 305 s of {path}, which lasts 3.000 s. Mend the times in row 2 of {table}; where they are times in "
                 f"another recording, rename their columns."),
        ("back", f"It runs from 2 to 1 s of {path}. Give start and end in seconds from the file's start in row 3 of {table}."),
        ("short", f"It lasts 0.050 s, less than the 0.1 s that hold a syllable. Mend its times in row 4 of {table}, or leave it "
                  f"out."),
        (f"row 5 of {table}", "Its start is 'later'. Write seconds from the start of the file, such as 12.5, or 0:12.5."),
        ("third", f"Channel 2 (counted from 0) of {path} is meant, which has 2. Mend the channel in row 6 of {table}."),
        (f"row 7 of {table}", "Its audio_channel is 'left'. Write the number of the channel, counted from 0."),
    ]  # fmt: skip


def test_hashes_tell_parts_of_a_file_apart(tmp_path, tone):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone, 16000)
    made = [
        Utterance("a", path, "yes", "s", 3.0, 16000),
        Utterance("a", path, "yes", "s", 1.0, 16000, start=0.0),
        Utterance("a", path, "yes", "s", 1.0, 16000, start=1.0),
        Utterance("a", path, "yes", "s", 0.9, 16000, start=1.0),
        Utterance("a", path, "yes", "s", 0.9, 16000, start=1.0, channel=0),
    ]
    assert len({audio_digest(one) for one in made}) == len({corpus_hash([one]) for one in made}) == len(made)


def test_a_part_s_place_is_checked():
    for wrong, message in (
        ({"start": -1.0}, "Utterance a starts at -1.0 s of a.wav. Give seconds from the file's start."),
        ({"channel": -1}, "Utterance a has the channel -1. Channels are counted from 0."),
    ):
        with pytest.raises(CorpusError) as error:
            Utterance("a", Path("a.wav"), "yes", "s", 1.0, 16000, **wrong)
        assert str(error.value) == message
