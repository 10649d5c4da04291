"""Alignments that exist already: TextGrids into alignments and back, and the aligner that only reads."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from analysis.alignment.arpabet import PHONES, without_stress
from analysis.alignment.contents import read_contents, suffix_of
from analysis.alignment.lookup import AlignmentFiles
from analysis.alignment.parts import part_of
from analysis.alignment.tiers import TextGridContent, Tier, read_tiers, write_tiers
from analysis.alignment.types import Alignment
from analysis.alignment.wording import with_word_doubts
from analysis.corpus.names import file_name
from analysis.corpus.utterance import Utterance
from analysis.errors import AlignmentError, ConfigurationError, Failure
from analysis.guard import attempt
from analysis.spelling import silent_phone, silent_word
from analysis.timebase import Interval

__all__ = ["TextGridAligner", "alignment_of", "inventory_of", "read_textgrid", "write_textgrid"]

# The first that a file has is read, wherever it stands. KAN-MAU holds canonical forms of whole words, so it is in neither list.
_WORD_TIERS = ("words", "word", "ort-mau", "ort", "orthography", "wrd")
_PHONE_TIERS = ("phones", "phone", "phonemes", "phoneme", "mau", "segments", "segment", "phonetic", "phn")
# "A - words" (MFA), "A_words", "words - A": the speaker's name beside that of the tier.
_SPEAKER_TIER = re.compile(r"^(?P<speaker>.+?)(?:\s+-\s+|\s*[:_/]\s*)(?P<kind>[^-:_/]+)$")
# Boundaries closer than this are the same boundary, s; TextGrids carry rounding of a millisecond at the most.
_SAME_BOUNDARY = 0.0015
_END_TOLERANCE = 0.05


def read_textgrid(
    path: Path | str,
    *,
    utterance_id: str | None = None,
    duration: float | None = None,
    words_tier: str | None = None,
    phones_tier: str | None = None,
    speaker: str | None = None,
    inventory: str | None = None,
    strict: bool = False,
) -> Alignment:
    """Words and phones of a TextGrid.

    Parameters
    ----------
    path : path
    utterance_id : str, optional
        By default the file name without its ending.
    duration : float, optional
        Of the audio, s; by default the TextGrid's own end.
    words_tier, phones_tier : str, optional
        Names of the tiers; by default those usual in MFA, P2FA, WebMAUS, Praat and ELAN exports (``words``, ``phones``,
        ``ORT-MAU``, ``MAU``, ...), also after a speaker's name (``A - words``). Either may be missing.
    speaker : str, optional
        Whose tiers to read where there are several.
    inventory : str, optional
        Of the phone labels; by default told from them (``arpabet``, ``ipa`` or ``unknown``).
    strict : bool
        Refuse overlaps, missing intervals and intervals without length instead of mending them with a warning.

    Returns
    -------
    Alignment
        With silences left out. What was mended stands in ``warnings``.

    Raises
    ------
    AlignmentError
        If the file cannot be read, has neither words nor phones, several speakers to choose from, ends after the audio, or,
        when strict, holds what would be mended.
    """
    path = Path(path)
    return alignment_of(
        read_tiers(path),
        path,
        utterance_id=utterance_id if utterance_id is not None else path.stem,
        duration=duration,
        words_tier=words_tier,
        phones_tier=phones_tier,
        speaker=speaker,
        inventory=inventory,
        strict=strict,
    )


def alignment_of(
    content: TextGridContent,
    path: Path,
    *,
    utterance_id: str,
    duration: float | None = None,
    words_tier: str | None = None,
    phones_tier: str | None = None,
    speaker: str | None = None,
    inventory: str | None = None,
    strict: bool = False,
    source: str = "textgrid",
    confidence: float | None = None,
    measures: tuple[tuple[str, float], ...] = (),
    doubts: Sequence[str] = (),
) -> Alignment:
    """Words and phones of tiers that were read already; ``path`` names them in messages, ``doubts`` are known before."""
    duration = content.xmax if duration is None else duration
    words_found = _chosen(content, path, words_tier, _WORD_TIERS, speaker, "words")
    phones_found = _chosen(content, path, phones_tier, _PHONE_TIERS, speaker, "phones")
    if words_found is None and phones_found is None:
        names = ", ".join(repr(tier.name) for tier in content.tiers) or "none"
        raise AlignmentError(
            f"{path} has no tier of words or phones. Its tiers: {names}. Name them with words_tier and phones_tier (--words-tier and "
            f"--phones-tier of `compare`, --option words_tier=NAME of an aligner)."
        )
    found: list[str] = []
    words = _intervals(words_found, path, duration, found, silent_word)
    phones = _intervals(phones_found, path, duration, found, silent_phone)
    if strict and found:
        raise AlignmentError(f"{path}: {found[0]} Strict reading refuses this.")
    inventory = inventory or inventory_of([phone.label for phone in phones])
    if inventory == "arpabet":
        phones = tuple(Interval(phone.start, phone.end, phone.label.strip().upper()) for phone in phones)
    return Alignment(
        utterance_id=utterance_id,
        words=words,
        phones=phones,
        duration=duration,
        source=source,
        confidence=confidence,
        inventory=inventory,
        warnings=(*doubts, *found),
        measures=measures,
    )


def write_textgrid(alignment: Alignment, path: Path | str) -> Path:
    """Write an alignment as a long-form TextGrid with the interval tiers ``words`` and ``phones``, UTF-8.

    Times keep their full precision, so reading gives the same alignment back but for source, confidence and warnings.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    ends = [intervals[-1].end for intervals in (alignment.words, alignment.phones) if intervals]
    tiers = [
        Tier(name, True, tuple((interval.start, interval.end, interval.label) for interval in intervals))
        for name, intervals in (("words", alignment.words), ("phones", alignment.phones))
    ]
    return write_tiers(tiers, path, xmax=max([alignment.duration, *ends]))


class TextGridAligner:
    """Reads the alignments that people have: one TextGrid per utterance, named after the utterance or its audio file.

    Parameters
    ----------
    folder : path, optional
        Searched with all its subfolders as :mod:`analysis.alignment.lookup` says. Where it holds no TextGrid, MFA's JSON or CSV
        or ELAN's files are read. Without a folder, only paths that the corpus itself gives (``extra["alignment"]``) are read.
    words_tier, phones_tier, inventory, strict
        As in :func:`read_textgrid`.
    """

    source = "textgrid"

    def __init__(
        self,
        folder: Path | str | None = None,
        *,
        words_tier: str | None = None,
        phones_tier: str | None = None,
        inventory: str | None = None,
        strict: bool = False,
    ) -> None:
        self.folder = Path(folder) if folder is not None else None
        if self.folder is not None and not self.folder.is_dir():
            raise ConfigurationError(f"The folder of TextGrids {self.folder} does not exist or is no folder.")
        self._options = {"words_tier": words_tier, "phones_tier": phones_tier, "inventory": inventory, "strict": strict}
        self._suffix = ".textgrid" if self.folder is None else suffix_of(self.folder)
        self._files = AlignmentFiles(self.folder, self._suffix)

    def align(self, utterances: Sequence[Utterance]) -> Iterator[Alignment | Failure]:
        """Yield one Alignment or Failure per utterance, in order."""
        remedy = "Mend the TextGrid, or leave the recording out."
        self._files.note(utterances)
        for utterance in utterances:
            yield attempt("alignment", utterance.id, partial(self._read, utterance), remedy)

    def _read(self, utterance: Utterance) -> Alignment | Failure:
        path = self._path(utterance)
        if path is None:
            return self._missing(utterance)
        content = read_contents(path)
        if utterance.start is not None and content.xmax > utterance.duration + _END_TOLERANCE:
            content = part_of(content, utterance.start, utterance.end)  # it is the TextGrid of the whole recording
        found = alignment_of(
            content,
            path,
            utterance_id=utterance.id,
            duration=utterance.duration,
            speaker=self._speaker(content, utterance),
            **self._options,
        )
        return with_word_doubts(found, utterance.text)

    def _path(self, utterance: Utterance) -> Path | None:
        given = utterance.extra.get("alignment")
        if given and str(given).lower().endswith(".textgrid"):
            path = Path(given)
            return path if path.is_absolute() else _beside(utterance.audio, path)
        own = None if self.folder is None else self.folder / f"{file_name(utterance.id)}.TextGrid"
        if own is not None and own.is_file():  # as `python -m analysis.alignment` names it
            return own
        return self._files.find(utterance)

    def _missing(self, utterance: Utterance) -> Failure:
        ending = self._suffix.replace(".textgrid", ".TextGrid")
        names = " or ".join(dict.fromkeys(f"{name}{ending}" for name in (Path(utterance.id).name, utterance.audio.stem)))
        where = f"in {self.folder}" if self.folder is not None else "given by the corpus, and no folder was named"
        return Failure("alignment", utterance.id, f"There is no {names} {where}.", "Align this recording, or leave it out.")

    @staticmethod
    def _speaker(content: TextGridContent, utterance: Utterance) -> str | None:
        """The utterance's speaker, where the file has tiers under that name."""
        speakers = {_split_name(tier.name)[0] for tier in content.tiers}
        return next((name for name in (utterance.extra.get("tier_speaker"), utterance.speaker) if name in speakers), None)


def _beside(audio: Path, path: Path) -> Path:
    for folder in (audio.parent, *audio.parent.parents):
        if (folder / path).is_file():
            return folder / path
    return path


def _split_name(name: str) -> tuple[str, str]:
    """Speaker (or nothing) and kind of a tier's name, the kind in lower case."""
    plain = name.strip().lower()
    if plain in _WORD_TIERS or plain in _PHONE_TIERS:
        return "", plain
    match = _SPEAKER_TIER.match(name.strip())
    if match and match["kind"].strip().lower() in _WORD_TIERS + _PHONE_TIERS:
        return match["speaker"].strip(), match["kind"].strip().lower()
    return "", plain


def _chosen(
    content: TextGridContent, path: Path, wanted: str | None, usual: tuple[str, ...], speaker: str | None, kind: str
) -> Tier | None:
    if wanted is not None:
        for tier in content.tiers:
            if tier.name == wanted:
                if not tier.interval:
                    raise AlignmentError(f"{path}: the tier {wanted!r} holds points, and {kind} need intervals.")
                return tier
        names = ", ".join(repr(tier.name) for tier in content.tiers) or "none"
        raise AlignmentError(f"{path} has no tier named {wanted!r}. Its tiers: {names}.")
    found = [(_split_name(tier.name)[0], tier) for tier in content.tiers if tier.interval and _split_name(tier.name)[1] in usual]
    if speaker is not None:
        found = [(name, tier) for name, tier in found if name == speaker] or [(name, tier) for name, tier in found if not name]
    speakers = sorted({name for name, _ in found})
    if len(speakers) > 1:
        raise AlignmentError(
            f"{path} has {kind} of several speakers: {', '.join(map(repr, speakers))}. Say whose to read with speaker (--speaker of "
            f"`compare`); of a corpus, those of the recording's own speaker are read, so give it one of these names."
        )
    return min(found, key=lambda one: usual.index(_split_name(one[1].name)[1]))[1] if found else None


def _intervals(
    tier: Tier | None, path: Path, duration: float, doubts: list[str], silent: Callable[[str], bool]
) -> tuple[Interval, ...]:
    """The tier's intervals without silences; what is mended is told in ``doubts``."""
    if tier is None:
        return ()
    kept: list[Interval] = []
    previous: tuple[float, float, str] | None = None
    entries = sorted(tier.entries, key=lambda entry: (entry[0], entry[1]))
    if list(tier.entries) != entries:
        doubts.append(f"Tier {tier.name!r}: intervals are out of order; they were sorted.")
    for start, end, label in entries:
        if not (math.isfinite(start) and math.isfinite(end)):
            raise AlignmentError(
                f"{path}, tier {tier.name!r}: the interval {label!r} has a bound that is no number: [{start}, {end}). Mend it in Praat."
            )
        if end <= start:
            if not silent(label):
                doubts.append(f"Tier {tier.name!r}: the interval {label!r} at {start:.4f} s has no length; it was left out.")
            continue
        if start < 0:
            doubts.append(f"Tier {tier.name!r}: the interval {label!r} starts before the audio, at {start:.4f} s; it was cut.")
            start = 0.0
            if end <= 0:
                continue
        if previous is not None and start > previous[1] + _SAME_BOUNDARY:
            doubts.append(f"Tier {tier.name!r}: there is no interval from {previous[1]:.4f} to {start:.4f} s; taken for silence.")
        if previous is not None and start < previous[1]:
            if start < previous[1] - _SAME_BOUNDARY:
                doubts.append(
                    f"Tier {tier.name!r}: the intervals {previous[2]!r} [{previous[0]:.4f}, {previous[1]:.4f}) and {label!r} "
                    f"[{start:.4f}, {end:.4f}) overlap; the first was cut."
                )
            start = _cut(kept, previous, start, end)
        previous = (start, end, label)
        if silent(label):
            continue
        if end > duration:
            if start >= duration or end > duration + _END_TOLERANCE:
                raise AlignmentError(
                    f"{path}, tier {tier.name!r}: {label!r} [{start:.3f}, {end:.3f}) ends after the audio, which lasts "
                    f"{duration:.3f} s. Does the alignment belong to this recording?"
                )
            end = duration
        kept.append(Interval(start, end, label.strip()))
    return tuple(kept)


def _cut(kept: list[Interval], previous: tuple[float, float, str], start: float, end: float) -> float:
    """Where the later of two overlapping intervals starts; the earlier one is cut there, unless nothing would be left of it."""
    if not kept or kept[-1].end <= start:
        return start
    if start > kept[-1].start:
        kept[-1] = Interval(kept[-1].start, start, kept[-1].label)
        return start
    middle = 0.5 * (kept[-1].start + min(kept[-1].end, end))
    kept[-1] = Interval(kept[-1].start, middle, kept[-1].label)
    return middle


def inventory_of(labels: Sequence[str]) -> str:
    """``arpabet`` where at least four in five labels are, ``ipa`` where any label has letters beyond ASCII, else ``unknown``.

    Single capitals beside small letters, and none of ARPAbet's labels of two capitals, are SAMPA's (``S`` and ``s`` are two phones
    there), whose language no label says.
    """
    labels = [label.strip() for label in labels if not silent_phone(label)]
    if not labels:
        return "arpabet"
    small = sum(label.islower() for label in labels)
    capital = sum(label.isupper() for label in labels)
    mixed = min(small, capital) > 0 and not any(len(label) > 1 and without_stress(label) in PHONES for label in labels)
    if not mixed and sum(without_stress(label.upper()) in PHONES for label in labels) >= 0.8 * len(labels):
        return "arpabet"
    return "ipa" if any(not label.isascii() for label in labels) else "unknown"
