"""Finished alignments are not made again: one small JSON file per utterance, keyed by what could change the outcome."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from analysis.alignment.types import Aligner, Alignment
from analysis.corpus.conversations import LONG
from analysis.corpus.utterance import Utterance
from analysis.errors import AlignmentError, AnalysisError, Failure
from analysis.guard import attempt, concerns_all
from analysis.timebase import Interval

__all__ = ["align_cached", "from_record", "to_record"]

_logger = logging.getLogger(__name__)

# Utterances whose keys are looked up and which are handed to the aligner at a time.
_BATCH = 4096


def to_record(alignment: Alignment) -> dict[str, Any]:
    """An alignment as plain JSON data: what :func:`from_record` reads back to an equal one."""
    return {
        "utterance": alignment.utterance_id,
        "duration": alignment.duration,
        "source": alignment.source,
        "inventory": alignment.inventory,
        "confidence": alignment.confidence,
        "words": [[word.start, word.end, word.label] for word in alignment.words],
        "phones": [[phone.start, phone.end, phone.label] for phone in alignment.phones],
        "word_confidence": None if alignment.word_confidence is None else list(alignment.word_confidence),
        "warnings": list(alignment.warnings),
        "measures": dict(alignment.measures),
    }


def from_record(record: dict[str, Any], place: str = "the record") -> Alignment:
    """The alignment that :func:`to_record` wrote; ``place`` names it in errors.

    Raises
    ------
    AlignmentError
        If a field is missing or of another kind.
    """
    try:
        confidence = record.get("word_confidence")
        return Alignment(
            utterance_id=str(record["utterance"]),
            words=tuple(Interval(float(start), float(end), str(label)) for start, end, label in record["words"]),
            phones=tuple(Interval(float(start), float(end), str(label)) for start, end, label in record["phones"]),
            duration=float(record["duration"]),
            source=str(record.get("source", "json")),
            confidence=record.get("confidence"),
            word_confidence=None if confidence is None else tuple(confidence),
            inventory=str(record.get("inventory", "arpabet")),
            warnings=tuple(record.get("warnings", ())),
            measures=tuple((str(name), float(value)) for name, value in record.get("measures", {}).items()),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AlignmentError(
            f"{place} is no alignment: {type(error).__name__}: {error}. Needed: utterance, duration, and words and phones as "
            f"[start, end, label]."
        ) from error


def align_cached(
    aligner: Aligner, utterances: Sequence[Utterance], folder: Path | str, *, progress: bool | None = None
) -> Iterator[Alignment | Failure]:
    """What ``aligner.align(utterances)`` yields, reading from ``folder`` what was aligned before.

    Parameters
    ----------
    aligner : Aligner
        One without a method ``cache_key(utterance) -> str`` is asked afresh every time (reading TextGrids is as fast). With a
        method ``prepare(utterances)``, that is called first, with all of them; with ``keeps_failure(failure) -> bool``, those
        failures are kept as well.
    utterances : sequence of Utterance
    folder : path
        Grows by one file per aligned utterance. Files appear whole or not at all; other failures are not kept. It can be deleted.
    progress : bool, optional
        Show a bar; by default when standard error is a terminal.
    """
    from tqdm import tqdm

    key_of = getattr(aligner, "cache_key", None)
    keeps = getattr(aligner, "keeps_failure", lambda failure: False)
    if hasattr(aligner, "prepare"):
        aligner.prepare(utterances)
    folder = Path(folder)
    disable = None if progress is None else not progress  # tqdm's None: only on a terminal
    with tqdm(total=len(utterances), desc=f"Aligning ({aligner.source})", unit="utt", disable=disable, leave=False) as bar:
        for begin in range(0, len(utterances), _BATCH):
            batch = utterances[begin : begin + _BATCH]
            paths = [_path(folder, key_of, utterance) for utterance in batch]
            done = {i: found for i, path in enumerate(paths) if path and (found := _read(path)) is not None}
            missing = [i for i in range(len(batch)) if i not in done]
            outcomes = _outcomes(aligner, [batch[i] for i in missing])
            for i in range(len(batch)):
                if i in done:
                    outcome: Alignment | Failure = done[i]
                else:
                    outcome = next(outcomes)
                    if paths[i] and (isinstance(outcome, Alignment) or keeps(outcome)):
                        _write(paths[i], outcome)
                bar.update()
                yield _with_length(outcome, batch[i])


def _with_length(outcome: Alignment | Failure, utterance: Utterance) -> Alignment | Failure:
    """The outcome, with the way out where the utterance is a long recording."""
    if utterance.duration <= LONG:
        return outcome
    remedy = "Divide it: python -m analysis.alignment segment CORPUS --out MANIFEST.csv, and give that manifest."
    if isinstance(outcome, Failure):
        return replace(outcome, remedy=f"{outcome.remedy} {remedy}".strip())
    doubt = f"It lasts {utterance.duration:.0f} s; aligners and encoders are made for less than {LONG:.0f} s. {remedy}"
    return replace(outcome, warnings=(*outcome.warnings, doubt))


def _outcomes(aligner: Aligner, utterances: Sequence[Utterance]) -> Iterator[Alignment | Failure]:
    """One outcome per utterance, in order. Where the aligner breaks, the utterance that is due is tried alone, then the rest."""
    done = 0
    while done < len(utterances):
        try:
            for outcome in aligner.align(utterances[done:]):
                done += 1
                yield outcome
        except Exception as error:
            # an error that explains itself is about the request, such as a program that is not installed
            if concerns_all(error) or isinstance(error, AnalysisError):
                raise
        if done < len(utterances):
            utterance = utterances[done]
            alone = attempt("alignment", utterance.id, lambda due=utterance: next(iter(aligner.align([due])), None))
            done += 1
            yield alone or Failure(
                "alignment",
                utterance.id,
                f"The aligner {aligner.source} gave nothing back.",
                "Align it with another, or leave it out.",
            )


def _path(folder: Path, key_of: Any, utterance: Utterance) -> Path | None:
    if key_of is None:
        return None
    try:
        key = key_of(utterance)
    except Exception as error:  # the audio cannot be read, mostly: the aligner says so as a failure
        if concerns_all(error):
            raise
        return None
    return folder / key[:2] / f"{key}.json"


def _read(path: Path) -> Alignment | Failure | None:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return Failure(**record["failure"]) if "failure" in record else from_record(record)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, RecursionError, AlignmentError) as error:
        _logger.warning("The cached alignment %s cannot be used and is made again: %s", path, error)
        return None


def _write(path: Path, outcome: Alignment | Failure) -> None:
    record = to_record(outcome) if isinstance(outcome, Alignment) else {"failure": outcome.as_row()}
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(record, stream, ensure_ascii=False)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
