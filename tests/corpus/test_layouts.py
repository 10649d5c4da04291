from __future__ import annotations

import os
from pathlib import Path

import pytest

from analysis.corpus import iter_corpus, open_corpus
from analysis.corpus.labels import read_labels
from analysis.corpus.opening import LAYOUTS, known_layouts, locate
from analysis.errors import CorpusError, Failure


def layout_of(root: Path | str) -> str | None:
    layout, _ = locate(root)
    return layout.name if layout else None


def opened(root: Path) -> dict[str, tuple[str, str]]:
    """Speaker and text of each utterance, through detection and forced, which must agree."""
    corpus = open_corpus(root)
    assert open_corpus(f"{layout_of(root)}:{root}") == corpus
    return {utterance.id: (utterance.speaker, utterance.text) for utterance in corpus}


@pytest.fixture
def librispeech(tmp_path: Path, sound, text) -> Path:
    root = tmp_path / "LibriSpeech"
    for subset, speaker, chapter in [("dev-clean", "84", "121123"), ("train-other-500", "20", "205")]:
        folder = root / subset / speaker / chapter
        lines = []
        for number in range(2):
            sound(folder / f"{speaker}-{chapter}-{number:04d}.flac")
            lines.append(f"{speaker}-{chapter}-{number:04d} HE SAID NUMBER {number}\n")
        text(folder / f"{speaker}-{chapter}.trans.txt", "".join(lines))
    text(root / "SPEAKERS.TXT", ";ID |SEX\n84 | F\n")
    return root


def test_librispeech(librispeech: Path):
    assert layout_of(librispeech) == "librispeech"
    assert opened(librispeech) == {
        "84-121123-0000": ("84", "HE SAID NUMBER 0"),
        "84-121123-0001": ("84", "HE SAID NUMBER 1"),
        "20-205-0000": ("20", "HE SAID NUMBER 0"),
        "20-205-0001": ("20", "HE SAID NUMBER 1"),
    }
    assert dict(open_corpus(librispeech).utterances[2].extra) == {"chapter": "205", "subset": "train-other-500"}
    for part in ("dev-clean", "dev-clean/84", "dev-clean/84/121123"):
        assert len(opened(librispeech / part)) == 2
    assert open_corpus(librispeech / "dev-clean").name == "dev-clean"


def test_librispeech_with_holes(librispeech: Path, sound, text):
    folder = librispeech / "dev-clean/84/121123"
    (folder / "84-121123-0000.flac").unlink()
    sound(folder / "84-121123-0007.flac")
    text(librispeech / "dev-other/84/121123/84-121123.trans.txt", "84-121123-0001 AGAIN\n")
    sound(librispeech / "dev-other/84/121123/84-121123-0001.flac")
    corpus = open_corpus(librispeech)
    assert [utterance.id for utterance in corpus] == ["84-121123-0001", "20-205-0000", "20-205-0001"]
    other = librispeech / "dev-other/84/121123/84-121123-0001.flac"
    assert [(failure.item, failure.reason) for failure in corpus.failures] == [
        ("84-121123-0000", f"{folder / '84-121123-0000.flac'} does not exist."),
        ("84-121123-0007", f"{folder / '84-121123-0007.flac'} has no transcript."),
        ("84-121123-0001", f"The id occurs twice; the second one is {other}."),
    ]
    assert corpus.failures[1].remedy == f"Write its words in {folder / '84-121123.trans.txt'}."


def test_folder(tmp_path: Path, sound, text):
    root = tmp_path / "mfa"
    text(sound(root / "anna" / "one.wav").with_suffix(".lab"), "the first one\n")
    text(sound(root / "anna" / "two.flac").with_suffix(".txt"), "The second,\nover two lines.")
    text(sound(root / "bert" / "three.wav", rate=44100, channels=2).with_suffix(".normalized.txt"), "number three")
    text(root / "bert" / "three.txt", "no. 3")
    text(sound(root / "bert" / "four.wav").with_suffix(".lab"), "#\n 0.1 125 pau\n 0.2 125 f\n")
    text(root / "bert" / "four.txt", "vier", "utf-16")
    sound(root / "bert" / "five.wav")
    text(sound(root / "bert" / "six.wav").with_suffix(".lab"), " \n")
    text(root / "bert" / "._six.wav", "left by an archive")
    text(root / "bert" / "seven.txt", "from a telephone")
    text(root / "bert" / "seven.M4A", "AAC")
    text(root / "bert" / "holiday.mp4", "a film that nobody transcribed")
    assert layout_of(root) == "folder"
    corpus = open_corpus(root)
    assert {utterance.id: (utterance.speaker, utterance.text) for utterance in corpus} == {
        "one": ("anna", "the first one"),
        "two": ("anna", "The second, over two lines."),
        "three": ("bert", "number three"),
        "four": ("bert", "vier"),
    }
    assert [(failure.item, failure.reason, failure.remedy) for failure in corpus.failures] == [
        (
            "five",
            f"{root / 'bert' / 'five.wav'} has no transcript.",
            f"Write its words in {root / 'bert' / 'five.lab'}.",
        ),
        (
            "seven",
            f"{root / 'bert' / 'seven.M4A'} is of a format that libsndfile does not read (.m4a).",
            "Convert it, with ffmpeg -i seven.M4A seven.wav for example.",
        ),
        (
            "six",
            f"The transcript of {root / 'bert' / 'six.wav'} is empty.",
            f"Write its words in {root / 'bert' / 'six.lab'}, or leave it out.",
        ),
    ]
    only = tmp_path / "telephone"
    text(only / "a.m4a", "AAC")
    text(only / "a.lab", "hello")
    with pytest.raises(CorpusError, match=r"Not one of the 1 recordings .* does not read \(\.m4a\)\. Convert it, with ffmpeg"):
        open_corpus(only)


def test_a_name_that_is_not_utf8_stops_no_corpus(tmp_path: Path, sound, text):
    for name in ("good", "quote'\"", "line\nbreak", "a,b;c", "näme\u0301"):
        text(sound(tmp_path / f"{name}.wav").with_suffix(".txt"), "hello")
    for ending in (".wav", ".txt", ".m4a"):
        name = (b"m\xfcde" if ending != ".m4a" else b"m\xfcde2") + ending.encode()
        (Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name)))).write_bytes((tmp_path / "good.wav").read_bytes())
    (Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), b"m\xfcde2.txt")))).write_text("hello")
    corpus = open_corpus(tmp_path)
    assert sorted(utterance.id for utterance in corpus) == sorted(["good", "quote'\"", "line\nbreak", "a,b;c", "näme\u0301"])
    assert [(failure.item, failure.reason) for failure in corpus.failures] == [
        ("m\\xfcde", f"The name of {tmp_path}/m\\xfcde.wav is not UTF-8."),
        ("m\\xfcde2", f"{tmp_path}/m\\xfcde2.m4a is of a format that libsndfile does not read (.m4a)."),
    ]


def test_folders_whose_file_names_repeat(tmp_path: Path, sound, text):
    for speaker in ("anna", "bert"):
        text(sound(tmp_path / speaker / "001.wav").with_suffix(".lab"), f"I am {speaker}")
    assert list(opened(tmp_path)) == ["anna-001", "bert-001"]


def test_textgrids_as_transcripts(shared_data: Path):
    corpus = open_corpus(shared_data / "autovot_1054")
    assert len(corpus) == 15
    assert corpus.failures == ()
    first = corpus.utterances[0]
    assert (first.id, first.text) == ("cas7D_1054_13_3", "NOW MOVE THE PUN ABOVE THE SEA HORSE")
    assert first.extra["alignment"] == str(shared_data / "autovot_1054" / "cas7D_1054_13_3.TextGrid")


def test_recordings_of_mixed_rates_and_formats(shared_data: Path):
    corpus = open_corpus(shared_data / "manifest.csv")
    assert len(corpus) == 71
    assert corpus.failures == ()
    assert {utterance.sampling_rate for utterance in corpus} == {8000, 16000, 22050, 48000}
    assert {utterance.audio.suffix for utterance in corpus} == {".wav", ".flac"}


def test_ljspeech(tmp_path: Path, sound, text):
    root = tmp_path / "LJSpeech-1.1"
    for number in (1, 2, 4):
        sound(root / "wavs" / f"LJ001-000{number}.wav", rate=22050)
    text(root / "metadata.csv", 'LJ001-0001|In 1455|In fourteen fifty-five\nLJ001-0002|He said "no|He said "no\nLJ001-0003|a|b\n')
    assert layout_of(root) == "ljspeech"
    assert opened(root) == {"LJ001-0001": ("LJ", "In fourteen fifty-five"), "LJ001-0002": ("LJ", 'He said "no')}
    corpus = open_corpus(root)
    assert [dict(utterance.extra) for utterance in corpus] == [{"printed": "In 1455"}, {}]
    assert [failure.item for failure in corpus.failures] == ["LJ001-0003", "LJ001-0004"]


def test_vctk(tmp_path: Path, sound, text):
    root = tmp_path / "VCTK"
    for name in ("p225_001_mic1", "p225_001_mic2", "p225_002_mic2"):
        sound(root / "wav48_silence_trimmed" / "p225" / f"{name}.flac", rate=48000)
    sound(root / "wav48_silence_trimmed" / "p315" / "p315_001_mic1.flac", rate=48000)
    text(root / "txt" / "p225" / "p225_001.txt", "Please call Stella.\n")
    text(root / "txt" / "p225" / "p225_002.txt", "Ask her.\n")
    text(root / "speaker-info.txt", "ID  AGE  GENDER  ACCENTS  REGION COMMENTS \np225  23  F    English    Southern  England\n")
    assert layout_of(root) == "vctk"
    assert opened(root) == {"p225_001": ("p225", "Please call Stella."), "p225_002": ("p225", "Ask her.")}
    corpus = open_corpus(root)
    assert [utterance.audio.stem for utterance in corpus] == ["p225_001_mic1", "p225_002_mic2"]
    assert dict(corpus.utterances[0].extra) == {"age": "23", "sex": "F", "accent": "English"}
    (failure,) = corpus.failures
    assert failure.remedy == f"Write its words in {root / 'txt' / 'p315' / 'p315_001.txt'}."


@pytest.mark.parametrize("upper", [True, False])
def test_timit(tmp_path: Path, sound, text, upper: bool):
    def named(name: str) -> str:
        return name if upper else name.lower()

    root = tmp_path / "TIMIT"
    for speaker in ("FCJF0", "MDAB0"):
        folder = root / named("TRAIN") / named("DR1") / named(speaker)
        sound(folder / named("SA1.WAV"), format="NIST")
        text(folder / named("SA1.TXT"), "0 3200 She had your dark suit.\n")
        text(folder / named("SA1.PHN"), "0 1600 h#\n1600 3200 sh\n")
        text(folder / named("SA1.WRD"), "1600 3200 she\n")
    sound(root / named("TRAIN") / named("DR1") / named("MDAB0") / "SA1.WAV.wav")
    assert layout_of(root) == "timit"
    assert opened(root) == {
        "FCJF0_SA1": ("FCJF0", "She had your dark suit."),
        "MDAB0_SA1": ("MDAB0", "She had your dark suit."),
    }
    corpus = open_corpus(root)
    extra = corpus.utterances[0].extra
    assert (extra["dialect"], extra["split"], extra["sex"], extra["sentence"]) == ("DR1", "train", "F", "SA1")
    assert [phone.label for phone in read_labels(extra["phone_labels"])] == ["sh"]
    assert [word.label for word in read_labels(extra["word_labels"])] == ["she"]


@pytest.mark.parametrize("nested", [True, False])
def test_buckeye(tmp_path: Path, sound, text, nested: bool):
    root = tmp_path / "buckeye"
    folder = root / "s01" / "s0101a" if nested else root / "s01"
    sound(folder / "s0101a.wav")
    text(
        folder / "s0101a.words",
        "signal s0101a\n#\n 0.05 122 <SIL>\n 0.1 122 yes; y eh s; y eh s; UH\n 0.2 122 sir; s er; s er; NN\n",
    )
    text(folder / "s0101a.phones", "#\n 0.05 122 SIL\n 0.1 122 y\n")
    text(folder / "s0101a.txt", "yes sir")
    sound(folder / "s0101b.wav")
    text(folder / "s0101b.words", "broken")
    assert layout_of(root) == "buckeye"
    assert opened(root) == {"s0101a": ("s01", "yes sir")}
    corpus = open_corpus(root)
    assert corpus.utterances[0].extra["phone_labels"] == str(folder / "s0101a.phones")
    (failure,) = corpus.failures
    assert (failure.item, failure.reason) == (
        "s0101b",
        f"{folder / 's0101b.words'} has no line `#`, below which the labels stand.",
    )


def test_arctic(tmp_path: Path, sound, text):
    for voice in ("bdl", "slt"):
        root = tmp_path / f"cmu_us_{voice}_arctic"
        sound(root / "wav" / "arctic_a0001.wav")
        text(root / "lab" / "arctic_a0001.lab", "#\n 0.1 125 pau\n 0.2 125 ao\n")
        text(
            root / "etc" / "txt.done.data",
            '( arctic_a0001 "Author of the \\"danger\\" trail." )\n( arctic_a0002 "Not at this" )\nx\n',
        )
    assert layout_of(tmp_path) == layout_of(tmp_path / "cmu_us_slt_arctic") == "arctic"
    assert opened(tmp_path) == {
        "bdl_arctic_a0001": ("bdl", 'Author of the "danger" trail.'),
        "slt_arctic_a0001": ("slt", 'Author of the "danger" trail.'),
    }
    corpus = open_corpus(tmp_path / "cmu_us_slt_arctic")
    assert [phone.label for phone in read_labels(corpus.utterances[0].extra["phone_labels"])] == ["ao"]
    assert [failure.reason for failure in corpus.failures] == [
        f"{tmp_path / 'cmu_us_slt_arctic' / 'wav' / 'arctic_a0002.wav'} does not exist.",
        "It is 'x'.",
    ]


def test_common_voice(tmp_path: Path, sound, text):
    root = tmp_path / "cv-corpus" / "en"
    header = "client_id\tpath\tsentence\tup_votes\tage\n"
    for number in (1, 2):
        sound(root / "clips" / f"common_voice_en_{number}.mp3", seconds=0.5, rate=48000)
    text(
        root / "validated.tsv",
        header + 'ab\tcommon_voice_en_1.mp3\t"Yes, he said.\t2\t\ncd\tcommon_voice_en_2.mp3\tNo.\t3\tteens\n',
    )
    text(root / "test.tsv", header + "cd\tcommon_voice_en_2.mp3\tNo.\t3\tteens\n")
    everything = {"common_voice_en_1": ("ab", '"Yes, he said.'), "common_voice_en_2": ("cd", "No.")}
    assert layout_of(root) == layout_of(tmp_path / "cv-corpus") == layout_of(root / "test.tsv") == "common_voice"
    assert opened(root) == everything
    assert opened(tmp_path / "cv-corpus") == everything
    assert list(opened(root / "test.tsv")) == ["common_voice_en_2"]
    assert dict(open_corpus(root).utterances[1].extra) == {"up_votes": "3", "age": "teens"}
    sound(tmp_path / "cv-corpus" / "fr" / "clips" / "a.mp3", seconds=0.5)
    text(tmp_path / "cv-corpus" / "fr" / "test.tsv", header + "x\ta.mp3\tOui.\t1\t\n")
    with pytest.raises(CorpusError) as caught:
        open_corpus(tmp_path / "cv-corpus")
    assert str(caught.value) == (
        f"{tmp_path / 'cv-corpus'} holds clips/ and tables of Common Voice for 2 languages (en, fr). "
        f"Give the folder of one language, or one table in it."
    )


SUBJECT = "FaceTalk_170725_00137_TA"


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        (f"sentencestext/{SUBJECT}.txt", "She had\nDon't ask\n"),
        ("sentences.txt", "2. Don't ask\n1. She had\n"),
        (f"sentencestext/{SUBJECT}/sentence02.txt", "Don't ask"),
    ],
)
def test_vocaset(tmp_path: Path, sound, text, flat: bool, name: str, content: str):
    for number in (1, 2):
        sound(
            tmp_path / (f"wav/{SUBJECT}_sentence0{number}.wav" if flat else f"audio/{SUBJECT}/sentence0{number}.wav"), rate=22000
        )
    text(tmp_path / name, content)
    assert layout_of(tmp_path) == "vocaset"
    utterances = opened(tmp_path)
    assert utterances[f"{SUBJECT}_sentence02"] == (SUBJECT, "Don't ask")
    if "sentence02" in name:
        (failure,) = open_corpus(tmp_path).failures
        assert failure.item == f"{SUBJECT}_sentence01"
        assert failure.reason.endswith("sentence01.wav has no transcript.")
    else:
        assert utterances[f"{SUBJECT}_sentence01"] == (SUBJECT, "She had")


@pytest.mark.parametrize("pattern", ["wav/F1_{}.wav", "F1/{}.wav"])
def test_biwi(tmp_path: Path, sound, text, pattern: str):
    for number in ("01", "e02"):
        sound(tmp_path / pattern.format(number), rate=44100)
    text(tmp_path / "sentences.txt", "First said.\nThen felt.\n")
    assert layout_of(tmp_path) == "biwi"
    assert opened(tmp_path) == {"F1_01": ("F1", "First said."), "F1_e02": ("F1", "Then felt.")}
    assert [utterance.extra["emotion"] for utterance in open_corpus(tmp_path)] == ["neutral", "emotional"]


def message(spec: str | Path) -> str:
    with pytest.raises(CorpusError) as caught:
        open_corpus(spec)
    if "Not one of" not in str(caught.value) and "holds no recordings" not in str(caught.value):
        with pytest.raises(CorpusError) as streamed:
            list(iter_corpus(spec))
        assert str(streamed.value) == str(caught.value)
    return str(caught.value)


def test_no_such_corpus(tmp_path: Path, monkeypatch, sound):
    monkeypatch.chdir(tmp_path)
    assert message("nowhere") == (
        f"There is no corpus at nowhere (looked in {tmp_path}). "
        f"Give `demo`, a folder, a manifest file, or `layout:path` with one of these layouts:\n{known_layouts()}"
    )
    assert message(f"librispech:{tmp_path}") == f"There is no corpus layout 'librispech'. Known layouts:\n{known_layouts()}"
    assert message(tmp_path) == (
        f"{tmp_path} is no corpus of a known layout: it seems to hold no audio. "
        f"Known layouts, any of which `layout:path` forces:\n{known_layouts()}"
    )
    sound(tmp_path / "a.wav")
    assert message(tmp_path) == (
        f"{tmp_path} is no corpus of a known layout: it holds audio (a.wav) but no transcripts. "
        f"Known layouts, any of which `layout:path` forces:\n{known_layouts()}"
    )
    assert message("a.wav") == (
        f"{tmp_path / 'a.wav'} is one recording, not a corpus. Give the folder that holds it with its transcript "
        f"(a.lab or a.txt), or a manifest."
    )
    (tmp_path / "a.docx").write_bytes(b"")
    assert message("a.docx") == (
        f"{tmp_path / 'a.docx'} is no corpus of a known layout: it is a file of none of the kinds that manifests have. "
        f"Known layouts, any of which `layout:path` forces:\n{known_layouts()}"
    )
    (tmp_path / "empty").mkdir()
    assert message("librispeech:empty") == (
        f"{tmp_path / 'empty'}, read as librispeech, holds no recordings. Expected: *.trans.txt beside the audio of each chapter."
    )


def test_the_wrong_layout_forced_says_what_is_missing(tmp_path: Path, sound):
    sound(tmp_path / "a.wav")
    for layout in LAYOUTS:
        assert str(tmp_path) in message(f"{layout.name}:{tmp_path}")


def test_streaming_gives_what_opening_gives(librispeech: Path):
    (librispeech / "dev-clean/84/121123/84-121123-0000.flac").unlink()
    corpus = open_corpus(librispeech)
    items = list(iter_corpus(librispeech))
    assert [item for item in items if not isinstance(item, Failure)] == list(corpus.utterances)
    assert [item for item in items if isinstance(item, Failure)] == list(corpus.failures)
