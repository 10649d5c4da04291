"""What raters preferred: exact binomial, an interval that allows for raters and items, agreement, and a per-item table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.documents import read_json
from analysis.errors import FaceError, Failure
from analysis.face.study.ranking import Answer, Standing, rank_methods

__all__ = ["Answer", "Preference", "StudyResult", "analyse", "fleiss_kappa", "krippendorff_alpha", "read_answers"]

# Under this many raters or items an interval that resamples them is said to be weak.
_FEW = 8


@dataclass(frozen=True)
class Preference:
    """How often one method was preferred to another.

    Attributes
    ----------
    method, other : str
    share : float
        Of answers that prefer ``method``.
    n_preferred, n_answers, n_raters, n_items : int
    crossed_low, crossed_high, p_crossed : float
        The headline: bootstrap over raters and items crossed (Owen 2007), for claims about other raters and other clips. The
        p-value is two-sided against one half and agrees with the interval: the least level at which the interval leaves out one
        half, not under 2 / (resamples + 1).
    exact_low, exact_high, p_exact : float
        Clopper-Pearson interval and two-sided exact binomial p-value against one half. Answers are taken as independent, which
        they are not where a rater answers often.
    p_raters_items_fixed : float
        Sign-flip test on each rater's share minus one half: for claims about other raters who see these very items. With ten items
        that differ it falls under 0.05 in 14 % of studies without a preference, so it says nothing about other clips.
    fleiss_kappa, krippendorff_alpha : float
        Agreement of raters on items; NaN where it is not defined. Fleiss needs every item to have equally many answers.
    left_share : float
        Of answers that chose the left side; far from one half means that sides were not looked at.
    weak : bool
        Fewer than eight raters or items: the crossed interval is too narrow.
    """

    method: str
    other: str
    share: float
    n_preferred: int
    n_answers: int
    n_raters: int
    n_items: int
    crossed_low: float
    crossed_high: float
    p_crossed: float
    exact_low: float
    exact_high: float
    p_exact: float
    p_raters_items_fixed: float
    fleiss_kappa: float
    krippendorff_alpha: float
    left_share: float
    weak: bool


@dataclass(frozen=True)
class StudyResult:
    """The outcome of a study.

    Attributes
    ----------
    preferences : tuple of Preference
        One per pair of methods.
    items : tuple of dict
        Per item: ``item``, ``method``, ``other``, ``n_preferred``, ``n_answers``, ``share``, ``exact_low``, ``exact_high``.
    excluded : tuple of Failure
        Raters who failed an attention check, and files and answers that could not be used.
    ranking : tuple of Standing
        All methods in one order, where there are three or more and comparisons link them all.
    """

    preferences: tuple[Preference, ...]
    items: tuple[dict[str, Any], ...]
    excluded: tuple[Failure, ...]
    ranking: tuple[Standing, ...] = ()

    def to_json(self) -> str:
        """All of it; NaN as null."""
        document = {
            "schema": "analysis.face.study.result",
            "preferences": [asdict(row) for row in self.preferences],
            "ranking": [asdict(row) for row in self.ranking],
            "items": list(self.items),
            "excluded": [failure.as_row() for failure in self.excluded],
        }
        return json.dumps(_without_nan(document), indent=1, ensure_ascii=False, allow_nan=False)

    def to_text(self) -> str:
        """For a terminal."""
        lines = []
        for row in self.preferences:
            lines += [
                f"{row.method} preferred to {row.other}: {row.share:.1%} ({row.n_preferred} of {row.n_answers} answers; "
                f"{row.n_raters} "
                f"raters, {row.n_items} items)",
                f"  other raters and other items: 95% [{row.crossed_low:.1%}, {row.crossed_high:.1%}], p = {row.p_crossed:.4g}"
                + (" (weak: under eight raters or items)" if row.weak else ""),
                f"  other raters, these very items: sign-flip p = {row.p_raters_items_fixed:.4g} (says nothing about other clips)",
                f"  exact binomial, independent answers: 95% [{row.exact_low:.1%}, {row.exact_high:.1%}], p = {row.p_exact:.4g} "
                "(says nothing about other raters)",
                f"  agreement: Fleiss kappa {row.fleiss_kappa:.3f}, Krippendorff alpha {row.krippendorff_alpha:.3f}; left chosen "
                f"{row.left_share:.1%}",
            ]
        if self.ranking:
            wide = max(len(row.method) for row in self.ranking)
            lines += [
                "",
                "all methods, Bradley-Terry log-odds against the mean, 95% for other raters and items; share against the others",
            ]
            lines += [
                f"  {row.method.ljust(wide)}  {row.strength:+.3f} [{row.low:+.3f}, {row.high:+.3f}]  {row.share:5.1%}  "
                f"({row.n_answers} answers)"
                for row in self.ranking
            ]
        width = max([len(str(row["item"])) for row in self.items] + [4])
        lines += ["", f"{'item'.ljust(width)}  share  answers  95% exact  (share preferring the first method named above)"]
        lines += [
            f"{str(row['item']).ljust(width)}  {row['share']:5.1%}  {row['n_answers']:7d}  [{row['exact_low']:.1%}, "
            f"{row['exact_high']:.1%}]"
            for row in self.items
        ]
        lines += [f"left out: {failure.item}: {failure.reason}" for failure in self.excluded]
        return "\n".join(lines)


def read_answers(files: Iterable[str | Path], key: str | Path, *, allowed_misses: int = 0) -> tuple[list[Answer], list[Failure]]:
    """Answers of all raters with the methods' names, and who was left out.

    Parameters
    ----------
    files : iterable of path
        What raters saved.
    key : str or Path
        The ``key.json`` of the study.
    allowed_misses : int
        Attention checks a rater may miss.

    Raises
    ------
    FaceError
        If the key cannot be read, or there is no file.
    """
    key = Path(key)
    items, checks, study = _read_key(key)
    answers: list[Answer] = []
    excluded: list[Failure] = []
    seen: dict[str, Path] = {}
    paths = [Path(file) for file in files]
    if not paths:
        raise FaceError("There is no file of answers. Give the .json files that raters saved.")
    for path in paths:
        try:
            document = _read_document(path, study)
            rater = document["rater"]
            if rater in seen:
                raise FaceError(f"rater {rater} has already answered in {seen[rater].name}; the first file counts")
            good, misses, bad = _answers_of(document, items, checks)
        except FaceError as error:
            excluded.append(Failure("face", path.name, str(error), "Ask for the file again, or leave it out."))
            continue
        seen[rater] = path
        excluded += [Failure("face", f"{path.name}, {rater}", reason, "The rater's other answers count.") for reason in bad]
        if misses > allowed_misses:
            excluded.append(
                Failure(
                    "face", rater, f"missed {misses} attention checks where {allowed_misses} are allowed", "Leave the rater out."
                )
            )
            continue
        answers += good
    return answers, excluded


def _read_key(path: Path) -> tuple[dict[str, Any], dict[str, str], str]:
    if not path.is_file():
        raise FaceError(f"There is no key {path}. `study make` wrote key.json beside the page's folder; pass it with --key.")
    remedy = "`study make` writes it as key.json."
    document = read_json(path, remedy, FaceError)
    if not isinstance(document, dict) or document.get("schema") != "analysis.face.study.key":
        raise FaceError(f"{path} is no key of a study. {remedy}")
    items, checks, study = (document.get(name) for name in ("items", "checks", "study"))
    if not isinstance(items, dict) or not isinstance(checks, dict) or not isinstance(study, str):
        raise FaceError(f"{path} lacks its items, its checks or the name of its study. Was it edited? {remedy}")
    for name, item in items.items():
        methods = item.get("methods") if isinstance(item, dict) else None
        if not isinstance(methods, list) or len(methods) != 2 or not all(isinstance(one, str) for one in methods):
            raise FaceError(f"{path}: its item {name} names no two methods. Was it edited? {remedy}")
        if not isinstance(item.get("item"), str):
            raise FaceError(f"{path}: its item {name} has no name. Was it edited? {remedy}")
    for name, side in checks.items():
        if side not in ("left", "right"):
            raise FaceError(f"{path}: its check {name} is neither left nor right. Was it edited? {remedy}")
    return items, checks, study


def _read_document(path: Path, study: str) -> dict[str, Any]:
    try:
        document = read_json(path, "Ask the rater for it again.", FaceError)
    except OSError as error:
        raise FaceError(f"it cannot be read ({error.strerror})") from None
    if not isinstance(document, dict) or document.get("schema") != "analysis.face.study.answers":
        raise FaceError("it holds no answers of a study page")
    if document.get("study") != study:
        raise FaceError(f"it answers the study {document.get('study')}, and the key is of {study}")
    if not isinstance(document.get("rater"), str) or not isinstance(document.get("answers"), list):
        raise FaceError("it names no rater or holds no list of answers")
    return document


def _answers_of(document: dict[str, Any], items: dict[str, Any], checks: dict[str, str]) -> tuple[list[Answer], int, list[str]]:
    """Answers to real items, how many attention checks were missed or left out, and why other answers cannot be used.

    Of an item that was answered twice, neither answer counts.
    """
    rows: dict[str, dict[str, Any]] = {}
    bad, twice = [], set()
    for row in document["answers"]:
        identity, chosen, side = (row.get(name) if isinstance(row, dict) else None for name in ("id", "chosen", "side"))
        if not isinstance(identity, str) or type(chosen) is not int or chosen not in (0, 1) or side not in ("left", "right"):
            bad.append(f"answer {row!r:.80} is unreadable")
        elif identity in rows:
            twice.add(identity)
        elif identity not in checks and identity not in items:
            bad.append(f"it answers the item {identity}, which the key does not hold")
        else:
            rows[identity] = row
    bad += [f"it answers the item {identity} twice" for identity in sorted(twice)]
    good = {identity: row for identity, row in rows.items() if identity not in twice}
    misses = sum(identity not in good or good[identity]["side"] != side for identity, side in checks.items())
    answers = []
    for identity, row in good.items():
        if identity in items:
            methods, time = items[identity]["methods"], row.get("milliseconds")
            answers.append(
                Answer(
                    document["rater"],
                    items[identity]["item"],
                    methods[row["chosen"]],
                    methods[1 - row["chosen"]],
                    row["side"],
                    int(time) if isinstance(time, int | float) else 0,
                )
            )
    return answers, misses, bad


def analyse(
    answers: Sequence[Answer],
    *,
    reference: str | None = None,
    excluded: Sequence[Failure] = (),
    n_resamples: int = 2000,
    seed: int = 0,
) -> StudyResult:
    """Preference, interval, test, agreement and per-item table.

    Parameters
    ----------
    answers : sequence of Answer
    reference : str, optional
        The method whose share is reported; by default the one whose name says ``+``, else the last in alphabetical order.
    excluded : sequence of Failure
    n_resamples, seed : int

    Raises
    ------
    FaceError
        If there is no answer.
    """
    if not answers:
        why = f" ({excluded[0].item}: {excluded[0].reason})" if excluded else ""
        raise FaceError(f"There is no answer to analyse: all {len(excluded)} files or raters were left out{why}.")
    groups: dict[tuple[str, str], list[Answer]] = {}
    for answer in answers:
        one, two = sorted((answer.preferred, answer.other), key=lambda name: (name != reference, "+" not in name, name))
        pair = (one, two)
        groups.setdefault(pair, []).append(answer)
    preferences, items = [], []
    for (method, other), chosen in sorted(groups.items()):
        preferences.append(_preference(method, other, chosen, n_resamples, seed))
        for item in sorted({answer.item for answer in chosen}):
            votes = [answer.preferred == method for answer in chosen if answer.item == item]
            low, high, _ = _exact(sum(votes), len(votes))
            items.append(
                {
                    "item": item,
                    "method": method,
                    "other": other,
                    "n_preferred": sum(votes),
                    "n_answers": len(votes),
                    "share": sum(votes) / len(votes),
                    "exact_low": low,
                    "exact_high": high,
                }
            )
    ranking = rank_methods(answers, n_resamples=n_resamples, seed=seed)
    return StudyResult(tuple(preferences), tuple(items), tuple(excluded), ranking)


def _preference(method: str, other: str, answers: list[Answer], n_resamples: int, seed: int) -> Preference:
    from analysis.face.comparison import sign_flip_test

    liked = np.array([answer.preferred == method for answer in answers], dtype=float)
    raters, rater_codes = np.unique([answer.rater for answer in answers], return_inverse=True)
    items, item_codes = np.unique([answer.item for answer in answers], return_inverse=True)
    low, high, p = _exact(int(liked.sum()), len(liked))
    crossed_low, crossed_high, p_crossed = _crossed_bootstrap(liked, rater_codes, item_codes, n_resamples, seed)
    per_rater = np.bincount(rater_codes, weights=liked) / np.bincount(rater_codes) - 0.5
    votes = [[answer.preferred for answer in answers if answer.item == item] for item in items]
    return Preference(
        method=method,
        other=other,
        share=float(liked.mean()),
        n_preferred=int(liked.sum()),
        n_answers=len(liked),
        n_raters=len(raters),
        n_items=len(items),
        crossed_low=crossed_low,
        crossed_high=crossed_high,
        p_crossed=p_crossed,
        exact_low=low,
        exact_high=high,
        p_exact=p,
        p_raters_items_fixed=sign_flip_test(per_rater, seed=seed),
        fleiss_kappa=fleiss_kappa(votes),
        krippendorff_alpha=krippendorff_alpha(votes),
        left_share=sum(answer.side == "left" for answer in answers) / len(answers),
        weak=min(len(raters), len(items)) < _FEW,
    )


def _exact(n_preferred: int, n: int) -> tuple[float, float, float]:
    """Clopper-Pearson bounds from the beta distribution, and the two-sided binomial p-value against one half."""
    from scipy.special import bdtr, betaincinv

    low = float(betaincinv(n_preferred, n - n_preferred + 1, 0.025)) if n_preferred else 0.0
    high = float(betaincinv(n_preferred + 1, n - n_preferred, 0.975)) if n_preferred < n else 1.0
    return low, high, min(1.0, 2.0 * float(bdtr(min(n_preferred, n - n_preferred), n, 0.5)))


def _crossed_bootstrap(
    liked: np.ndarray, raters: np.ndarray, items: np.ndarray, n_resamples: int, seed: int
) -> tuple[float, float, float]:
    """Percentile interval of the share and its p-value against one half, resampling raters and items apart.

    An answer weighs the product of its rater's and its item's count.
    """
    rng = np.random.default_rng(seed)
    shape = (raters.max() + 1, items.max() + 1)
    liked_sums, counts = np.zeros(shape), np.zeros(shape)
    np.add.at(liked_sums, (raters, items), liked)
    np.add.at(counts, (raters, items), 1.0)
    of_raters, of_items = (rng.multinomial(n, np.full(n, 1 / n), size=n_resamples).astype(float) for n in shape)
    weighted = (of_raters @ liked_sums * of_items).sum(axis=1)
    weights = (of_raters @ counts * of_items).sum(axis=1)
    shares = weighted[weights > 0] / weights[weights > 0]
    low, high = np.quantile(shares, [0.025, 0.975])
    beyond = min(np.count_nonzero(shares <= 0.5), np.count_nonzero(shares >= 0.5))
    return float(low), float(high), min(1.0, 2 * (1 + beyond) / (1 + len(shares)))


def fleiss_kappa(votes: Sequence[Sequence[str]]) -> float:
    """Fleiss' kappa of answers by item; NaN unless all items have equally many answers (at least two) of more than one kind."""
    sizes = {len(row) for row in votes}
    if len(sizes) != 1 or min(sizes) < 2:
        return float("nan")
    counts = _counts(votes)
    n = counts.sum(axis=1)[0]
    agreement = ((counts**2).sum(axis=1) - n) / (n * (n - 1))
    chance = ((counts.sum(axis=0) / counts.sum()) ** 2).sum()
    return float((agreement.mean() - chance) / (1 - chance)) if chance < 1 else float("nan")


def krippendorff_alpha(votes: Sequence[Sequence[str]]) -> float:
    """Krippendorff's alpha for nominal answers by item, any number of answers each; NaN where all answers are of one kind."""
    counts = _counts([row for row in votes if len(row) > 1])
    if not counts.size:
        return float("nan")
    sizes = counts.sum(axis=1)
    n, totals = counts.sum(), counts.sum(axis=0)
    observed = ((sizes**2 - (counts**2).sum(axis=1)) / (sizes - 1)).sum() / n
    expected = (n**2 - (totals**2).sum()) / (n * (n - 1))
    return float(1 - observed / expected) if expected > 0 else float("nan")


def _counts(votes: Sequence[Sequence[str]]) -> np.ndarray:
    kinds = sorted({vote for row in votes for vote in row})
    return np.array([[Counter(row)[kind] for kind in kinds] for row in votes], dtype=float)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
