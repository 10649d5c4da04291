"""One bad recording, row, file or folder is one row of the failures table; what lies beside it is kept."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from analysis.corpus import iter_corpus, open_corpus, read_audio
from analysis.corpus.__main__ import main
from analysis.corpus.recording import tree
from analysis.errors import AudioError, Failure
from analysis.guard import log_path


@pytest.fixture(autouse=True)
def own_log(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("ANALYSIS_CACHE", str(tmp_path_factory.mktemp("cache")))


def rows_of(corpus) -> list[tuple[str, str, str]]:
    return [(failure.item, failure.reason, failure.remedy) for failure in corpus.failures]


@pytest.fixture
def cases() -> Path:
    folder = Path(__file__).resolve().parents[3] / "shared" / "cases" / "robust" / "manifests"
    if not folder.is_dir():
        pytest.skip(f"the shared cases are not at {folder}")
    return folder


def test_a_row_with_more_cells_than_columns_changes_no_text(tmp_path: Path, sound, text):
    sound(tmp_path / "a.wav")
    sound(tmp_path / "b.wav")
    path = text(
        tmp_path / "words.csv", "path,transcript,speaker\na.wav,The goat, jumped,s1\nb.wav,The goat,s2\na.wav,The boat,s1,,\n"
    )
    corpus = open_corpus(path)
    assert [(one.id, one.text, one.speaker) for one in corpus] == [("b", "The goat", "s2"), ("a", "The boat", "s1")]
    assert rows_of(corpus) == [
        (
            f"line 2 of {path}",
            "It has 4 cells and the first line names 3 columns, so text may stand in the wrong one.",
            "Put a text with commas in quotation marks.",
        )
    ]
    table = text(tmp_path / "words.tsv", "path\ttranscript\na.wav\tThe goat\tjumped\nb.wav\tThe goat\n")
    corpus = open_corpus(table)
    assert [one.id for one in corpus] == ["b"]
    assert rows_of(corpus)[0][2] == "Take the tabs out of the text."


def test_unquoted_commas_of_the_shared_case(cases: Path, tmp_path: Path):
    assert main(["manifest", str(cases / "unquoted.csv"), str(tmp_path / "out.csv")]) == 0
    told = (tmp_path / "out.failures.csv").read_text(encoding="utf-8")
    assert f"corpus,line 2 of {cases / 'unquoted.csv'}," in told and "It has 4 cells and the first line names 3 columns" in told
    assert [one.text for one in open_corpus(tmp_path / "out.csv")] == ["The goat"]


def test_lines_that_are_no_rows(tmp_path: Path, sound, text):
    sound(tmp_path / "a.wav")
    sound(tmp_path / "b.wav")
    path = text(tmp_path / "words.csv", 'path,transcript\na.wav,"say "yes" now"\nb.wav,yes\n')
    corpus = open_corpus(path)
    assert [one.id for one in corpus] == ["b"]
    assert rows_of(corpus) == [
        (f"line 2 of {path}", "It cannot be parsed: ',' expected after '\"'.", "Double the quotation marks inside a field.")
    ]
    deep = "[" * 100_000
    many = '{"path": "a.wav", "transcript": %s}' % ("9" * 5000)
    good = '{"path": "b.wav", "transcript": "yes"}'
    path = text(tmp_path / "words.jsonl", f'{{"path": \n[1]\n"yes"\n{{"a": {deep}\n{many}\n{good}\n')
    corpus = open_corpus(path)
    assert [one.id for one in corpus] == ["b"]
    remedy = "Write one object a line."
    assert rows_of(corpus) == [
        (f"line 1 of {path}", "It is not JSON: Expecting value at column 9.", remedy),
        (f"line 2 of {path}", "It is no object with named values.", remedy),
        (f"line 3 of {path}", "It is no object with named values.", remedy),
        (f"line 4 of {path}", "It is not JSON: it is nested too deeply.", remedy),
        (
            f"line 5 of {path}",
            "It is not JSON: Exceeds the limit (4300 digits) for integer string conversion: value has 5000 digits; use "
            "sys.set_int_max_str_digits() to increase the limit.",
            remedy,
        ),
    ]


def test_characters_that_no_text_file_holds(tmp_path: Path, sound, text):
    sound(tmp_path / "a.wav")
    sound(tmp_path / "b.wav")
    path = text(
        tmp_path / "words.jsonl",
        '{"path": "a.wav", "transcript": "the go\\u0000at", "id": "1"}\n'
        '{"path": "a.wav", "transcript": "the go\\ud800at", "id": "2"}\n'
        '{"path": "a.wav", "transcript": "the goat", "id": "3\\u0000"}\n'
        '{"path": "a.wav", "transcript": "the goat", "id": "4", "speaker": "\\u0000"}\n'
        '{"path": "a\\u0000.wav", "transcript": "the goat", "id": "5"}\n'
        '{"path": "b.wav", "transcript": "the goat", "id": "6"}\n',
    )
    corpus = open_corpus(path)
    assert [one.id for one in corpus] == ["6"]
    half = "half a character (a lone surrogate), which UTF-8 cannot write"
    assert [row[:2] for row in rows_of(corpus)] == [
        ("1", "Its transcript holds a NUL character."),
        ("2", f"Its transcript holds {half}."),
        ("3\\0", "Its id holds a NUL character."),
        ("4", "Its speaker holds a NUL character."),
        ("5", f"{tmp_path}/a\0.wav does not exist."),
    ]
    assert rows_of(corpus)[0][2] == f"Write it again in row 1 of {path}; the file may be damaged."


def test_nul_in_the_shared_case_is_a_row_a_line(cases: Path):
    found = list(iter_corpus(cases / "nul.csv"))
    assert [(row.item, row.reason) for row in found] == [
        (f"good_demo1-d0{number}", "Its transcript holds a NUL character.") for number in (11, 26, 35)
    ]


def test_a_recording_that_failed_keeps_no_id_from_a_good_one(tmp_path: Path, sound, text):
    (tmp_path / "z.flac").write_bytes(b"")
    sound(tmp_path / "z.wav")
    sound(tmp_path / "z.ogg")
    path = text(tmp_path / "words.csv", "path,transcript\nz.flac,yes\nz.wav,yes\nz.ogg,yes\n")
    corpus = open_corpus(path)
    assert [(one.id, one.audio.name) for one in corpus] == [("z", "z.wav")]
    assert rows_of(corpus) == [
        (
            "z",
            f"{tmp_path / 'z.flac'} is empty (0 bytes).",
            "The copy or download was probably interrupted; fetch the file again.",
        ),
        (
            "z",
            f"The id occurs twice; the second one is {tmp_path / 'z.ogg'}.",
            "Rename one of the two, or remove the repeated entry; the first is kept.",
        ),
    ]


def test_the_good_one_of_the_shared_case_is_kept(cases: Path):
    corpus = open_corpus(cases / "firstbad.csv")
    assert [(one.id, one.audio.name) for one in corpus] == [("z", "z.wav"), ("good_demo1-d026", "good_demo1-d026.flac")]


def test_paths_that_the_system_refuses(tmp_path: Path, sound, text):
    sound(tmp_path / "a.wav")
    long = "x" * 300
    path = text(tmp_path / "words.csv", f"path,transcript\n{long}.wav,yes\n~nouser/x.wav,yes\na.wav,yes\n.,yes\n")
    corpus = open_corpus(path)
    assert [one.id for one in corpus] == ["a"]
    assert rows_of(corpus) == [
        (
            long,
            f"{tmp_path / long}.wav cannot be opened: File name too long.",
            "Check the path, and that this user may read it.",
        ),
        (
            "x",
            f"{tmp_path}/~nouser/x.wav does not exist.",
            "Mend the path in the manifest or transcript file, or fetch the recording.",
        ),
        (tmp_path.name, f"{tmp_path} is a folder, not an audio file.", "Mend the path in the manifest."),
    ]


@pytest.mark.parametrize("layout", ["folder", "vctk", "timit", "librispeech", "vocaset"])
def test_a_transcript_that_cannot_be_read_is_a_row(tmp_path: Path, sound, text, monkeypatch, layout: str):
    root = tmp_path / "corpus"
    if layout == "folder":
        bad = text(sound(root / "s" / "a.wav").with_suffix(".txt"), "yes")
        text(sound(root / "s" / "b.wav").with_suffix(".txt"), "yes")
    elif layout == "vctk":
        for name in ("p1_001", "p1_002"):
            sound(root / "wav48" / "p1" / f"{name}.wav")
            text(root / "txt" / "p1" / f"{name}.txt", "yes")
        bad = root / "txt" / "p1" / "p1_001.txt"
    elif layout == "timit":
        for name in ("SA1", "SA2"):
            sound(root / "DR1" / "FAAA0" / f"{name}.WAV")
            text(root / "DR1" / "FAAA0" / f"{name}.TXT", "0 3200 yes")
            text(root / "DR1" / "FAAA0" / f"{name}.PHN", "0 3200 h#")
        bad = root / "DR1" / "FAAA0" / "SA1.TXT"
    elif layout == "librispeech":
        for chapter in ("1", "2"):
            sound(root / "5" / chapter / f"5-{chapter}-0.wav")
            text(root / "5" / chapter / f"5-{chapter}.trans.txt", f"5-{chapter}-0 YES\n")
        bad = root / "5" / "1" / "5-1.trans.txt"
    else:
        for number in ("01", "02"):
            audio = sound(root / "FaceTalk_1_2_TA" / f"sentence{number}.wav")
            text(audio.with_suffix(".txt"), "yes")
        bad = root / "FaceTalk_1_2_TA" / "sentence01.txt"
    real = Path.read_bytes

    def read_bytes(path):
        if path == bad:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    corpus = open_corpus(f"{layout}:{root}")
    assert len(corpus) == 1
    (_, reason, remedy), *others = rows_of(corpus)
    # a list of transcripts that cannot be read leaves its recordings without one
    assert len(others) == (layout == "librispeech")
    assert reason == f"{bad} cannot be used: Permission denied."
    assert remedy == f"Check its path, and that this user may read it. The traceback is in {log_path()}."
    assert "PermissionError" in log_path().read_text(encoding="utf-8")


def test_a_recording_that_breaks_the_reader_is_a_row(tmp_path: Path, sound, text, monkeypatch):
    for name in ("a", "b"):
        text(sound(tmp_path / f"{name}.wav").with_suffix(".txt"), "yes")
    import analysis.corpus.recording as recording

    real = recording.read_header

    def read_header(path):
        if path.stem == "a":
            raise KeyError("chunk")
        return real(path)

    monkeypatch.setattr(recording, "read_header", read_header)
    corpus = open_corpus(tmp_path)
    assert [one.id for one in corpus] == ["b"]
    assert rows_of(corpus)[0][:2] == ("a", "KeyError: 'chunk'.")


def test_every_real_folder_is_visited_once(tmp_path: Path, sound, text):
    root = tmp_path / "corpus"
    text(sound(root / "b" / "one.wav").with_suffix(".txt"), "yes")
    text(sound(tmp_path / "elsewhere" / "two.wav").with_suffix(".txt"), "yes")
    (root / "loop").symlink_to(".")
    (root / "b" / "up").symlink_to("..")
    (root / "a").symlink_to("b")  # a second name of a folder, sorted before its own
    (root / "c").symlink_to(tmp_path / "elsewhere")
    (root / "d").symlink_to(tmp_path / "elsewhere")
    (root / "round").symlink_to("round")
    corpus = open_corpus(root)
    assert [(one.id, one.speaker) for one in corpus] == [("one", "b"), ("two", "c")]
    assert corpus.failures == ()
    assert [folder.relative_to(root).as_posix() for folder, _ in tree(root)] == [".", "b", "c"]


def test_a_folder_that_cannot_be_read_is_a_row(tmp_path: Path, sound, text, monkeypatch):
    text(sound(tmp_path / "a" / "one.wav").with_suffix(".txt"), "yes")
    text(sound(tmp_path / "b" / "two.wav").with_suffix(".txt"), "yes")
    real = os.scandir

    def scandir(path):
        if Path(path).name == "a":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    corpus = open_corpus(tmp_path)
    assert [one.id for one in corpus] == ["two"]
    assert rows_of(corpus) == [
        (str(tmp_path / "a"), "The folder cannot be read: Permission denied.", "Give this user the right to, or move it away.")
    ]


def at_rate(path: Path, rate: int, bytes_of_audio: int = 100_000) -> Path:
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(bytes_of_audio // 2), 16000, subtype="PCM_16")
    data = bytearray(path.read_bytes())
    data[24:28] = struct.pack("<I", rate)
    path.write_bytes(bytes(data))
    return path


def test_a_header_that_says_1_hz_asks_for_no_memory(tmp_path: Path):
    path = at_rate(tmp_path / "a.wav", 1)
    with pytest.raises(AudioError) as caught:
        read_audio(path)
    assert str(caught.value) == (
        f"{path} has a sampling rate of 1 Hz by its header; speech needs 2000 Hz at the least. The header is probably damaged: "
        "fetch the file again, or write it with the right rate."
    )


@pytest.mark.parametrize("scale", [1e30, 32768.0])
def test_samples_far_beyond_full_scale(tmp_path: Path, scale: float):
    path = tmp_path / "a.wav"
    wave = scale * np.sin(np.arange(8000) / 7)
    soundfile.write(path, wave.astype(np.float32), 16000, subtype="FLOAT")
    with pytest.raises(AudioError) as caught:
        read_audio(path)
    assert str(caught.value) == (
        f"{path} holds samples as large as {np.abs(wave).max():.3g}; audio lies between -1 and 1. They are probably integers stored "
        "as floats, or damaged: divide them by the largest integer (32768 for 16 bits), or export the recording again."
    )


def test_a_recording_too_long_for_memory(tmp_path: Path, sound, monkeypatch):
    path = sound(tmp_path / "a.wav")

    def read(*arguments, **options):
        raise MemoryError("Unable to allocate 256. GiB for an array")

    monkeypatch.setattr(soundfile, "read", read)
    with pytest.raises(AudioError) as caught:
        read_audio(path)
    assert str(caught.value) == (
        f"{path} does not fit into memory: its header promises 0 s of 1 channels. Cut it into utterances at its pauses, or fetch "
        "it again where the header is wrong."
    )


def test_a_full_disk_stops(tmp_path: Path, sound, text, monkeypatch):
    text(sound(tmp_path / "a.wav").with_suffix(".txt"), "yes")

    def read_bytes(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    with pytest.raises(OSError, match="No space left on device"):
        list(iter_corpus(f"folder:{tmp_path}"))


def test_text_that_is_not_the_utf16_it_is_marked_as(tmp_path: Path, sound, text):
    sound(tmp_path / "a.wav").with_suffix(".txt").write_bytes(b"\xff\xfey")
    text(sound(tmp_path / "b.wav").with_suffix(".txt"), "yes")
    corpus = open_corpus(tmp_path)
    assert [one.id for one in corpus] == ["b"]
    assert rows_of(corpus) == [("a", f"{tmp_path / 'a.txt'} is not UTF-16 as its mark says (byte 2).", "Save it as UTF-8.")]
    assert all(isinstance(row, Failure) for row in corpus.failures)
