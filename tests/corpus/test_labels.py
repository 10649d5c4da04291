from __future__ import annotations

from pathlib import Path

import pytest

from analysis.corpus.labels import read_labels, read_timit, transcript_of_textgrid
from analysis.errors import CorpusError
from analysis.timebase import Interval

BUCKEYE = """signal s0101a
type 0
color 121
separator ;
nfields 1
#
    0.500000  122 {B_TRANS}
    0.750000  122 okay; ow k ey; k ay; NN
    0.750000  122 uh; ah; ; UH
    1.000000  122 <VOCNOISE>
    1.250000  122 <LAUGH-yes>; y eh s; y eh s; UH
    1.500000  122 well; w eh l; w eh l; UH
"""


def test_timit(tmp_path: Path, text):
    path = text(tmp_path / "SA1.PHN", "0 1600 h#\n1600 3200 sh\n3200 4800 iy\n4800 4800 q\n4800 6400 pau\n")
    assert read_labels(path) == [Interval(0.1, 0.2, "sh"), Interval(0.2, 0.3, "iy")]
    assert [label.label for label in read_labels(path, keep_silence=True)] == ["h#", "sh", "iy", "pau"]
    assert read_timit(path, sampling_rate=8000)[0] == Interval(0.2, 0.4, "sh")


def test_buckeye(tmp_path: Path, text):
    words = read_labels(text(tmp_path / "s0101a.words", BUCKEYE))
    assert words == [Interval(0.5, 0.75, "okay"), Interval(1.25, 1.5, "well")]
    phones = text(tmp_path / "s0101a.phones", "#\n 0.1 122 SIL\n 0.2 122 k; *\n 0.3 122 ay\n 0.4 122 IVER\n 0.5 122 en\n")
    assert [(phone.label, phone.start) for phone in read_labels(phones)] == [("k", 0.1), ("ay", 0.2), ("en", 0.4)]


def test_festival_and_hts(tmp_path: Path, text):
    festival = text(tmp_path / "a.lab", "#\n 0.14 125 pau\n 0.20 125 hh\n 0.25 125 iy\n")
    assert read_labels(festival) == [Interval(0.14, 0.2, "hh"), Interval(0.2, 0.25, "iy")]
    hts = text(tmp_path / "b.lab", "0 1300000 x^x-sil+hh=iy@x_x\n1300000 2050000 x^sil-hh+iy=t@1_2\n2050000 2700000 iy\n")
    assert [(phone.label, round(phone.start, 6)) for phone in read_labels(hts)] == [("hh", 0.13), ("iy", 0.205)]


def test_a_recordings_own_labels(shared_data: Path):
    phones = read_labels(shared_data / "cmu_arctic" / "arctic_a0009_phone.lab")
    assert [phone.label for phone in phones[:6]] == ["hh", "iy", "t", "er", "n", "d"]
    assert phones[-1].end < 3.1


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.phn", "0 x h#\n", "{path}, line 1 is '0 x h#'; expected start, end and label, separated by spaces."),
        ("a.phn", "0 10 h#\n12\n", "{path}, line 2 is '12'; expected start, end and label, separated by spaces."),
        (
            "a.phn",
            "3200 1600 sh\n",
            "{path}, line 1: 'sh' runs from 0.2 to 0.1 s. Are the times in another unit or order?",
        ),
        ("a.words", "0.1 122 yes\n", "{path} has no line `#`, below which the labels stand. Is it a label file, and complete?"),
        ("a.words", "#\nyes\n", "{path}, line 2 is 'yes'; expected end, colour and label, separated by spaces."),
        (
            "a.seg",
            "0 1 a\n",
            "{path} is no label file of a known kind. Known: .phn and .wrd (TIMIT), .phones and .words (Buckeye), "
            ".lab (Festival, HTS).",
        ),
    ],
)
def test_bad_label_files(tmp_path: Path, text, name: str, content: str, expected: str):
    path = text(tmp_path / name, content)
    with pytest.raises(CorpusError) as caught:
        read_labels(path)
    assert str(caught.value) == expected.format(path=path)


def test_missing_label_file(tmp_path: Path):
    with pytest.raises(CorpusError) as caught:
        read_labels(tmp_path / "a.phn")
    assert str(caught.value) == (
        f"The label file {tmp_path / 'a.phn'} cannot be read: No such file or directory. Mend its path in the corpus."
    )


def textgrid(**tiers: str) -> str:
    """A TextGrid in the long form whose tiers have one interval a label, a tenth of a second each."""
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", "xmax = 1", "tiers? <exists>"]
    lines += [f"size = {len(tiers)}", "item []:"]
    for number, (name, labels) in enumerate(tiers.items(), start=1):
        entries = labels.split("|")
        entries += [""] * (10 - len(entries))
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f'        name = "{name}"']
        lines += ["        xmin = 0", "        xmax = 1", "        intervals: size = 10"]
        for index, label in enumerate(entries):
            lines += [
                f"        intervals [{index + 1}]:",
                f"            xmin = {index / 10}",
                f"            xmax = {(index + 1) / 10}",
            ]
            lines += [f'            text = "{label}"']
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("tiers", "expected"),
    [
        ({"words": "|the|sp|boat", "phones": "DH|AH|B"}, ("the boat", True)),
        ({"Anna - words": "the|boat", "Anna - phones": "DH"}, ("the boat", True)),
        ({"Anna": "|The boat sank."}, ("The boat sank.", False)),
        ({"phones": "DH|AH", "notes": "loud", "sentence": "The boat."}, ("The boat.", False)),
        ({"phones": "DH|AH"}, (None, False)),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_words_of_a_textgrid(tmp_path: Path, text, tiers: dict[str, str], expected: tuple[str | None, bool], encoding: str):
    assert transcript_of_textgrid(text(tmp_path / "a.TextGrid", textgrid(**tiers), encoding)) == expected


def test_textgrids_that_do_not_tell_the_words(tmp_path: Path, text):
    path = text(tmp_path / "a.TextGrid", textgrid(**{"A - words": "yes", "B - words": "no"}))
    with pytest.raises(CorpusError) as caught:
        transcript_of_textgrid(path)
    assert str(caught.value) == (
        f"{path} has words of 2 speakers (tiers A - words, B - words). "
        f"An utterance has one speaker: cut the recording into one file per speaker and utterance."
    )
    text(path, textgrid(A="yes", B="no"))
    with pytest.raises(CorpusError) as caught:
        transcript_of_textgrid(path)
    assert str(caught.value) == (
        f"{path} has no tier of words, and several that could be one: A, B. "
        f"Name the one with the words `words`; of recordings with several speakers, cut one file per speaker."
    )
    text(path, "yes no")
    with pytest.raises(CorpusError, match=r"cannot be read as a TextGrid .* Open it in Praat and save it as a text file"):
        transcript_of_textgrid(path)
