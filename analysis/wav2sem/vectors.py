"""Semantic vectors of many utterances, where some may have none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.corpus.utterance import Utterance
from analysis.errors import AnalysisError, Failure, SemanticsError, StrictError
from analysis.guard import concerns_all, failure_row
from analysis.wav2sem.types import Semantics, UtteranceVectors

__all__ = ["embed", "not_finite_vector"]

# So many utterances that all fail with the same words are no bad utterances: the module is.
_ALIKE = 8


def embed(
    module: Semantics,
    utterances: Sequence[Utterance],
    *,
    strict: bool = False,
    batch: int | None = None,
    progress: bool = False,
) -> tuple[UtteranceVectors, list[Failure]]:
    """Vectors of the utterances that have one, in their order, and a failure for each of the others.

    Parameters
    ----------
    module : Semantics
    utterances : sequence of Utterance
    strict : bool
        Raise at the first utterance that cannot be used.
    batch : int, optional
        Utterances that the module is asked for at a time, all by default. What fails together is asked for in halves, down to the
        utterance that cannot be used.
    progress : bool
        Show a bar where there is a terminal.

    Raises
    ------
    StrictError
        If ``strict`` and an utterance cannot be used.
    AnalysisError
        If the module gives no vector, and says the same of every utterance.
    """
    from tqdm import tqdm

    rows: dict[str, np.ndarray] = {}
    failures: list[Failure] = []

    def lose(failure: Failure) -> None:
        if strict:
            raise StrictError(f"{failure.stage}: {failure.item}: {failure.reason} {failure.remedy}")
        failures.append(failure)

    def take(some: Sequence[Utterance]) -> None:
        try:
            vectors = module.semantics(some)
        except Exception as error:
            if concerns_all(error):
                raise
            if len(some) == 1:
                lose(failure_row("semantics", some[0].id, error, "Mend it, or leave it out."))
                if not rows and len(failures) == _ALIKE and len({failure.reason for failure in failures}) == 1:
                    raise _of_the_module(module, failures[0], error) from error
                return
            half = len(some) // 2
        else:
            for utterance, vector in zip(some, vectors, strict=True):
                if np.isfinite(vector).all():
                    rows[utterance.id] = vector
                else:
                    lose(not_finite_vector(utterance.id, module.card.name))
            return
        take(some[:half])
        take(some[half:])

    step = batch or max(len(utterances), 1)
    with tqdm(total=len(utterances), unit="utterance", disable=None if progress else True) as bar:
        for start in range(0, len(utterances), step):
            some = utterances[start : start + step]
            take(some)
            bar.update(len(some))
    vectors = np.stack(list(rows.values())) if rows else np.zeros((0, module.card.dims), np.float32)
    return UtteranceVectors(tuple(rows), vectors, module.card), failures


def _of_the_module(module: Semantics, failure: Failure, error: Exception) -> AnalysisError:
    if isinstance(error, AnalysisError):
        return error
    return SemanticsError(f"The module {module.card.name} gives no vector: {failure.reason} {failure.remedy}")


def not_finite_vector(utterance: str, module: str) -> Failure:
    """The row of an utterance whose semantic vector is no vector."""
    reason = f"The module {module} gives a vector with NaN or infinite values."
    return Failure("semantics", utterance, reason, "Check the module's weights, or leave the recording out.")
