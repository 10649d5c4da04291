"""Label files that come with corpora: TIMIT, Buckeye, Festival and HTS segments, and the words of TextGrids.

All give lists of :class:`Interval` in seconds, sorted, without silences unless asked for. Labels are as published; their phone
sets are the corpora's own.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

from analysis.corpus.recording import read_text
from analysis.errors import CorpusError
from analysis.spelling import silent_phone, silent_word
from analysis.timebase import Interval

__all__ = [
    "read_buckeye",
    "read_festival",
    "read_hts",
    "read_labels",
    "read_timit",
    "transcript_of_textgrid",
]

# <SIL>, <VOCNOISE>, <LAUGH-yes>, {B_TRANS}; in the phone tier SIL, NOISE, IVER: Buckeye's phones are lower case.
_BUCKEYE_NOISE = re.compile(r"[<{].*|[A-Z_]{3,}")
_CENTRE_PHONE = re.compile(r"-([^-+]+)\+")
_PHONE_TIERS = frozenset("phones phone phonemes phoneme segments segment phonetic mau kan-mau".split())
_WORD_TIERS = frozenset(("words", "word", "ort-mau", "ort", "orthography"))
_TEXT_TIERS = ("utterance", "utterances", "transcript", "transcription", "text", "sentence", "phrase", "ipu")


def read_labels(
    path: str | Path, *, sampling_rate: int = 16000, keep_silence: bool = False, words: bool = False
) -> list[Interval]:
    """Intervals of a label file, whose kind its ending and content tell.

    Parameters
    ----------
    path : path
        ``.phn`` and ``.wrd`` are TIMIT's, ``.phones`` and ``.words`` Buckeye's, ``.lab`` Festival's or HTS's.
    sampling_rate : int
        Of the recording, Hz; TIMIT counts in samples.
    keep_silence : bool
        Keep intervals without speech.
    words : bool
        A ``.lab`` file holds words, of which ``pause`` or ``noise`` is one; other endings say so themselves.

    Raises
    ------
    CorpusError
        If the kind is unknown or a line cannot be read; the message quotes it.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in (".phn", ".wrd"):
        return read_timit(path, sampling_rate=sampling_rate, keep_silence=keep_silence)
    if suffix in (".phones", ".words"):
        return read_buckeye(path, keep_silence=keep_silence)
    if suffix == ".lab":
        has_header = any(line.strip() == "#" for line in read_text(path).splitlines())
        found = (read_festival if has_header else read_hts)(path, keep_silence=keep_silence or words)
        return [one for one in found if not (words and silent_word(one.label) and not keep_silence)]
    raise CorpusError(
        f"{path} is no label file of a known kind. "
        f"Known: .phn and .wrd (TIMIT), .phones and .words (Buckeye), .lab (Festival, HTS)."
    )


def read_timit(path: str | Path, *, sampling_rate: int = 16000, keep_silence: bool = False) -> list[Interval]:
    """Phones (``.PHN``) or words (``.WRD``) of TIMIT: ``first_sample end_sample label`` a line."""
    return _read_spans(Path(path), sampling_rate, keep_silence)


def read_hts(path: str | Path, *, keep_silence: bool = False) -> list[Interval]:
    """Phones of an HTS label file: ``start end label`` a line in units of 100 ns; of full-context labels, the centre phone."""
    return _read_spans(Path(path), 10_000_000, keep_silence, full_context=True)


def read_buckeye(path: str | Path, *, keep_silence: bool = False) -> list[Interval]:
    """Phones (``.phones``) or words (``.words``) of Buckeye: ``end colour label; ...`` a line below a line ``#``.

    Noise, laughter and the interviewer's turns (``<VOCNOISE>``, ``<LAUGH-yes>``, ``IVER``) count as silence.
    """
    return _read_ends(Path(path), keep_silence, _BUCKEYE_NOISE)


def read_festival(path: str | Path, *, keep_silence: bool = False) -> list[Interval]:
    """Phones of a Festival or xlabel file, as CMU Arctic has them: ``end colour label`` a line below a line ``#``."""
    return _read_ends(Path(path), keep_silence, None)


def _read_spans(path: Path, per_second: int, keep_silence: bool, *, full_context: bool = False) -> list[Interval]:
    intervals = []
    for number, line in enumerate(_lines(path), start=1):
        fields = line.split(None, 2)
        if not fields:
            continue
        if len(fields) < 2:
            raise _bad_line(path, number, line, "start, end and label")
        try:
            start, end = float(fields[0]) / per_second, float(fields[1]) / per_second
        except ValueError:
            raise _bad_line(path, number, line, "start, end and label") from None
        label = fields[2].strip() if len(fields) > 2 else ""
        if full_context and (centre := _CENTRE_PHONE.search(label)):
            label = centre.group(1)
        _append(intervals, start, end, label, keep_silence or not _silent(path, label), path, number)
    return intervals


def _read_ends(path: Path, keep_silence: bool, noise: re.Pattern[str] | None) -> list[Interval]:
    intervals: list[Interval] = []
    start, inside = 0.0, False
    for number, line in enumerate(_lines(path), start=1):
        if not inside:
            inside = line.strip() == "#"
            continue
        fields = line.split(None, 2)
        if not fields:
            continue
        try:
            end = float(fields[0])
        except ValueError:
            raise _bad_line(path, number, line, "end, colour and label") from None
        label = fields[2].split(";")[0].strip() if len(fields) > 2 else ""
        silent = _silent(path, label) or (noise is not None and noise.fullmatch(label) is not None)
        _append(intervals, start, end, label, keep_silence or not silent, path, number)
        start = end
    if not inside:
        raise CorpusError(f"{path} has no line `#`, below which the labels stand. Is it a label file, and complete?")
    return intervals


def _silent(path: Path, label: str) -> bool:
    return silent_word(label) if path.suffix.lower() in (".wrd", ".words") else silent_phone(label)


def _append(intervals: list[Interval], start: float, end: float, label: str, wanted: bool, path: Path, number: int) -> None:
    if not (math.isfinite(start) and math.isfinite(end)) or start < 0 or end < start:
        raise CorpusError(
            f"{path}, line {number}: {label!r} runs from {start:g} to {end:g} s. Are the times in another unit or order?"
        )
    # Empty intervals mark deleted phones in these corpora.
    if wanted and end > start:
        intervals.append(Interval(start, end, label))


def _lines(path: Path) -> list[str]:
    try:
        return read_text(path).splitlines()
    except OSError as error:
        raise CorpusError(f"The label file {path} cannot be read: {error.strerror}. Mend its path in the corpus.") from error


def _bad_line(path: Path, number: int, line: str, expected: str) -> CorpusError:
    return CorpusError(f"{path}, line {number} is {line.strip()!r}; expected {expected}, separated by spaces.")


def transcript_of_textgrid(path: str | Path) -> tuple[str | None, bool]:
    """Words of a TextGrid in order, and whether they come from a tier of single words, so that it is an alignment too.

    The word tier is called ``words``, ``word`` or ``<speaker> - words``; without one, the only tier that is not of phones, or
    one called ``utterance``, ``transcript``, ``text``, ``sentence`` or ``phrase``, has the transcript. None when there is none.

    Raises
    ------
    CorpusError
        If the file is no TextGrid, or several tiers could be meant.
    """
    from praatio import textgrid

    path = Path(path)
    try:
        grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=False, reportingMode="silence", duplicateNamesMode="rename")
    except Exception as error:  # praatio raises errors of its own, KeyError, ValueError and UnicodeError for broken files
        raise CorpusError(
            f"{path} cannot be read as a TextGrid ({type(error).__name__}: {error}). "
            f"Open it in Praat and save it as a text file, or write the words into a .lab file instead."
        ) from error
    tiers = {
        name: " ".join(entry.label.strip() for entry in tier.entries if not silent_word(entry.label))
        for name, tier in zip(grid.tierNames, grid.tiers, strict=True)
        if isinstance(tier, textgrid.IntervalTier)
    }
    by_kind = {name: name.rpartition(" - ")[2].strip().lower() for name in tiers}
    words = [name for name, kind in by_kind.items() if kind in _WORD_TIERS]
    texts = [name for name, kind in by_kind.items() if kind not in _WORD_TIERS and kind not in _PHONE_TIERS]
    named = [name for wanted in _TEXT_TIERS for name in texts if by_kind[name] == wanted]
    if len(words) == 1:
        return tiers[words[0]], True
    if len(words) > 1:
        raise CorpusError(
            f"{path} has words of {len(words)} speakers (tiers {', '.join(words)}). "
            f"An utterance has one speaker: cut the recording into one file per speaker and utterance."
        )
    if named or len(texts) == 1:
        return tiers[(named or texts)[0]], False
    if texts:
        raise CorpusError(
            f"{path} has no tier of words, and several that could be one: {', '.join(texts)}. "
            f"Name the one with the words `words`; of recordings with several speakers, cut one file per speaker."
        )
    return None, False
