"""What MFA reads and writes: the corpus folder that is laid out for it, and its TextGrids, JSON, CSV and table of measures."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from analysis.alignment.parts import part_of, without_gaps
from analysis.alignment.tiers import TextGridContent, Tier, read_tiers, write_tiers
from analysis.corpus.utterance import Utterance
from analysis.errors import AlignmentError, AudioError, Failure

__all__ = ["CONFIDENCE", "FORMATS", "MEASURES", "Laid", "Place", "lay_out", "read_content", "read_measures", "utterance_content"]

#: Our names of MFA's output formats: MFA's name, and the ending of its files.
FORMATS = {"textgrid": ("long_textgrid", ".TextGrid"), "json": ("json", ".json"), "csv": ("csv", ".csv")}
#: Columns of alignment_analysis.csv that become ``Alignment.measures``. Its max_running_short_interval is left out: MFA carries it
#: over from one utterance to the next.
MEASURES = ("overall_log_likelihood", "phone_duration_deviation", "snr", "intensity_deviation")
CONFIDENCE = "speech_log_likelihood"
# What MFA reads without conversion: these, one channel.
_LINKED = frozenset((".wav", ".flac"))
_CSV_COLUMNS = {"Begin", "End", "Label", "Type", "Speaker"}


@dataclass(frozen=True)
class Place:
    """Where one utterance is in the folder that MFA reads.

    Attributes
    ----------
    file : Path
        Relative to the corpus folder, without ending.
    speaker : str
        Our name for the speaker.
    part : (float, float) or None
        Start and end in the file, s, where the file holds several utterances.
    """

    file: Path
    speaker: str
    part: tuple[float, float] | None = None

    @property
    def row(self) -> tuple[str, str, float]:
        """By which its row in alignment_analysis.csv is found."""
        return self.file.name, self.speaker, 0.0 if self.part is None else round(round(self.part[0], 4), 2)


@dataclass
class Laid:
    """What was laid out: the place of each utterance by id, and those that could not be used."""

    places: dict[str, Place] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)

    @property
    def n_speakers(self) -> int:
        """Speakers with an utterance."""
        return len({place.speaker for place in self.places.values()})


def lay_out(utterances: Sequence[Utterance], corpus: Path, words_of: Callable[[str], list[str]]) -> Laid:
    """Write audio and transcripts as MFA wants them, below the empty folder ``corpus``.

    A whole file is a link with a ``.lab`` beside it, in a folder of its speaker. Parts of one file share a link, with a TextGrid
    beside it: a tier for each speaker, an interval for each utterance. Where utterances of one speaker overlap, the later one
    goes to a second link. Stereo, and what MFA does not read, is converted.
    """
    corpus.mkdir(parents=True, exist_ok=True)
    laid = Laid()
    speakers = {speaker: f"s{i:05d}" for i, speaker in enumerate(dict.fromkeys(one.speaker for one in utterances))}
    files: dict[tuple[Path, int | None], list[_Shared]] = {}
    for number, utterance in enumerate(utterances):
        words = words_of(utterance.text)
        failure = _unusable(utterance, words)
        if failure is not None:
            laid.failures[utterance.id] = failure
            continue
        # names of our own: ids may hold slashes, spaces and what else MFA would not keep
        speaker = speakers[utterance.speaker]
        name = Path(speaker) / f"u{number:06d}"
        if not utterance.is_part:
            _audio(utterance.audio, None, corpus / name)
            (corpus / name).with_suffix(".lab").write_text(" ".join(words) + "\n", encoding="utf-8")
            laid.places[utterance.id] = Place(name, speaker)
            continue
        links = files.setdefault((utterance.audio, utterance.channel), [])
        part = (utterance.start or 0.0, utterance.end)
        shared = next((link for link in links if link.is_free(speaker, part)), None)
        if shared is None:
            try:
                _audio(utterance.audio, utterance.channel, corpus / name)
            except AudioError as error:  # sound elsewhere in the recording, where all of it must be converted
                laid.failures[utterance.id] = _bad_audio(utterance, error)
                continue
            links.append(shared := _Shared(name))
        shared.tiers.setdefault(speaker, []).append((*part, " ".join(words)))
        laid.places[utterance.id] = Place(shared.file, speaker, part)
    for (audio, _), links in files.items():
        for link in links:
            _transcript(link, audio, corpus)
    return laid


@dataclass
class _Shared:
    """A file with several utterances: intervals by speaker."""

    file: Path
    tiers: dict[str, list[tuple[float, float, str]]] = field(default_factory=dict)

    def is_free(self, speaker: str, part: tuple[float, float]) -> bool:
        return all(part[1] <= start or end <= part[0] for start, end, _ in self.tiers.get(speaker, ()))


def _unusable(utterance: Utterance, words: list[str]) -> Failure | None:
    """Why MFA need not be asked: samples that it computes no features for, or a transcript of which it leaves nothing."""
    from analysis.corpus.audio import read_audio

    if not any(letter.isalnum() for word in words for letter in word):
        reason = f"The transcript {utterance.text!r} has no words."
        return Failure("alignment", utterance.id, reason, "Give the words that are spoken.")
    try:
        read_audio(utterance, sampling_rate=None)
    except AudioError as error:
        return _bad_audio(utterance, error)
    return None


def _bad_audio(utterance: Utterance, error: AudioError) -> Failure:
    return Failure("alignment", utterance.id, str(error), "Mend or leave out this recording.")


def _audio(source: Path, channel: int | None, stem: Path) -> None:
    """The recording under the name that MFA gets: a link where MFA reads it as it is, else one channel at 16 kHz."""
    from dataclasses import replace

    from analysis.corpus.audio import read_audio, read_header

    stem.parent.mkdir(parents=True, exist_ok=True)
    header = read_header(source)
    if header.channels == 1 and source.suffix.lower() in _LINKED:
        os.symlink(source.resolve(), stem.with_suffix(source.suffix.lower()))
        return
    import soundfile

    whole = Utterance("whole", source, "-", "-", header.duration, header.sampling_rate)
    soundfile.write(stem.with_suffix(".wav"), read_audio(replace(whole, channel=channel), 16000), 16000)


def _transcript(link: _Shared, audio: Path, corpus: Path) -> None:
    from analysis.corpus.audio import read_header

    tiers = [Tier(speaker, True, tuple(sorted(intervals))) for speaker, intervals in link.tiers.items()]
    write_tiers(tiers, (corpus / link.file).with_suffix(".TextGrid"), xmax=read_header(audio).duration)


def utterance_content(content: TextGridContent, place: Place) -> TextGridContent | None:
    """The tiers of one utterance out of those of its file; None where MFA wrote none for it."""
    mark = f"{place.speaker} - "
    tiers = tuple(
        Tier(tier.name.removeprefix(mark), tier.interval, tier.entries)
        for tier in content.tiers
        if tier.name.startswith(mark) or " - " not in tier.name
    )
    found = TextGridContent(content.xmin, content.xmax, tiers, content.reader)
    if place.part is not None:
        found = part_of(found, *place.part)
    return found if any(entry[-1].strip() for tier in found.tiers for entry in tier.entries) else None


def read_content(path: Path) -> TextGridContent | None:
    """The tiers of a file that MFA wrote, in any of its formats; None where there is no such file.

    Raises
    ------
    AlignmentError
        If it is no such file.
    """
    if not path.is_file():
        return None
    if path.suffix.lower() == ".textgrid":
        return read_tiers(path)
    return _read_json(path) if path.suffix.lower() == ".json" else _read_csv(path)


def _read_json(path: Path) -> TextGridContent:
    """MFA's JSON: ``{"start", "end", "tiers": {name: {"type": "interval", "entries": [[start, end, label]]}}}``, without pauses."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        tiers = {
            # times come as float32: 0.31 is written 0.3100000023841858
            name: [(round(float(start), 6), round(float(end), 6), str(label)) for start, end, label in tier["entries"]]
            for name, tier in data["tiers"].items()
        }
        return _content(tiers, float(data["start"]), float(data["end"]), "json")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AlignmentError(f"{path} is not the JSON that MFA 3 writes: {type(error).__name__}: {error}.") from error


def _read_csv(path: Path) -> TextGridContent:
    """MFA's CSV: Begin, End, Label, Type (words or phones), Speaker; without pauses."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream))
        several = len({row["Speaker"] for row in rows}) > 1
        tiers: dict[str, list[tuple[float, float, str]]] = {}
        for row in rows:
            name = f"{row['Speaker']} - {row['Type']}" if several else row["Type"]
            tiers.setdefault(name, []).append((round(float(row["Begin"]), 6), round(float(row["End"]), 6), row["Label"]))
        return _content(tiers, 0.0, max((end for tier in tiers.values() for _, end, _ in tier), default=0.0), "csv")
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise AlignmentError(f"{path} is not the CSV that MFA 3 writes: {type(error).__name__}: {error}.") from error


def _content(tiers: dict[str, list[tuple[float, float, str]]], start: float, end: float, reader: str) -> TextGridContent:
    return TextGridContent(
        start, end, tuple(without_gaps(Tier(name, True, tuple(entries)), end) for name, entries in tiers.items()), reader
    )


def read_measures(path: Path) -> dict[tuple[str, str, float], dict[str, float]] | None:
    """Numbers of ``alignment_analysis.csv`` by :attr:`Place.row`; no numbers for what was not aligned; None without the file."""
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {(row["file"], row.get("speaker") or "", round(float(row.get("begin") or 0.0), 2)): _numbers(row) for row in rows}


def _numbers(row: dict[str, str]) -> dict[str, float]:
    found = {}
    for name in (CONFIDENCE, *MEASURES):
        try:
            value = float(row.get(name) or "nan")
        except ValueError:
            continue
        if math.isfinite(value):
            found[name] = value
    return found
