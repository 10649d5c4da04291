"""Who speaks: what the layout says, a level of folders, a pattern in paths; and folders as people have them."""

from __future__ import annotations

import json
import unicodedata

import numpy as np
import pytest
import soundfile

from analysis.corpus import open_corpus
from analysis.corpus.__main__ import main
from analysis.corpus.speakers import SpeakerRule
from analysis.errors import ConfigurationError, CorpusError
from analysis.settings import DecoupleConfig


def put(path, text=None, suffix=".txt"):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.sin(np.arange(8000) / 5), 16000)
    if text is not None:
        path.with_suffix(suffix).write_text(text, encoding="utf-8")
    return path


def speakers(corpus):
    return {utterance.id: utterance.speaker for utterance in corpus}


@pytest.fixture
def sessions(tmp_path):
    for speaker in ("ann", "bob"):
        put(tmp_path / "c" / speaker / "session1" / f"{speaker}_1.wav", "the ship")
    return tmp_path / "c"


@pytest.mark.parametrize(
    ("rule", "found", "words"),
    [
        (
            {},
            ["session1", "session1"],
            "the turns of conversations, else the folder that holds each recording; above one called wav or audio",
        ),
        ({"speaker_level": 1}, ["ann", "bob"], "folders of level 1 inside the corpus"),
        ({"speaker_level": 2}, ["session1", "session1"], "folders of level 2 inside the corpus"),
        ({"speaker_level": -1}, ["session1", "session1"], "the folder that holds each recording"),
        ({"speaker_level": -2}, ["ann", "bob"], "the folder above the one that holds each recording"),
        ({"speaker_pattern": r"([a-z]+)_\d"}, ["ann", "bob"], r"what the pattern ([a-z]+)_\d finds in each path"),
        (
            {"speaker_pattern": "(?P<speaker>[ab])[a-z]+/"},
            ["a", "b"],
            "what the pattern (?P<speaker>[ab])[a-z]+/ finds in each path",
        ),
        ({"speaker_pattern": "^[a-z]+"}, ["ann", "bob"], "what the pattern ^[a-z]+ finds in each path"),
    ],
)
def test_levels_and_patterns(sessions, rule, found, words):
    corpus = open_corpus(sessions, **rule)
    assert [utterance.speaker for utterance in corpus] == found and corpus.speakers_from == words
    rows = [(one.item, one.reason, one.remedy, one.severity) for one in corpus.failures]
    assert rows == (
        []
        if rule
        else [
            (
                "speaker session1",
                "2 folders called session1 count as one speaker, such as ann/session1 and bob/session1.",
                "If they are of several people, give --speaker-level 1, or --speaker-pattern.",
                "warning",
            )
        ]
    )


def test_a_path_without_a_speaker_is_a_failure(sessions):
    path = put(sessions / "stray.wav", "the sheep")
    corpus = open_corpus(sessions, speaker_level=1)
    assert [utterance.speaker for utterance in corpus] == ["ann", "bob"]
    assert [(one.item, one.reason, one.remedy) for one in corpus.failures] == [
        (
            "stray", f"{path} has no speaker by the speaker level 1.",
            "Change the level or pattern so that it fits every recording, or leave this one out.",
        )
    ]  # fmt: skip
    with pytest.raises(CorpusError) as caught:
        open_corpus(sessions, speaker_pattern="nobody")
    assert "has no speaker by the speaker pattern nobody." in str(caught.value)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"level": 1, "pattern": "a"}, "Give a speaker level or a speaker pattern, not both."),
        (
            {"level": 0},
            "The speaker level is 1 for the folder just inside the corpus, -1 for the one that holds the recording; it cannot be 0.",
        ),
        (
            {"pattern": "(a"},
            "The speaker pattern '(a' is no regular expression: missing ), unterminated subpattern at position 0. Write one such as "
            "'(spk[0-9]+)_'.",
        ),
    ],
)
def test_rules_that_cannot_be(rule, message):
    with pytest.raises(ConfigurationError) as caught:
        SpeakerRule(**rule)
    assert str(caught.value) == message


def test_the_output_says_how_speakers_were_found(sessions, tmp_path, capsys):
    assert main(["list", str(sessions), "--json", str(tmp_path / "a.json"), "--strict"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (
        "speakers from   the turns of conversations, else the folder that holds each recording; above one called wav or audio"
        in lines
    )
    assert "left out        0" in lines and lines[-1].startswith("  speaker session1: 2 folders called session1")
    assert main(["list", str(sessions), "--speaker-level", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "speakers        2" in lines and "speakers from   folders of level 1 inside the corpus" in lines
    manifest = tmp_path / "m.jsonl"
    assert main(["manifest", str(sessions), str(manifest), "--speaker-pattern", "^[a-z]+"]) == 0
    assert [json.loads(line)["speaker"] for line in manifest.read_text().splitlines()] == ["ann", "bob"]
    again = open_corpus(manifest)
    assert again.speakers_from == "the manifest's column speaker; without one all are `unknown`"
    assert DecoupleConfig(speaker_level=1).hash() != DecoupleConfig().hash() == DecoupleConfig(speaker_level=None).hash()


def test_the_reported_sessions(shared_cases):
    found = open_corpus(shared_cases / "speech" / "ses", speaker_level=1)
    assert sorted(utterance.speaker for utterance in found) == ["spk01", "spk02"]
    [warning] = open_corpus(shared_cases / "speech" / "ses").failures
    assert warning.reason == "2 folders called session1 count as one speaker, such as spk01/session1 and spk02/session1."


def test_a_folder_called_wav_belongs_to_the_speaker_above(tmp_path):
    for speaker in ("ann", "bob"):
        put(tmp_path / "c" / speaker / "wav" / f"{speaker}1.wav", "the ship")
    corpus = open_corpus(tmp_path / "c")
    assert speakers(corpus) == {"ann1": "ann", "bob1": "bob"} and not corpus.failures
    assert speakers(open_corpus(tmp_path / "c" / "ann")) == {"ann1": "ann"}


def test_l2_arctic(tmp_path):
    root = tmp_path / "l2arctic"
    for speaker in ("ABA", "YBAA"):
        put(root / speaker / "wav" / "arctic_a0001.wav")
        for folder, suffix in (("transcript", "txt"), ("textgrid", "TextGrid"), ("annotation", "TextGrid")):
            (root / speaker / folder).mkdir()
            (root / speaker / folder / f"arctic_a0001.{suffix}").write_text("Author of the danger trail, Philip Steels")
    corpus = open_corpus(root)
    assert speakers(corpus) == {"ABA_arctic_a0001": "ABA", "YBAA_arctic_a0001": "YBAA"}
    first = corpus.utterances[0]
    assert first.text == "Author of the danger trail, Philip Steels" and corpus.speakers_from == "the folder above wav/"
    assert first.extra["alignment"] == str(root / "ABA" / "textgrid" / "arctic_a0001.TextGrid")
    assert speakers(open_corpus(root / "ABA")) == {"ABA_arctic_a0001": "ABA"}
    (root / "ABA" / "transcript" / "arctic_a0001.txt").unlink()
    [failure] = open_corpus(root).failures
    assert failure.remedy == f"Write its words in {root / 'ABA' / 'transcript' / 'arctic_a0001.txt'}."


@pytest.mark.parametrize("separator", [" ", "\t", "  ", "\t\t"])
def test_transcripts_of_librispeech_with_tabs(tmp_path, separator):
    put(tmp_path / "1" / "2" / "1-2-0000.flac")
    (tmp_path / "1" / "2" / "1-2.trans.txt").write_text(f"1-2-0000{separator}THE SHIP\n")
    assert [one.text for one in open_corpus(tmp_path)] == ["THE SHIP"]


@pytest.mark.parametrize("disk", ["NFC", "NFD"])
@pytest.mark.parametrize("table", ["NFC", "NFD"])
def test_names_in_either_form_of_accents(tmp_path, disk, table):
    on_disk, in_table = unicodedata.normalize(disk, "café"), unicodedata.normalize(table, "café")
    put(tmp_path / "folder" / f"{on_disk}.wav").parent.joinpath(f"{in_table}.txt").write_text("the ship")
    put(tmp_path / "manifest" / f"{on_disk}.wav").parent.joinpath("m.csv").write_text(
        f"path,transcript\n{in_table}.wav,the ship\n"
    )
    put(tmp_path / "libri" / f"{on_disk}-1.wav").parent.joinpath(f"{in_table}.trans.txt").write_text(f"{in_table}-1 the ship\n")
    put(tmp_path / "lj" / "wavs" / f"{on_disk}.wav").parent.parent.joinpath("metadata.csv").write_text(f"{in_table}|the ship\n")
    for corpus in ("folder", "manifest/m.csv", "libri", "lj"):
        found = open_corpus(tmp_path / corpus)
        assert [one.text for one in found] == ["the ship"] and not found.failures, corpus


FESTIVAL = "separator ;\n#\n0.2 26 DH\n0.3 26 AH\n0.5 26 pau\n"
HTK_PHONES = "0 2000000 DH\n2000000 3000000 AH\n3000000 5000000 pau\n"
HTK_WORDS = "0 2000000 the\n2000000 5000000 ship\n"


@pytest.mark.parametrize(
    ("labels", "key"), [(FESTIVAL, "phone_labels"), (HTK_PHONES, "phone_labels"), (HTK_WORDS, "word_labels")]
)
def test_label_files_beside_transcripts_are_read(tmp_path, labels, key):
    path = put(tmp_path / "a.wav", "The ship.")
    path.with_suffix(".lab").write_text(labels)
    [utterance] = open_corpus(tmp_path)
    assert utterance.text == "The ship." and dict(utterance.extra) == {key: str(tmp_path / "a.lab")}


@pytest.mark.parametrize(
    ("name", "content", "reason", "remedy"),
    [
        ("a.lab", HTK_PHONES, "a.lab holds labels with times.", "Write the words into a.txt beside it; leave a.lab as it is."),
        ("a.lab", FESTIVAL, "a.lab holds labels with times.", "Write the words into a.txt beside it; leave a.lab as it is."),
        (
            "a.txt", "0.1\t0.25\tthe\n0.25\t0.5\tship\n", "a.txt holds labels with times.",
            "Write the words into a.lab beside it; leave a.txt as it is.",
        ),
        (
            "a_annot.json", "{}", "a_annot.json is an annotation of EMU.",
            "Export TextGrids with export_TextGridCollection() of emuR, or write the words into a.txt beside it.",
        ),
        (
            "a.eaf", "<x/>", "a.eaf is an annotation of ELAN.",
            "Export it in ELAN with File > Export As > Praat TextGrid, or write the words into a.txt beside it.",
        ),
        (
            "a.json", "{}", "a.json is a JSON file.",
            "Where MFA wrote it, run MFA with --output_format long_textgrid, or write the words into a.txt beside it.",
        ),
    ],
)  # fmt: skip
def test_no_remedy_overwrites_labels(tmp_path, name, content, reason, remedy):
    put(tmp_path / "b.wav", "the sheep")
    path = put(tmp_path / "a.wav")
    (tmp_path / name).write_text(content)
    corpus = open_corpus(tmp_path)
    assert speakers(corpus) == {"b": tmp_path.name}
    assert [(one.item, one.reason, one.remedy) for one in corpus.failures] == [
        ("a", f"{path} has no transcript, but {reason}", remedy)
    ]


@pytest.mark.parametrize("text", ["20 20 vision", "5 6 seven\n8 9 ten", "1.5 2.5 cups is 4 cups\nof tea"])
def test_transcripts_that_begin_with_numbers_are_no_labels(tmp_path, text):
    put(tmp_path / "a.wav", text, ".lab")
    assert [one.text for one in open_corpus(tmp_path)] == [" ".join(text.split())]
