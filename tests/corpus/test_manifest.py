from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.corpus import Utterance, iter_corpus, open_corpus, write_manifest
from analysis.corpus.manifest import read
from analysis.corpus.recording import Recording
from analysis.errors import CorpusError, Failure

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")


@pytest.fixture
def recordings(tmp_path: Path, sound) -> Path:
    sound(tmp_path / "clips" / "a.wav", rate=8000)
    sound(tmp_path / "clips" / "b.flac", rate=44100, channels=2)
    sound(tmp_path / "clips" / "c.ogg", seconds=0.5)
    return tmp_path


ROWS = [
    {
        "path": "clips/a.wav",
        "transcript": 'Say "yes", twice.',
        "speaker": "anna",
        "mood": "glad",
        "alignment": "grids/a.TextGrid",
    },
    {"path": "clips/b.flac", "transcript": "No; never.", "speaker": "bert", "mood": ""},
    {"path": "clips/c.ogg", "transcript": "Für Élise", "speaker": "anna", "mood": "calm"},
]


def manifest(path: Path, rows: list[dict], suffix: str) -> Path:
    path = path.with_suffix(suffix)
    table = pandas.DataFrame(rows, dtype=str).fillna("")
    if suffix == ".csv":
        table.to_csv(path, index=False)
    elif suffix == ".tsv":
        path.write_text("\n".join("\t".join(map(str, row)) for row in [table.columns, *table.values.tolist()]), encoding="utf-8")
    elif suffix == ".parquet":
        table.to_parquet(path)
    elif suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".json"])
def test_formats(recordings: Path, suffix: str):
    corpus = open_corpus(manifest(recordings / "words", ROWS, suffix))
    assert corpus.name == "words"
    assert not corpus.synthetic
    assert corpus.failures == ()
    first, second, third = corpus
    assert (first.id, first.text, first.speaker) == ("a", 'Say "yes", twice.', "anna")
    assert first.audio == recordings / "clips" / "a.wav"
    assert dict(first.extra) == {"mood": "glad", "alignment": str(recordings / "grids" / "a.TextGrid")}
    assert (second.sampling_rate, round(second.duration, 3), dict(second.extra)) == (44100, 0.2, {})
    assert (third.text, round(third.duration, 3)) == ("Für Élise", 0.5)


@pytest.mark.parametrize(
    ("path", "transcript", "speaker"),
    [("audio", "text", "speaker_id"), ("file_name", "transcription", "spk"), ("Audio_Filepath", "Sentence", "client_id")],
)
def test_other_names_for_the_columns(recordings: Path, path: str, transcript: str, speaker: str):
    table = recordings / "manifest.csv"
    table.write_text(f"{speaker},{path},{transcript}\r\nanna,clips/a.wav,yes\r\n", encoding="utf-8-sig")
    (utterance,) = open_corpus(table)
    assert (utterance.speaker, utterance.text, dict(utterance.extra)) == ("anna", "yes", {})
    assert open_corpus(recordings).utterances == (utterance,)  # a folder with a manifest in it


def test_a_file_called_manifest_is_named_after_its_folder(recordings: Path):
    assert open_corpus(manifest(recordings / "manifest", ROWS, ".csv")).name == recordings.name


def test_ids(recordings: Path, sound):
    sound(recordings / "more" / "a.wav")
    rows = [*ROWS, {"path": "more/a.wav", "transcript": "again", "speaker": "carl"}]
    corpus = open_corpus(manifest(recordings / "words", rows, ".csv"))
    assert [utterance.id for utterance in corpus] == ["clips-a", "clips-b", "clips-c", "more-a"]
    rows = [row | {"utt_id": f"u{number}"} for number, row in enumerate(rows)]
    corpus = open_corpus(manifest(recordings / "words", rows, ".csv"))
    assert [utterance.id for utterance in corpus] == ["u0", "u1", "u2", "u3"]


def test_bad_rows_are_listed_beside_the_good_ones(recordings: Path):
    (recordings / "clips" / "broken.wav").write_bytes(b"RIFF")
    rows = [
        {"id": "good", "path": "clips/a.wav", "transcript": "yes"},
        {"id": "gone", "path": "clips/z.wav", "transcript": "yes"},
        {"id": "broken", "path": "clips/broken.wav", "transcript": "yes"},
        {"id": "empty", "path": "clips/b.flac", "transcript": "  "},
        {"id": "none", "path": "clips/b.flac", "transcript": None},
        {"id": "good", "path": "clips/c.ogg", "transcript": "yes"},
        {"id": "nameless", "path": "", "transcript": "yes"},
        {"id": "", "path": "clips/c.ogg", "transcript": "yes"},
        {"id": "part", "path": "clips/c.ogg", "transcript": "yes", "offset": 300},
    ]
    path = manifest(recordings / "words", rows, ".jsonl")
    corpus = open_corpus(path)
    assert [utterance.id for utterance in corpus] == ["good"]
    assert corpus.utterances[0].speaker == "unknown"
    clips = recordings / "clips"
    assert [(failure.stage, failure.item, failure.reason, failure.remedy) for failure in corpus.failures] == [
        (
            "corpus",
            "gone",
            f"{clips / 'z.wav'} does not exist.",
            "Mend the path in the manifest or transcript file, or fetch the recording.",
        ),
        (
            "corpus",
            "broken",
            f"{clips / 'broken.wav'} cannot be read as audio: Format not recognised (4 bytes).",
            "It is truncated, damaged or of a format that libsndfile does not know; "
            "fetch it again, or convert it to WAV or FLAC.",
        ),
        (
            "corpus",
            "empty",
            f"The transcript of {clips / 'b.flac'} is empty.",
            f"Write its words in row 4 of {path}, or leave it out.",
        ),
        ("corpus", "none", f"{clips / 'b.flac'} has no transcript.", f"Write its words in row 5 of {path}."),
        (
            "corpus",
            "good",
            f"The id occurs twice; the second one is {clips / 'c.ogg'}.",
            "Rename one of the two, or remove the repeated entry; the first is kept.",
        ),
        ("corpus", f"row 7 of {path}", "It names no audio file.", "Fill the column 'path', or remove the row."),
        ("corpus", str(clips / "c.ogg"), "It has no id.", f"Give it one in row 8 of {path}."),
        (
            "corpus",
            "part",
            f"It starts at 300 s of {clips / 'c.ogg'}, which lasts 0.500 s.",
            f"Mend the times in row 9 of {path}; where they are times in another recording, rename their columns.",
        ),
    ]


def test_nothing_usable(recordings: Path):
    path = manifest(recordings / "words", [{"path": "z.wav", "transcript": "yes"}], ".csv")
    with pytest.raises(CorpusError) as caught:
        open_corpus(path)
    assert str(caught.value) == (
        f"Not one of the 1 recordings of {path}, read as manifest, can be used. The first, z: {recordings / 'z.wav'} "
        f"does not exist. Mend the path in the manifest or transcript file, or fetch the recording."
    )


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (
            "words.csv",
            "a,b\n1,2\n",
            "The manifest {path} has no column 'path'; it has 'a', 'b'. Name the column one of: path, audio, audio_path, "
            "audio_filepath, audio_file, file_name, filename, file, wav, wav_path, clip, recording.",
        ),
        (
            "words.csv",
            "path,b\n1,2\n",
            "The manifest {path} has no column 'transcript'; it has 'path', 'b'. Name the column one of: transcript, text, "
            "sentence, transcription, normalized_text, words, txt.",
        ),
        (
            "words.csv",
            "path,transcript\n",
            "The manifest {path} has no rows. Write one for each recording, below a line with the column names.",
        ),
        (
            "words.csv",
            "path;transcript\na.wav;yes\n",
            "The columns of {path} are separated by semicolons. Save it with commas, or with tabs as .tsv.",
        ),
        (
            "words.csv",
            'path,transcript\na.wav,"yes\nb.wav,"no"\n',
            "{path}, line 3 cannot be parsed: ',' expected after '\"'. Quotation marks inside a field are doubled in CSV.",
        ),
        ("words.json", '[{"path": "a.wav"', "{path} is not JSON: Expecting ',' delimiter at column 18. Write one object a line."),
    ],
)
def test_bad_tables(tmp_path: Path, text, name: str, content: str, expected: str):
    path = text(tmp_path / name, content)
    with pytest.raises(CorpusError) as caught:
        open_corpus(path)
    assert str(caught.value) == expected.format(path=path)


def test_bad_bytes(tmp_path: Path):
    path = tmp_path / "words.csv"
    path.write_bytes("path,transcript\na.wav,für\n".encode("latin-1"))
    with pytest.raises(CorpusError) as caught:
        open_corpus(path)
    assert str(caught.value).startswith(f"{path} is not UTF-8 (byte ")
    path = tmp_path / "words.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(CorpusError, match=r"words.parquet cannot be read as Parquet: .* It is incomplete or of another kind"):
        open_corpus(path)


def test_audio_inside_a_parquet_file_is_refused_with_the_way_out(tmp_path: Path):
    pandas.DataFrame([{"audio": {"path": None, "bytes": b"RIFF"}, "text": "yes"}]).to_parquet(tmp_path / "words.parquet")
    (failure,) = iter_corpus(tmp_path / "words.parquet")
    assert isinstance(failure, Failure)
    assert failure.reason == "Its audio is stored inside the table."
    assert failure.remedy == (
        "Write each recording to a file (`Audio(decode=False)` of datasets gives its bytes) and name the files here."
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_was_written_reads_the_same(recordings: Path, suffix: str):
    corpus = open_corpus(manifest(recordings / "words", ROWS, ".jsonl"))
    failure = Failure("corpus", "x", "It hums.", "Record it again.")
    written = write_manifest([*corpus, failure], recordings / "out" / f"again{suffix}")
    assert (written.n_utterances, written.n_failures, round(written.duration, 3)) == (3, 1, 0.9)
    assert written.failures is not None
    assert written.failures.read_text(encoding="utf-8").splitlines()[1] == "corpus,x,It hums.,Record it again.,error"
    again = open_corpus(written.path)
    assert [(u.id, u.audio, u.text, u.speaker) for u in again] == [(u.id, u.audio, u.text, u.speaker) for u in corpus]
    assert [{"mood": u.extra.get("mood"), "alignment": u.extra.get("alignment")} for u in again] == [
        {"mood": u.extra.get("mood"), "alignment": u.extra.get("alignment")} for u in corpus
    ]
    assert sorted(path.name for path in written.path.parent.iterdir()) == sorted(["again.failures.csv", f"again{suffix}"])
    assert write_manifest(corpus, written.path).failures is None
    assert not (written.path.parent / "again.failures.csv").exists()


def test_paths_below_a_manifest_are_relative_to_it(recordings: Path, tmp_path: Path):
    corpus = open_corpus(manifest(recordings / "words", ROWS, ".jsonl"))
    write_manifest(corpus, recordings / "new.jsonl")
    assert json.loads((recordings / "new.jsonl").read_text(encoding="utf-8").splitlines()[0])["path"] == "clips/a.wav"


def test_other_endings_are_refused(tmp_path: Path):
    with pytest.raises(CorpusError) as caught:
        write_manifest([], tmp_path / "a.xlsx")
    assert str(caught.value) == f"A manifest ends in .csv, .tsv, .jsonl or .parquet, not '.xlsx' ({tmp_path / 'a.xlsx'})."


plain = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=30)
words = plain.map(lambda text: " ".join(text.split())).filter(bool)


@given(rows=st.lists(st.tuples(words, words, words), min_size=1, max_size=5, unique_by=lambda row: row[0]))
@settings(max_examples=30, deadline=None)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_any_text_survives(suffix: str, rows: list[tuple[str, str, str]]):
    with tempfile.TemporaryDirectory() as folder:
        utterances = [
            Utterance(name, Path(folder) / f"{number}.wav", said, speaker, 1.0, 16000, {"note": said})
            for number, (name, said, speaker) in enumerate(rows)
        ]
        path = write_manifest(utterances, Path(folder) / f"m{suffix}").path
        again = list(read(path))
        assert all(isinstance(recording, Recording) for recording in again)
        assert [(r.id, r.audio, r.text, r.speaker, r.extra["note"]) for r in again] == [
            (u.id, u.audio, u.text, u.speaker, u.extra["note"]) for u in utterances
        ]
