"""Manifests of lhotse: every supervision is a part of its recording."""

from __future__ import annotations

import gzip
import json

import pytest

from analysis.corpus import open_corpus
from analysis.errors import CorpusError


def recording(path, name="talk", channels=1, duration=10.0, **more):
    return {
        "id": name,
        "sources": [{"type": "file", "channels": list(range(channels)), "source": str(path)}],
        "sampling_rate": 16000,
        "num_samples": round(duration * 16000),
        "duration": duration,
        **more,
    }


def supervision(name, start, duration, text, speaker="ann", **more):
    return {
        "id": name,
        "recording_id": "talk",
        "start": start,
        "duration": duration,
        "channel": 0,
        "text": text,
        "speaker": speaker,
        **more,
    }


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def cut(of, start, duration, *supervisions, **more):
    return {
        "id": "cut",
        "start": start,
        "duration": duration,
        "channel": 0,
        "supervisions": list(supervisions),
        "recording": of,
        "type": "MonoCut",
        **more,
    }


def opened(root):
    corpus = open_corpus(root)
    return [(one.id, one.speaker, one.text, one.start, round(one.end, 6), one.channel) for one in corpus], corpus


def test_cuts(tmp_path, sound):
    path = sound(tmp_path / "talk.wav", 10.0)
    stereo = sound(tmp_path / "stereo.wav", 4.0, channels=2)
    rows = [
        # times of supervisions count from the cut's start; what reaches over its end is cut there
        cut(
            recording(path),
            2.0,
            5.0,
            supervision("u1", 0.5, 1.5, "hello", language="English"),
            supervision("u2", 4.0, 3.0, "yes", "bob"),
        ),
        cut(recording(path), 0.0, 10.0, supervision("whole", 0.0, 10.0, "all of it")),
        cut(recording(stereo, channels=2, duration=4.0), 0.0, 4.0, supervision("right", 1.0, 2.0, "side", channel=1)),
        cut(recording(stereo, channels=2, duration=4.0), 0.0, 4.0, supervision("both", 0.0, 4.0, "sides", channel=[0, 1])),
    ]
    found, corpus = opened(write(tmp_path / "cuts.jsonl.gz", rows))
    assert found == [
        ("u1", "ann", "hello", 2.5, 4.0, None), ("u2", "bob", "yes", 6.0, 7.0, None), ("whole", "ann", "all of it", None, 10.0, None),
        ("right", "ann", "side", 1.0, 3.0, 1), ("both", "ann", "sides", None, 4.0, None),
    ]  # fmt: skip
    assert dict(corpus.utterances[0].extra) == {"language": "English"}
    assert opened(tmp_path)[0] == found, "a folder with cuts"


def test_recordings_with_supervisions_and_paths_that_moved(tmp_path, sound):
    sound(tmp_path / "audio" / "talk.wav", 10.0)
    write(tmp_path / "manifests" / "x_recordings_all.jsonl.gz", [recording("audio/talk.wav")])
    write(
        tmp_path / "manifests" / "x_supervisions_all.jsonl.gz",
        [
            supervision("u1", 1.0, 2.0, "hello"),
            supervision("lost", 1.0, 2.0, "x", recording_id="gone"),
            supervision("bare", 1, 2, None),
        ],
    )
    found, corpus = opened(tmp_path / "manifests")
    assert found == [("u1", "ann", "hello", 1.0, 3.0, None)]
    table = tmp_path / "manifests" / "x_supervisions_all.jsonl.gz"
    assert [(failure.item, failure.reason) for failure in corpus.failures] == [
        ("lost", f"The recording 'gone' of line 2 of {table} is not listed."),
        ("bare", f"{tmp_path / 'audio' / 'talk.wav'} has no transcript."),
    ]


def test_what_is_no_part_of_one_file_is_a_failure(tmp_path, sound):
    path = sound(tmp_path / "talk.wav", 10.0)
    changed = recording(path, transforms=[{"name": "Speed", "kwargs": {"factor": 1.1}}])
    remote = recording(path, sources=[{"type": "url", "channels": [0], "source": "https://example.org/a.wav"}])
    rows = [
        cut(recording(path), 0.0, 10.0, supervision("good", 1.0, 2.0, "hello")),
        {"id": "mixed", "type": "MixedCut", "tracks": []},
        cut(changed, 0.0, 10.0, supervision("fast", 1.0, 2.0, "hello")),
        cut(remote, 0.0, 10.0, supervision("far", 1.0, 2.0, "hello")),
        cut(recording(path), 0.0, 10.0, supervision("third", 1.0, 2.0, "hello", channel=2)),
    ]
    table = write(tmp_path / "cuts.jsonl.gz", rows)
    found, corpus = opened(table)
    assert [name for name, *_ in found] == ["good"]
    assert [(failure.item, f"{failure.reason} {failure.remedy}") for failure in corpus.failures] == [
        ("mixed", "It is a MixedCut, which is no part of one recording. Give cuts before they are mixed."),
        ("fast", 'The recording talk is changed on the way ([{"name": "Speed", "kwargs": {"factor": 1.1}}]). Give the manifest of the '
                 'recordings as they are.'),
        ("far", f"The recording of line 4 of {table} is a url, not a file. Save it as audio files first (CutSet.save_audios of lhotse)."),
        ("third", f"No source of the recording of line 5 of {table} has the channels [2]. Mend the manifest."),
    ]  # fmt: skip


def test_a_broken_manifest(tmp_path):
    (tmp_path / "cuts.jsonl.gz").write_bytes(b"\x1f\x8bbroken")
    with pytest.raises(CorpusError) as error:
        open_corpus(f"lhotse:{tmp_path}")
    assert str(error.value) == (
        f"{tmp_path} holds no cuts of lhotse, and no recordings and supervisions either. Expected: cuts.jsonl.gz."
    )


def test_the_library_s_own_files(tmp_path, sound):
    lhotse = pytest.importorskip("lhotse")
    path = sound(tmp_path / "talk.wav", 10.0)
    made = lhotse.Recording.from_file(path, recording_id="talk")
    supervisions = [
        lhotse.SupervisionSegment("u1", "talk", 1.0, 2.0, text="hello", speaker="ann"),
        lhotse.SupervisionSegment("u2", "talk", 4.0, 2.0, text="yes", speaker="bob"),
    ]
    cuts = lhotse.CutSet.from_manifests(
        recordings=lhotse.RecordingSet.from_recordings([made]), supervisions=lhotse.SupervisionSet.from_segments(supervisions)
    )
    cuts.trim_to_supervisions().to_file(tmp_path / "trimmed_cuts.jsonl.gz")
    found, _ = opened(tmp_path / "trimmed_cuts.jsonl.gz")
    assert found == [("u1", "ann", "hello", 1.0, 3.0, None), ("u2", "bob", "yes", 4.0, 6.0, None)]
