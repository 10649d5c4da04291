"""Pairs of forms that sound alike: homophones, minimal pairs and near-homophones, with what the lips show of the difference."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from analysis.alignment.lexicon_files import lexicon_folder
from analysis.errors import ConfigurationError, LexiconError
from analysis.phonology.inventory import Inventory, load_inventory
from analysis.phonology.mining import Forms, near_pairs, within
from analysis.phonology.types import PAIR_COLUMNS, RELATIONS
from analysis.phonology.visemes import DEFAULT_VISEMES, lip_distances, load_visemes

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "EDIT_COSTS",
    "PairWriter",
    "edit_class",
    "lip_weights",
    "load_pairs",
    "pair_lists",
    "pair_rows",
    "pair_table",
    "phones_of_types",
    "weighted_distance",
    "write_pairs",
]

#: How the distance weighs a substitution: ``uniform``: 1; ``features``: the articulatory distance of the two phones.
EDIT_COSTS = ("uniform", "features")


def pair_table(
    types: Mapping[str, str] | pd.DataFrame,
    *,
    threshold: float = 0.4,
    relations: Sequence[str] = ("near_homophone", "homophone"),
    n_unrelated: int | None = None,
    seed: int = 0,
    inventory: str = "arpabet",
    visemes: str | Path = DEFAULT_VISEMES,
    costs: str = "uniform",
) -> pd.DataFrame:
    """Pairs of types that sound alike, and as many that do not.

    Parameters
    ----------
    types : mapping of str to str, or DataFrame
        Type -> its phone string, with or without stress (``{"sheep": "SH IY1 P"}``); or a token table, of which every type is taken
        with its most frequent phone string.
    threshold : float
        A pair is near-homophonic when 0 < phone distance <= threshold.
    relations : sequence of str
        Which of ``homophone`` and ``near_homophone`` to list.
    n_unrelated : int, optional
        How many unrelated pairs to draw without replacement, over the threshold and more than one edit apart; by default as many
        as there are related pairs. Fewer come where there are not so many.
    seed : int
        Of the draw.
    inventory : str
        Of the phone strings.
    visemes : str or Path
        Map for the viseme distance, or ``lips``: substitutions cost what rounding, opening and closure of the lips differ. Other
        inventories than English need a map of their own; without one the distance is NaN.
    costs : {"uniform", "features"}
        What a substitution costs in ``phone_distance``.

    Returns
    -------
    DataFrame
        ``PAIR_COLUMNS``, one row per unordered pair with ``type_a < type_b``, sorted by the two types.

    Raises
    ------
    ConfigurationError
        If a setting is unknown or out of range.
    LexiconError
        If a type has no phones, or a phone is not in the inventory.

    Notes
    -----
    Phone distance = least cost of edits / longer length in phones, stress stripped (Choi et al. 2024). With uniform costs every
    edit costs 1. With ``features`` a substitution costs the articulatory distance of the two phones and an insertion 1, so that
    the same threshold takes in more pairs.

    References
    ----------
    Choi et al. (2024), Self-supervised speech representations are more phonetic than semantic, Interspeech.
    """
    for relation in relations:
        if relation not in ("homophone", "near_homophone", "unrelated"):
            raise ConfigurationError(
                f"There is no relation {relation!r} between two types; choose among {', '.join(RELATIONS[1:])}."
            )
    if n_unrelated is not None and n_unrelated < 0:
        raise ConfigurationError(f"n_unrelated is {n_unrelated}; it counts pairs, so it is 0 or more.")
    types = types if isinstance(types, Mapping) else phones_of_types(types)
    names = sorted(types)
    phones = load_inventory(inventory)
    forms = Forms.of([phones.symbols(types[name]) for name in names], names=names)
    first, second = _related(forms, threshold, relations, costs, phones)
    if n_unrelated is None:
        n_unrelated = len(first)
    if n_unrelated:
        more = _unrelated(forms, first, second, threshold, n_unrelated, seed, costs, phones)
        first, second = np.concatenate([first, more[0]]), np.concatenate([second, more[1]])
    order = np.lexsort((second, first))
    return pair_rows(forms, first[order], second[order], threshold=threshold, inventory=inventory, visemes=visemes, costs=costs)


def phones_of_types(tokens: pd.DataFrame, types: Collection[str] | None = None) -> dict[str, str]:
    """The phone string of each type of a token table; of a word spoken in several ways, the most frequent one.

    Parameters
    ----------
    tokens : DataFrame
        With the columns ``type`` and ``phones``.
    types : collection of str, optional
        Of these only.

    Raises
    ------
    ConfigurationError
        If it is no token table.
    """
    if not {"type", "phones"} <= set(getattr(tokens, "columns", ())):
        raise ConfigurationError(
            f"A {type(tokens).__name__} without the columns type and phones is no token table; give that or a mapping of types to "
            "phone strings."
        )
    chosen = tokens if types is None else tokens[tokens["type"].isin(types)]
    counts = chosen.groupby(["type", "phones"]).size().reset_index(name="n")
    best = counts.sort_values(["type", "n", "phones"], ascending=[True, False, True]).drop_duplicates("type")
    return dict(zip(best["type"], best["phones"], strict=True))


def _related(
    forms: Forms, threshold: float, relations: Sequence[str], costs: str, phones: Inventory
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the members (a < b) of the pairs that stand in one of the relations."""
    if costs not in EDIT_COSTS:
        raise ConfigurationError(f"There are no edit costs {costs!r}; choose one of {', '.join(EDIT_COSTS)}.")
    a = b = np.empty(0, dtype=np.int64)
    if "near_homophone" in relations:
        a, b = forms.pairs_of_words(*near_pairs(forms, threshold, costs=costs, inventory=phones.name))
    if "homophone" in relations:
        same_a, same_b = forms.homophones()
        a, b = np.concatenate([a, same_a]), np.concatenate([b, same_b])
    return a, b


def _unrelated(
    forms: Forms, a: np.ndarray, b: np.ndarray, threshold: float, wanted: int, seed: int, costs: str, phones: Inventory
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    n = len(forms.names)
    everything = n * (n - 1) // 2
    taken: set[int] = set()
    kept: list[int] = []
    if everything <= max(200_000, 4 * wanted):  # few enough to look at all of them in a random order
        candidates = iter(np.array_split(rng.permutation(everything), max(1, everything // 4096)))
    else:
        candidates = iter(lambda: rng.integers(0, everything, size=max(1024, 2 * wanted)), None)
    for batch in candidates:
        batch = np.array([code for code in dict.fromkeys(batch.tolist()) if code not in taken], dtype=np.int64)
        taken.update(batch.tolist())
        if len(batch):
            i, j = _pair_of(batch, n)
            distance, edits = forms.distances(i, j, costs=costs, inventory=phones.name)
            kept += batch[~within(distance, threshold) & (edits > 1)].tolist()
        if len(kept) >= wanted or len(taken) >= everything:
            break
    return _pair_of(np.array(kept[:wanted], dtype=np.int64), n)


def _pair_of(codes: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Members i < j of the pairs numbered row by row through the upper triangle of an (n, n) matrix."""
    i = (n - 2 - np.floor(np.sqrt(-8.0 * codes + 4.0 * n * (n - 1) - 7) / 2.0 - 0.5)).astype(np.int64)
    j = codes + i + 1 - (n * (n - 1) // 2 - (n - i) * (n - i - 1) // 2)
    return i, j


def pair_rows(
    forms: Forms,
    a: np.ndarray,
    b: np.ndarray,
    *,
    threshold: float = 0.4,
    inventory: str = "arpabet",
    visemes: str | Path = DEFAULT_VISEMES,
    costs: str = "uniform",
) -> pd.DataFrame:
    """The pair table for given pairs of words, in their order.

    Parameters
    ----------
    forms : Forms
    a, b : ndarray of int, shape (n,)
        Indices of the two words of each pair, a < b in ``forms.names``.
    """
    import pandas as pd

    phones = load_inventory(inventory)
    distance, edits = forms.distances(a, b, costs=costs, inventory=inventory)
    seen = _seen(forms, a, b, phones, visemes)
    strings, names = forms.spoken, forms.name_array
    form_a, form_b = forms.form_of[a], forms.form_of[b]
    relation = np.where(edits == 0, "homophone", np.where(within(distance, threshold), "near_homophone", "unrelated"))
    classes = [
        edit_class(forms.symbols[i], forms.symbols[j], phones) if n == 1 else ("", "")
        for i, j, n in zip(form_a.tolist(), form_b.tolist(), edits.tolist(), strict=True)
    ]
    table = pd.DataFrame(
        {
            "type_a": names[a],
            "type_b": names[b],
            "phones_a": strings[form_a],
            "phones_b": strings[form_b],
            "phone_distance": distance,
            "viseme_distance": seen,
            "relation": relation,
            "edit_class": [kind for kind, _ in classes],
            "edit_detail": [detail for _, detail in classes],
        }
    )
    return table.astype(PAIR_COLUMNS)


def _seen(forms: Forms, a: np.ndarray, b: np.ndarray, phones: Inventory, visemes: str | Path) -> np.ndarray:
    """Distance of the pairs on the lips; NaN where the phones have no visemes."""
    if phones.base != "arpabet" and str(visemes) in (DEFAULT_VISEMES, "lips"):
        return np.full(len(a), np.nan)
    if str(visemes) == "lips":
        return forms.weighted_distances(a, b, *lip_distances())
    return forms.recoded(_viseme_classes(phones, visemes)).distances(a, b)[0]


def _viseme_classes(phones: Inventory, visemes: str | Path) -> dict[str, str]:
    classes = load_visemes(visemes)
    missing = [symbol for symbol in phones.phones if symbol not in classes]
    if missing:
        raise LexiconError(f"The viseme map {visemes} has no class for {', '.join(missing)}. Add a line for each.")
    return dict(classes)


def edit_class(a: Sequence[str], b: Sequence[str], inventory: Inventory | str = "arpabet") -> tuple[str, str]:
    """Class and detail of the one edit between two forms; two empty strings where they are not one edit apart.

    Parameters
    ----------
    a, b : sequence of str
        Phones without stress.

    Returns
    -------
    tuple of str
        For a substitution as :meth:`Inventory.contrast` has it; for an insertion ``("insertion", "+L")`` with the phone that one
        form has more.
    """
    if isinstance(inventory, str):
        inventory = load_inventory(inventory)
    if len(a) > len(b):
        a, b = b, a
    first = 0
    while first < len(a) and a[first] == b[first]:
        first += 1
    if len(a) == len(b):
        if first < len(a) and tuple(a[first + 1 :]) == tuple(b[first + 1 :]):
            return inventory.contrast(a[first], b[first])
    elif len(b) == len(a) + 1 and tuple(a[first:]) == tuple(b[first + 1 :]):
        return "insertion", f"+{b[first]}"
    return "", ""


def weighted_distance(a: Sequence[str], b: Sequence[str], *, inventory: str = "arpabet") -> float:
    """Phone distance with articulatory costs of two forms: least cost of edits / longer length."""
    forms = Forms.of([tuple(a), tuple(b)])
    return float(forms.distances(np.array([0]), np.array([1]), costs="features", inventory=inventory)[0][0])


def pair_lists() -> list[str]:
    """Names of the pair lists that come along; ``demo`` holds those for which the demo corpus was written."""
    return sorted({path.stem for path in (lexicon_folder() / "pairs").glob("*.tsv")} | {"demo"})


def _list_path(name_or_path: str | Path) -> Path:
    if str(name_or_path) == "demo":
        import analysis.corpus.demo

        return Path(analysis.corpus.demo.__file__).with_name("pairs.csv")
    path = lexicon_folder() / "pairs" / f"{name_or_path}.tsv"
    if path.is_file():
        return path
    path = Path(name_or_path)
    if not path.is_file():
        raise LexiconError(
            f"There is no pair list {str(name_or_path)!r}. Choose one of {', '.join(pair_lists())}, or give a file."
        )
    return path


def load_pairs(
    name_or_path: str | Path, *, lexicon: str | Path = "cmudict", inventory: str | None = None, threshold: float = 0.4
) -> pd.DataFrame:
    """A list of pairs as a pair table.

    Parameters
    ----------
    name_or_path : str or Path
        A list that comes along (:func:`pair_lists`), or a tab-separated (``.tsv``), comma-separated (``.csv``) or Parquet file.
        It needs the columns ``type_a`` and ``type_b`` (or ``word_a`` and ``word_b``); where ``phones_a`` and ``phones_b`` are
        given they are used, else the first pronunciation in the lexicon. What the file says of distances is computed anew.
    lexicon : str or Path
        Where words without phones are looked up.
    inventory : str, optional
        Of the lexicon's phones and of those in the list; by default the lexicon's own.
    threshold : float
        At or under which a pair is called near-homophonic.

    Returns
    -------
    DataFrame
        ``PAIR_COLUMNS``; sorted, one row per pair.

    Raises
    ------
    LexiconError
        If the list is missing or cannot be read, lacks a column, pairs a type with itself, or holds a word without a pronunciation.
    """
    import pandas as pd

    from analysis.phonology.lexicon import load_lexicon

    path = _list_path(name_or_path)
    separator = "," if path.suffix == ".csv" else "\t"
    try:
        rows = (
            pd.read_parquet(path)
            if path.suffix == ".parquet"
            else pd.read_csv(
                path, sep=separator, comment="#", dtype=str, keep_default_na=False, quoting=0 if separator == "," else 3
            )
        )
    except (ValueError, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise LexiconError(
            f"The pair list {path} cannot be read: {reason}. Give a .tsv, .csv (both in UTF-8) or .parquet file with the columns "
            "type_a and type_b."
        ) from error
    rows = rows.rename(columns={"word_a": "type_a", "word_b": "type_b"})
    missing = [column for column in ("type_a", "type_b") if column not in rows]
    if missing:
        raise LexiconError(f"{path} has the columns {', '.join(map(str, rows.columns))}; missing: {', '.join(missing)}.")
    words = load_lexicon(lexicon, inventory=inventory)
    phones = load_inventory(words.inventory)
    known: dict[str, str] = {}
    wanted: set[tuple[str, str]] = set()
    for row in rows.to_dict("records"):
        pair = []
        for side in ("a", "b"):
            name = row[f"type_{side}"]
            given = row.get(f"phones_{side}", "") or next(iter(words.pronunciations(name)), "")
            if not given:
                raise LexiconError(f"{path}: {name!r} is not in {words.name}. Give its phones in the column phones_{side}.")
            given = " ".join(phones.symbols(given))
            if known.setdefault(name, given) != given:
                raise LexiconError(f"{path}: {name!r} is pronounced both {known[name]!r} and {given!r}. Keep one of the two.")
            pair.append(name)
        if pair[0] == pair[1]:
            raise LexiconError(f"{path} pairs {pair[0]!r} with itself. A pair has two types.")
        wanted.add((min(pair), max(pair)))
    names = sorted(known)
    index = {name: i for i, name in enumerate(names)}
    forms = Forms.of([tuple(known[name].split()) for name in names], names=names)
    pairs = sorted(wanted)
    a, b = (np.array([index[pair[side]] for pair in pairs], dtype=np.int64) for side in (0, 1))
    return pair_rows(forms, a, b, threshold=threshold, inventory=words.inventory)


class PairWriter:
    """Writes pair tables one after the other into one file: ``.tsv``, ``.csv`` or ``.parquet``, by its suffix.

    Parameters
    ----------
    path : Path
    comments : iterable of str
        Lines that stand, marked by ``#``, before a ``.tsv``.

    Attributes
    ----------
    n_rows : int
        Rows written so far.

    Raises
    ------
    ConfigurationError
        If the suffix is another.
    """

    def __init__(self, path: Path, comments: Iterable[str] = ()) -> None:
        self.path, self.n_rows = Path(path), 0
        self._comments = tuple(comments)
        self._parquet: Any = None
        self._file: IO[str] | None = None
        self._has_header = False
        if self.path.suffix not in (".tsv", ".csv", ".parquet"):
            kind = self.path.suffix or "a file without suffix"
            raise ConfigurationError(f"A pair table is written as .tsv, .csv or .parquet, not as {kind}: {self.path}.")

    def __enter__(self) -> PairWriter:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.suffix != ".parquet":
            self._file = self.path.open("w", encoding="utf-8", newline="")
            if self.path.suffix == ".tsv":
                self._file.writelines(f"# {line}\n" for line in self._comments)
        return self

    def write(self, table: pd.DataFrame) -> None:
        """Append the rows of a table; all tables of a file have the same columns."""
        if self._file is not None:
            separator = "\t" if self.path.suffix == ".tsv" else ","
            table.to_csv(self._file, sep=separator, index=False, header=not self._has_header, lineterminator="\n")
            self._has_header = True
        else:
            import pyarrow as pa
            import pyarrow.parquet as pq

            rows = pa.Table.from_pandas(table, preserve_index=False)
            if self._parquet is None:
                self._parquet = pq.ParquetWriter(self.path, rows.schema)
            self._parquet.write_table(rows)
        self.n_rows += len(table)

    def __exit__(self, *_: object) -> None:
        for open_file in (self._file, self._parquet):
            if open_file is not None:
                open_file.close()


def write_pairs(table: pd.DataFrame, path: Path, comments: Iterable[str] = ()) -> Path:
    """Write one pair table; see :class:`PairWriter`."""
    with PairWriter(path, comments) as writer:
        writer.write(table)
    return Path(path)


def lip_weights(pairs: pd.DataFrame) -> pd.Series:
    """How much of the difference of each pair the lips show: viseme distance / phone distance, in [0, 1].

    Pairs with 1 sound as much alike as the others and look as different as they can; pairs with 0, such as ``plays`` and
    ``blaze``, cannot be told apart on a face. Homophones have 0.
    """
    heard = pairs["phone_distance"]
    return (pairs["viseme_distance"] / heard.where(heard > 0, 1.0)).clip(0.0, 1.0).rename("lip_weight")
