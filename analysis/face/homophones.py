"""The number the semantic module is argued for: lip error while near-homophones are spoken, and whether lips keep them apart.

Three measures beside the published ones:

- lip vertex error over the frames whose centres lie in syllables that have a near-homophone in the same material;
- lip-shape separation: the distance between the mean lip shapes of near-homophone syllables, in the truth and in the prediction.
  A model that has averaged *sheep* and *ship* into one mouth has a small one. But any noise raises it, as it raises distances
  between embeddings, so it proves nothing alone;
- contrast kept: the slope of predicted on true lip-shape contrasts, ``sum <p_i - p_j, g_i - g_j> / sum |g_i - g_j|^2`` over token
  pairs of near-homophones. 1 where the prediction makes the true difference, 0 where it makes none or one that has nothing to do
  with the truth; noise does not raise it.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.errors import FaceError
from analysis.face.evaluation import RunMeasures, aligned
from analysis.face.intervals import FEW, crossed_ratio
from analysis.face.predictions import find_predictions
from analysis.face.sequences import DEFAULT_TOLERANCE, frame_grid

if TYPE_CHECKING:
    from analysis.alignment.types import Alignment

__all__ = [
    "Spoken",
    "alignments_of",
    "contrasts_without",
    "homophone_difference",
    "homophone_measures",
    "lip_shapes",
    "near_homophone_error",
    "pairs_of",
    "read_spoken",
    "spoken_from_alignments",
    "spoken_from_textgrids",
]

Pair = tuple[str, str]


@dataclass(frozen=True)
class Spoken:
    """One occurrence of a syllable or word form.

    Attributes
    ----------
    clip, type : str
    start, end : float
        Half-open, s.
    """

    clip: str
    type: str
    start: float
    end: float


def read_spoken(path: str | Path) -> list[Spoken]:
    """Occurrences from a token table: a .csv or .parquet with at least ``utterance``, ``type``, ``start`` and ``end``.

    Raises
    ------
    ConfigurationError
        If the file is missing or cannot be read, a column is missing, or a time is no number.
    """
    from analysis.phonology import read_token_table

    columns = ["utterance", "type", "start", "end"]
    return [Spoken(*row) for row in read_token_table(path, columns)[columns].itertuples(index=False, name=None)]


def spoken_from_alignments(alignments: Iterable[Any]) -> list[Spoken]:
    """Syllables of alignments (:class:`analysis.alignment.types.Alignment`), whose utterance ids are the clips' names."""
    from analysis.phonology import syllables

    return [
        Spoken(alignment.utterance_id, syllable.type, syllable.interval.start, syllable.interval.end)
        for alignment in alignments
        for syllable in syllables(alignment)
    ]


def alignments_of(folder: str | Path, clips: Collection[str]) -> list[Alignment]:
    """Alignments of ``CLIP.TextGrid`` in a folder.

    Raises
    ------
    FaceError
        If a clip has no TextGrid.
    """
    from analysis.alignment import read_textgrid

    folder = Path(folder)
    alignments = []
    for clip in clips:
        path = folder / f"{clip}.TextGrid"
        if not path.is_file():
            raise FaceError(f"There is no alignment {path}. Name TextGrids as the clips, or give --tokens.")
        alignments.append(read_textgrid(path, utterance_id=clip))
    return alignments


def spoken_from_textgrids(folder: str | Path, clips: Collection[str]) -> list[Spoken]:
    """Syllables of ``CLIP.TextGrid`` in a folder.

    Raises
    ------
    FaceError
        If a clip has no TextGrid.
    """
    return spoken_from_alignments(alignments_of(folder, clips))


def pairs_of(spoken: Sequence[Spoken], path: str | Path | None = None) -> list[Pair]:
    """Near-homophone pairs among the spoken types: those of a pair table, or mined where none is given.

    Parameters
    ----------
    spoken : sequence of Spoken
        Their types are read as phone strings (``SH IY P``) when pairs are mined.
    path : str or Path, optional
        A .csv with ``type_a`` and ``type_b``; where it has a column ``relation`` only ``near_homophone`` rows count.

    Raises
    ------
    FaceError
        If the file lacks a column, or no pair has both its types in the material.
    """
    types = {one.type for one in spoken}
    if path is None:
        from analysis.phonology import pair_table

        table = pair_table({name: name for name in types}, relations=("near_homophone",), n_unrelated=0)
        rows: list[Mapping[str, Any]] = table[["type_a", "type_b"]].to_dict("records")
        source = "Mining"
    else:
        path = Path(path)
        if not path.is_file():
            raise FaceError(f"There is no pair table {path}.")
        try:
            with path.open(newline="", encoding="utf-8-sig") as stream:
                reader = csv.DictReader(stream)
                rows = [row for row in reader if row.get("relation") in (None, "", "near_homophone")]
        except (UnicodeDecodeError, csv.Error) as error:
            raise FaceError(f"The pair table {path} cannot be read: {error}. Save it as CSV in UTF-8.") from None
        if not {"type_a", "type_b"} <= set(reader.fieldnames or ()):
            there = ", ".join(reader.fieldnames or ()) or "none"
            raise FaceError(f"{path} has no columns type_a and type_b; it has {there}.")
        source = str(path)
    pairs = sorted(
        {tuple(sorted((row["type_a"], row["type_b"]))) for row in rows if row["type_a"] in types and row["type_b"] in types}
    )
    if not pairs:
        some = ", ".join(sorted(types)[:4])
        raise FaceError(
            f"{source} found no near-homophone pair with both its types among the {len(types)} spoken ones ({some}, ...)."
        )
    return pairs


def near_homophone_error(run: RunMeasures, spoken: Sequence[Spoken], pairs: Sequence[Pair]) -> dict[str, float]:
    """Lip vertex error of a run inside near-homophone syllables and elsewhere, pooled and rooted as its preset says.

    Returns
    -------
    dict
        ``lve``, ``lve_elsewhere``, ``n_frames``, ``n_frames_elsewhere``; NaN where there is no frame.
    """
    confusable = {name for pair in pairs for name in pair}
    grid = frame_grid(run.truth.fps)
    by_clip: dict[str, list[Spoken]] = {}
    for one in spoken:
        if one.type in confusable:
            by_clip.setdefault(one.clip, []).append(one)
    parts: dict[bool, list[tuple[float, int]]] = {True: [], False: []}
    for row in run.rows:
        inside = np.zeros(row.n_frames, dtype=bool)
        for one in by_clip.get(row.clip, ()):
            inside[grid.frames(one.start, one.end, row.n_frames)] = True
        errors = np.sqrt(row.lip_errors) if run.preset.lve_power == "root" else row.lip_errors
        for side in (True, False):
            chosen = errors[inside == side]
            if len(chosen):
                parts[side].append((float(chosen.mean()), len(chosen)))
    return {
        "lve": _pool(parts[True], run.preset.lve_pooling),
        "lve_elsewhere": _pool(parts[False], run.preset.lve_pooling),
        "n_frames": sum(n for _, n in parts[True]),
        "n_frames_elsewhere": sum(n for _, n in parts[False]),
    }


def _pool(parts: list[tuple[float, int]], pooling: str) -> float:
    if not parts:
        return float("nan")
    values, counts = zip(*parts, strict=True)
    return float(np.average(values, weights=counts if pooling == "frames" else None))


def lip_shapes(vertices: np.ndarray, template: np.ndarray, lips: np.ndarray, spoken: Sequence[Spoken], fps: int) -> np.ndarray:
    """Mean offset of the lips from the neutral face over each occurrence's frames, shape ``(len(spoken), lips * 3)``.

    NaN without frames. Scaled by the root of the number of lip vertices, so a Euclidean distance between two rows is a root mean
    square over vertices.
    """
    grid = frame_grid(fps)
    neutral = np.asarray(template, dtype=np.float64)[lips]
    shapes = np.full((len(spoken), 3 * len(lips)), np.nan)
    for shape, one in zip(shapes, spoken, strict=True):
        frames = vertices[grid.frames(one.start, one.end, len(vertices))]
        if len(frames):
            shape[:] = (frames[:, lips].mean(axis=0, dtype=np.float64) - neutral).ravel() / np.sqrt(len(lips))
    return shapes


def homophone_measures(
    run: RunMeasures,
    spoken: Sequence[Spoken],
    pairs: Sequence[Pair],
    *,
    tolerance: int = DEFAULT_TOLERANCE,
) -> dict[str, Any]:
    """Near-homophone lip error and lip-shape separation of one run.

    Returns
    -------
    dict
        Those of :func:`near_homophone_error`; ``contrast_kept`` with an interval for other pairs and other speakers
        (``contrast_kept_low``, ``_high``, ``_df``; NaN with fewer than two of either; ``contrast_kept_weak``: fewer than eight
        speakers, see :func:`analysis.face.intervals.crossed_ratio`); ``separation_truth``, ``separation_prediction``: mean over
        pairs of the mean distance between tokens of the two types; ``within_truth``, ``within_prediction``: the mean distance
        between tokens of one type; ``between_within_truth``, ``between_within_prediction``: their ratio; ``n_pairs``,
        ``n_tokens``, ``n_speakers``, ``speakers``, and ``pairs`` with each pair's two distances, its ``contrast`` (mean product
        of predicted and true contrast) and ``power`` (mean squared true contrast), and both without each of the speakers
        (``contrast_without``, ``power_without``; NaN where a type has no other token).

    Raises
    ------
    FaceError
        If no occurrence of a paired type lies in a measured clip.
    """
    confusable = {name for pair in pairs for name in pair}
    clips = set(run.clips)
    tokens = [one for one in spoken if one.type in confusable and one.clip in clips]
    if not tokens:
        raise FaceError(
            f"No near-homophone syllable lies in a measured clip. Tokens are of "
            f"{', '.join(sorted({one.clip for one in spoken})[:3])}, ...; "
            f"clips are {', '.join(sorted(clips)[:3])}, .... Name utterances as the clips."
        )
    truths, predictions = _shapes_by_condition(run, tokens, tolerance)
    shaped = ~np.isnan(truths[:, 0])
    members = _members(tokens, pairs, shaped)
    truth_between, truth_within = _distances(truths, members, pairs)
    said_by = np.array([run.truth.dataset.subject(one.clip) for one in tokens])
    speakers = np.unique(said_by[shaped])
    power, power_without = contrasts_without(truths, truths, members, pairs, said_by, speakers)
    distances = [_distances(shapes, members, pairs) for shapes in predictions]
    prediction_between = np.mean([between for between, _ in distances], axis=0)
    prediction_within = float(np.mean([within for _, within in distances]))
    products = [contrasts_without(shapes, truths, members, pairs, said_by, speakers) for shapes in predictions]
    contrast, contrast_without = (np.mean(parts, axis=0) for parts in zip(*products, strict=True))
    usable = ~np.isnan(truth_between + prediction_between)
    if not usable.any():
        raise FaceError(
            "No near-homophone pair has a video frame in both its types. Are the tokens' times in seconds of these clips?"
        )
    kept = crossed_ratio(
        contrast[usable],
        power[usable],
        contrast_without[usable],
        power_without[usable],
        [pair for pair, use in zip(pairs, usable, strict=True) if use],
    )
    truth_mean, prediction_mean = float(truth_between[usable].mean()), float(prediction_between[usable].mean())
    columns = {"truth": truth_between, "prediction": prediction_between, "contrast": contrast, "power": power}
    without = {"contrast_without": contrast_without, "power_without": power_without}
    return {
        **near_homophone_error(run, spoken, pairs),
        "contrast_kept": kept.estimate,
        "contrast_kept_low": kept.low,
        "contrast_kept_high": kept.high,
        "contrast_kept_df": kept.df,
        "contrast_kept_weak": len(speakers) < FEW,
        "separation_truth": truth_mean,
        "separation_prediction": prediction_mean,
        "within_truth": truth_within,
        "within_prediction": prediction_within,
        "between_within_truth": truth_mean / truth_within if truth_within else float("nan"),
        "between_within_prediction": prediction_mean / prediction_within if prediction_within else float("nan"),
        "n_pairs": int(usable.sum()),
        "n_tokens": int(shaped.sum()),
        "n_speakers": len(speakers),
        "speakers": speakers.tolist(),
        "pairs": [
            {
                "type_a": a,
                "type_b": b,
                **{name: float(column[number]) for name, column in columns.items()},
                **{name: column[number].tolist() for name, column in without.items()},
            }
            for number, (a, b) in enumerate(pairs)
            if usable[number]
        ],
    }


def _shapes_by_condition(run: RunMeasures, tokens: list[Spoken], tolerance: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Lip shapes of the tokens in the truth, and in each of the measured conditions."""
    lips = np.unique(run.lips.indices)
    found, _ = find_predictions(run.run.folder, run.truth.clips, run.truth.templates)
    measured = {(row.clip, row.condition, row.sample) for row in run.rows}
    single = run.policy == "single"  # conditions are then the clips' own subjects: one set of shapes per sample
    keys = sorted({("" if single else row.condition, row.sample) for row in run.rows})
    truths = np.full((len(tokens), 3 * len(lips)), np.nan)
    predictions = [truths.copy() for _ in keys]
    for clip in sorted({one.clip for one in tokens}):
        rows = [number for number, one in enumerate(tokens) if one.clip == clip]
        spoken = [tokens[number] for number in rows]
        template = run.truth.template(clip)
        for prediction in found[clip]:
            if (clip, prediction.condition, prediction.sample) not in measured:
                continue
            p, g, _ = aligned(run.run, run.truth, prediction, tolerance)
            place = keys.index(("" if single else prediction.condition, prediction.sample))
            truths[rows] = lip_shapes(g, template, lips, spoken, run.truth.fps)
            neutral = np.asarray(template, dtype=np.float64) * run.run.scale
            predictions[place][rows] = lip_shapes(p, neutral, lips, spoken, run.truth.fps) / run.run.scale
    return truths, predictions


def _members(tokens: Sequence[Spoken], pairs: Sequence[Pair], usable: np.ndarray) -> dict[str, np.ndarray]:
    """Rows of the tokens of every paired type."""
    types = np.array([one.type for one in tokens])
    return {name: np.flatnonzero((types == name) & usable) for name in {name for pair in pairs for name in pair}}


def _distances(shapes: np.ndarray, members: Mapping[str, np.ndarray], pairs: Sequence[Pair]) -> tuple[np.ndarray, float]:
    """Mean distance between the tokens of each pair's types (NaN where one has none), and the mean within types."""
    groups = {name: shapes[rows] for name, rows in members.items()}
    between = np.array([_cross(groups[a], groups[b]).mean() if len(groups[a]) and len(groups[b]) else np.nan for a, b in pairs])
    within = [
        _cross(group, group)[np.triu_indices(len(group), 1)].mean() for _, group in sorted(groups.items()) if len(group) > 1
    ]
    return between, float(np.mean(within)) if within else float("nan")


def _contrasts(shapes: np.ndarray, truths: np.ndarray, members: Mapping[str, np.ndarray], pairs: Sequence[Pair]) -> np.ndarray:
    """Mean over token pairs of ``<p_i - p_j, g_i - g_j>`` for each pair of types; NaN where one has no token.

    By sums: the double sum is ``n_b sum p_i g_i + n_a sum p_j g_j - (sum p_i)(sum g_j) - (sum p_j)(sum g_i)``.
    """
    sums = {
        name: (len(rows), shapes[rows].sum(axis=0), truths[rows].sum(axis=0), float(np.vdot(shapes[rows], truths[rows])))
        for name, rows in members.items()
    }
    products = np.full(len(pairs), np.nan)
    for number, (a, b) in enumerate(pairs):
        (n_a, p_a, g_a, pg_a), (n_b, p_b, g_b, pg_b) = sums[a], sums[b]
        if n_a and n_b:
            products[number] = pg_a / n_a + pg_b / n_b - (p_a @ g_b + p_b @ g_a) / (n_a * n_b)
    return products


def contrasts_without(
    shapes: np.ndarray,
    truths: np.ndarray,
    members: Mapping[str, np.ndarray],
    pairs: Sequence[Pair],
    said_by: np.ndarray,
    speakers: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Contrasts of the pairs, shape ``(pairs,)``, and those without the tokens of each speaker, ``(pairs, speakers)``."""
    left = [{name: rows[said_by[rows] != speaker] for name, rows in members.items()} for speaker in speakers]
    without = [_contrasts(shapes, truths, rest, pairs) for rest in left]
    return _contrasts(shapes, truths, members, pairs), np.stack(without, axis=1)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squared = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)[None] - 2 * a @ b.T
    return np.sqrt(np.maximum(squared, 0.0))


def homophone_difference(without: Mapping[str, Any], with_module: Mapping[str, Any]) -> dict[str, float]:
    """With minus without of the contrast kept, over the pairs that both have.

    Returns ``contrast_kept`` with an interval for other pairs and other speakers (``ci_low``, ``ci_high``, ``df``) and the p-value
    ``p`` that agrees with it (NaN with fewer than two pairs or speakers); ``n_pairs``, ``n_speakers``; and the differences of
    ``lve`` and ``lve_elsewhere``.

    Raises
    ------
    FaceError
        If the two were measured over different speakers.
    """
    if without["speakers"] != with_module["speakers"]:
        raise FaceError(
            f"One run's near-homophones are of the speakers {', '.join(without['speakers'])} and the other's of "
            f"{', '.join(with_module['speakers'])}. Measure both on the same clips."
        )
    a, b = ({(row["type_a"], row["type_b"]): row for row in side["pairs"]} for side in (without, with_module))
    shared = [pair for pair in a if pair in b]

    def column(side: Mapping[Pair, Mapping[str, Any]], name: str) -> np.ndarray:
        return np.array([side[pair][name] for pair in shared], dtype=np.float64)

    gain = crossed_ratio(
        column(b, "contrast") - column(a, "contrast"),
        column(a, "power"),
        column(b, "contrast_without") - column(a, "contrast_without"),
        column(a, "power_without"),
        shared,
    )
    return {
        "contrast_kept": gain.estimate,
        "ci_low": gain.low,
        "ci_high": gain.high,
        "df": gain.df,
        "p": gain.p,
        "n_pairs": len(shared),
        "n_speakers": len(without["speakers"]),
        "lve": with_module["lve"] - without["lve"],
        "lve_elsewhere": with_module["lve_elsewhere"] - without["lve_elsewhere"],
    }
