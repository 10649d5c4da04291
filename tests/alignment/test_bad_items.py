"""One utterance that cannot be aligned is one row; ids that no file may be called are found again."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from analysis.alignment import align_cached, make_aligner, read_textgrid
from analysis.alignment.__main__ import main
from analysis.alignment.ctc_model import CtcModel
from analysis.alignment.tiers import read_tiers
from analysis.alignment.types import Alignment
from analysis.corpus import open_corpus
from analysis.corpus.utterance import Utterance
from analysis.errors import AlignmentError, ExternalProgramError, Failure
from analysis.guard import log_path
from analysis.timebase import Interval
from tests.alignment.test_ctc import CHARACTERS, save_model


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("ANALYSIS_CACHE", str(tmp_path_factory.mktemp("cache")))


def speak(folder: Path, names: list[str], text: str = "the ship") -> list[Utterance]:
    rng = np.random.default_rng(0)
    found = []
    for number, name in enumerate(names):
        path = folder / f"{number}.wav"
        seconds = 0.9 + 0.1 * number
        soundfile.write(path, 0.1 * rng.normal(size=round(16000 * seconds)), 16000)
        found.append(Utterance(name, path, text, "s", seconds, 16000))
    return found


def failures_in(folder: Path) -> list[dict[str, str]]:
    with (folder / "failures.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


# -- the aligners ----------------------------------------------------------------------------------------------------------


class Brittle:
    """Aligns all at once; breaks at some utterances."""

    source = "brittle"

    def __init__(self, error, bad):
        self.error, self.bad = error, bad

    def align(self, utterances):
        for utterance in utterances:
            if utterance.id in self.bad:
                raise self.error
            yield Alignment(utterance.id, (Interval(0.1, 0.5, "ship"),), (), utterance.duration, self.source)


def test_an_aligner_that_breaks_at_one_utterance_goes_on_with_the_next(tmp_path):
    utterances = speak(tmp_path, ["a", "b", "c", "d"])
    outcomes = list(align_cached(Brittle(KeyError("state"), {"b", "d"}), utterances, tmp_path / "cache"))
    assert [type(outcome) for outcome in outcomes] == [Alignment, Failure, Alignment, Failure]
    assert [outcome.reason for outcome in outcomes[1::2]] == ["KeyError: 'state'."] * 2
    assert outcomes[1].item == "b" and outcomes[2].utterance_id == "c"
    assert "alignment: b\nTraceback (most recent call last):" in log_path().read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        OSError(28, "No space left on device"),
        ExternalProgramError(["mfa"], None, "", "Install it."),
    ],
)
def test_what_concerns_every_utterance_stops(tmp_path, error):
    utterances = speak(tmp_path, ["a", "b"])
    with pytest.raises(type(error)):
        list(align_cached(Brittle(error, {"a"}), utterances, tmp_path / "cache"))


def test_an_aligner_that_gives_too_little_back(tmp_path):
    class Silent(Brittle):
        def align(self, utterances):
            yield from list(super().align(utterances))[:1] if len(utterances) > 1 else ()

    outcomes = list(align_cached(Silent(None, ()), speak(tmp_path, ["a", "b", "c"]), tmp_path / "cache"))
    assert [type(outcome) for outcome in outcomes] == [Alignment, Failure, Failure]
    assert outcomes[1] == Failure(
        "alignment", "b", "The aligner brittle gave nothing back.", "Align it with another, or leave it out."
    )


def test_a_transcript_that_breaks_pocketsphinx_is_a_row(tmp_path, monkeypatch):
    import analysis.alignment.pocketsphinx as module

    real = module.spoken_words

    def spoken_words(text, known):
        if text == "odd":
            raise IndexError("list index out of range")
        return real(text, known)

    monkeypatch.setattr(module, "spoken_words", spoken_words)
    first, second = speak(tmp_path, ["a", "b"], "ship")
    aligner = make_aligner("pocketsphinx")
    alone = aligner.align_one(second)
    odd = Utterance(first.id, first.audio, "odd", "s", first.duration, 16000)
    outcomes = list(aligner.align([odd, second]))
    assert isinstance(outcomes[0], Failure) and outcomes[0].reason == "IndexError: list index out of range."
    assert outcomes[1] == alone


def test_a_clip_that_breaks_a_ctc_model_is_a_row(tmp_path, monkeypatch):
    aligner = make_aligner("ctc", model=str(save_model(tmp_path / "model", CHARACTERS)), device="cpu")
    utterances = speak(tmp_path, ["a", "b", "c"])
    whole = list(aligner.align(utterances))
    assert all(isinstance(outcome, Alignment) for outcome in whole)
    bad = round(16000 * utterances[1].duration)
    real = CtcModel.log_probs

    def breaks(model, waveforms):
        if any(len(waveform) == bad for waveform in waveforms):
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory: 9 bytes.")
        return real(model, waveforms)

    monkeypatch.setattr(CtcModel, "log_probs", breaks)
    outcomes = list(aligner.align(utterances))
    assert isinstance(outcomes[1], Failure) and outcomes[1].reason.startswith("There is not enough memory for it (")
    assert [outcomes[0].words, outcomes[2].words] == [whole[0].words, whole[2].words]

    def nan(model, waveforms):
        log_probs, frames = real(model, waveforms)
        for row, waveform in enumerate(waveforms):
            if len(waveform) == bad:
                log_probs[row, 3] = torch.nan
        return log_probs, frames

    monkeypatch.setattr(CtcModel, "log_probs", nan)
    outcomes = list(aligner.align(utterances))
    assert outcomes[1] == Failure(
        "alignment",
        "b",
        "The model model gives probabilities that are no numbers for it.",
        "Look at the recording; where it happens to all, the model's weights are damaged.",
    )
    assert [outcomes[0].words, outcomes[2].words] == [whole[0].words, whole[2].words]


# -- TextGrids -------------------------------------------------------------------------------------------------------------

GRID = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = {xmax}
tiers? <exists>
size = {size}
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 1
        intervals: size = {intervals}
        intervals [1]:
            xmin = {start}
            xmax = 1
            text = "ship"
"""


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"size": "1e999"}, "The TextGrid {path} is damaged: the number of tiers is inf, and {n} values stand in the file."),
        (
            {"size": "--undefined--"},
            "The TextGrid {path} is damaged: the number of tiers is nan, and {n} values stand in the file.",
        ),
        ({"size": "-1"}, "The TextGrid {path} is damaged: the number of tiers is -1, and {n} values stand in the file."),
        (
            {"intervals": "1e300"},
            "The TextGrid {path} is damaged: the number of entries of tier 'words' is 1e+300, and {n} values stand in the file.",
        ),
        (
            {"xmax": "--undefined--"},
            "The TextGrid {path} is damaged: the end time is nan. Open it in Praat, mend the time and save it.",
        ),
        (
            {"start": "--undefined--"},
            "The TextGrid {path} is damaged: the start of entry 1 of 1 in tier 'words' is nan. Open it in Praat, mend the time and "
            "save it.",
        ),
    ],
)
def test_numbers_that_are_none(tmp_path, changed, message):
    path = tmp_path / "a.TextGrid"
    path.write_text(GRID.format(**({"xmax": 1, "size": 1, "intervals": 1, "start": 0.5} | changed)), encoding="utf-8")
    for read in (read_tiers, read_textgrid):
        with pytest.raises(AlignmentError) as caught:
            read(path)
        assert str(caught.value) == message.format(path=path, n=14)
    # beside it a good one goes on
    bad, good = speak(tmp_path, ["a", "good"], "ship")
    (tmp_path / "good.TextGrid").write_text(GRID.format(xmax=1, size=1, intervals=1, start=0.5), encoding="utf-8")
    outcomes = list(make_aligner("textgrid", folder=tmp_path).align([bad, good]))
    assert outcomes[0] == Failure(
        "alignment", "a", message.format(path=path, n=14), "Mend the TextGrid, or leave the recording out."
    )
    assert [word.label for word in outcomes[1].words] == ["ship"]


# -- names of files --------------------------------------------------------------------------------------------------------


def test_ids_that_no_file_may_be_called_are_written_and_found_again(tmp_path, monkeypatch):
    from analysis.alignment.textgrid import TextGridAligner

    ids = ["spk/a_1", "spk_a/1", "x" * 300, "A", "a", "..", "100%", "b.c", "1"]
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    utterances = speak(corpus, ids)
    with (corpus / "words.jsonl").open("w", encoding="utf-8") as stream:
        for utterance in utterances:
            row = {"path": utterance.audio.name, "transcript": "ship", "speaker": "s", "id": utterance.id}
            stream.write(json.dumps(row) + "\n")
    monkeypatch.setattr("analysis.alignment.make_aligner", lambda name, **options: Numbering())
    out = tmp_path / "out"
    assert main([str(corpus / "words.jsonl"), "--out", str(out)]) == 0
    assert len([path for path in out.rglob("*.TextGrid") if path.is_file()]) == len(ids)
    found = {one.utterance_id: one for one in TextGridAligner(out).align(open_corpus(corpus / "words.jsonl").utterances)}
    # each by its own name, and not that of another's recording: the one called 1 is not in 1.wav
    assert {name: found[name].words[0].label for name in ids} == {name: f"word{number}" for number, name in enumerate(ids)}


class Numbering:
    """Gives the n-th utterance the word n."""

    source = "numbering"

    def align(self, utterances):
        for number, utterance in enumerate(utterances):
            yield Alignment(utterance.id, (Interval(0.1, 0.5, f"word{number}"),), (), utterance.duration, self.source)


def test_a_textgrid_that_cannot_be_written_is_a_row(tmp_path, monkeypatch):
    utterances = speak(tmp_path, ["y" * 4000, "b"])
    rows = "".join(
        json.dumps({"path": one.audio.name, "transcript": "ship", "speaker": "s", "id": one.id}) + "\n" for one in utterances
    )
    (tmp_path / "words.jsonl").write_text(rows, encoding="utf-8")
    monkeypatch.setattr("analysis.alignment.make_aligner", lambda name, **options: Numbering())
    assert main([str(tmp_path / "words.jsonl"), "--out", str(tmp_path / "out")]) == 0
    (row,) = [row for row in failures_in(tmp_path / "out") if row["severity"] == "error"]
    assert row["item"] == "y" * 4000 and row["reason"].endswith("cannot be used: File name too long.")
    assert (tmp_path / "out" / "b.TextGrid").is_file()


@pytest.fixture
def cases() -> Path:
    folder = Path(__file__).resolve().parents[3] / "shared" / "cases" / "robust" / "manifests"
    if not folder.is_dir():
        pytest.skip(f"the shared cases are not at {folder}")
    return folder


def test_a_number_of_37_digits_stops_no_corpus(cases, tmp_path):
    assert main([str(cases / "bignum.csv"), "--out", str(tmp_path)]) == 0
    assert (tmp_path / "good_demo1-d011.TextGrid").is_file() and (tmp_path / "good_demo1-d035.TextGrid").is_file()
    assert (tmp_path / "alignment.csv").is_file() and (tmp_path / "quality.csv").is_file()


def test_ids_whose_file_names_met_are_found_again(cases, tmp_path):
    assert main([str(cases / "coll.jsonl"), "--out", str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.glob("*.TextGrid")) == ["spk%2Fa_1.TextGrid", "spk_a%2F1.TextGrid"]
    corpus = open_corpus(cases / "coll.jsonl")
    again = list(make_aligner("textgrid", folder=tmp_path).align(corpus.utterances))
    words = [" ".join(word.label for word in one.words) for one in again]
    assert words == ["the goat jumped out of the boat", "he broke a nail while climbing"]


@pytest.mark.parametrize("repeated", ["[", "[ ", "1[", "1", "<", '"a" ', "--undefined--"])
def test_a_textgrid_of_nothing_but_brackets_is_read_in_linear_time(repeated, tmp_path):
    """300,000 of them took a quarter of an hour."""
    path = tmp_path / "a.TextGrid"
    path.write_text('File type = "ooTextFile"\nObject class = "TextGrid"\n\n' + repeated * 300_000 + "x", encoding="utf-8")
    begin = time.process_time()
    with pytest.raises(AlignmentError, match="is incomplete: the start time should follow"):
        read_tiers(path)
    assert time.process_time() - begin < 20
