"""Phone inventories: which symbols there are, which of them carry a syllable, and in what two of them differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from analysis.alignment.lexicon_files import INVENTORY_ALIASES, inventory_file, lexicon_folder, read_rows
from analysis.errors import LexiconError
from analysis.phonology.ipa import plain_ipa

if TYPE_CHECKING:
    import numpy as np

__all__ = ["SILENCE", "Inventory", "Phone", "inventory_names", "load_inventory"]

#: What stands for silence, or for no phone at all, beside a token.
SILENCE = "SIL"

_CONSONANT_COLUMNS = ("voicing", "aspiration", "place", "manner")
_VOWEL_COLUMNS = ("height", "backness", "rounding", "length", "glide")


@dataclass(frozen=True)
class Phone:
    """One symbol of an inventory.

    Attributes
    ----------
    symbol, ipa, xsampa : str
        The same phone in three notations.
    kind : str
        ``vowel``, ``syllabic`` (a consonant that carries a syllable), ``consonant`` or ``tone``.
    contrasts : mapping of str to str
        Its value in each column in which two phones can differ: voicing, aspiration, place, manner; height, backness,
        rounding, length, glide; tone.
    """

    symbol: str
    ipa: str
    xsampa: str
    kind: str
    contrasts: Mapping[str, str]

    @property
    def carries_syllable(self) -> bool:
        """Whether it can be the nucleus of a syllable."""
        return self.kind in ("vowel", "syllabic")


@dataclass(frozen=True, eq=False)
class Inventory:
    """The phones of a language, and the labels under which an aligner writes them.

    Attributes
    ----------
    name : str
        As it was asked for: ``arpabet``, ``ipa``, ``mandarin``.
    base : str
        The inventory whose symbols come out: ``arpabet`` for ``ipa``, itself otherwise.
    phones : mapping of str to Phone
    labels : mapping of str to str
        Written label -> symbol.
    closures : mapping of str to frozenset of str
        Labels of stop closures -> symbols of the releases with which each makes one phone, where the labels tell them apart.
    """

    name: str
    base: str
    phones: Mapping[str, Phone]
    labels: Mapping[str, str]
    closures: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def split(self, label: str) -> tuple[str, int]:
        """Symbol and stress (0, 1, 2, or -1 where none is written) of a label such as ``IY1`` or ``ˈiː``.

        Raises
        ------
        LexiconError
            If the inventory has no such phone.
        """
        found = self._split(label)
        if found is None:
            raise LexiconError(
                f"Phone {label!r} is not in the inventory {self.name}, which has {_some(self.labels)}. "
                f"Was the alignment made with another phone set? Name its inventory, or add the phone to the inventory file."
            )
        return found

    def _split(self, label: str) -> tuple[str, int] | None:
        known = self._seen.get(label)
        if known is None:
            known = self._seen[label] = self._read(label)
        return known or None

    @cached_property
    def _seen(self) -> dict[str, tuple[str, int] | tuple[()]]:
        return {}

    def _read(self, label: str) -> tuple[str, int] | tuple[()]:
        text, stress = label.strip(), -1
        if text[:1] in ("ˈ", "ˌ"):
            text, stress = text[1:], 1 if text[0] == "ˈ" else 2
        symbol = self.labels.get(plain_ipa(text))
        if symbol is None and text[-1:] in ("0", "1", "2"):
            stress, symbol = int(text[-1]), self.labels.get(plain_ipa(text[:-1]))
        if symbol is None and self.base == "arpabet" and self.name not in ("xsampa", "sampa"):
            bare = text.rstrip("012")
            symbol = self.labels.get(bare.upper()) or self.labels.get(bare.lower())
        return (symbol, stress) if symbol is not None else ()

    def symbols(self, phones: str | Iterable[str]) -> tuple[str, ...]:
        """Symbols without stress of a phone string (``"SH IY1 P"``) or of labels."""
        labels = phones.split() if isinstance(phones, str) else phones
        return tuple(self.split(label)[0] for label in labels)

    def knows(self, label: str) -> bool:
        """Whether the label is a phone of this inventory, with or without stress."""
        return self._split(label) is not None

    def carries_syllable(self, symbol: str) -> bool:
        """Whether the symbol can be the nucleus of a syllable."""
        return self.phones[symbol].carries_syllable

    def contrast(self, a: str, b: str) -> tuple[str, str]:
        """Class and detail of the difference between two symbols.

        Returns
        -------
        tuple of str
            Class: ``voicing``, ``aspiration``, ``place``, ``manner`` where two consonants differ in that alone; ``vowel`` for
            two vowels; ``tone`` for two tones; ``other``. Detail: the columns in which they differ, joined by ``+``
            (``height+length``).
        """
        first, second = self.phones[a], self.phones[b]
        kinds = {first.kind, second.kind}
        if kinds == {"tone"}:
            return "tone", "tone"
        if kinds == {"vowel"}:
            return "vowel", "+".join(_differences(first, second, _VOWEL_COLUMNS))
        if kinds <= {"consonant", "syllabic"}:
            columns = _differences(first, second, _CONSONANT_COLUMNS)
            return (columns[0] if len(columns) == 1 and len(kinds) == 1 else "other"), "+".join(columns)
        return "other", "/".join(sorted(kinds))

    @cached_property
    def feature_distances(self) -> tuple[dict[str, int], np.ndarray]:
        """Index of each symbol, and the matrix of articulatory distances between symbols.

        Returns
        -------
        tuple of dict and ndarray
            ``(n, n)`` float64 in [0, 1], symmetric, zero on the diagonal.

        Notes
        -----
        Mean absolute difference of the 24 ternary features (-1, 0, 1) of PanPhon, divided by its mean over all pairs of distinct
        phones of the inventory and cut off at 1: two phones picked at random are about 1 apart, P and B about 0.2, so that
        thresholds mean much the same as with uniform costs. A diphthong has the mean of the features of its two parts.

        References
        ----------
        Mortensen et al. (2016), PanPhon: a resource for mapping IPA segments to articulatory feature vectors, COLING.
        """
        import numpy as np

        from analysis.phonology.features import segment_features

        index = {symbol: i for i, symbol in enumerate(self.phones)}
        vectors = np.stack([segment_features(phone.ipa) for phone in self.phones.values()])
        distances = np.abs(vectors[:, None, :] - vectors[None, :, :]).mean(axis=2)
        typical = distances.sum() / max(1, len(index) * (len(index) - 1))
        return index, np.minimum(1.0, distances / typical) if typical > 0 else distances

    def written(self, symbols: Sequence[str], notation: str) -> tuple[str, ...]:
        """The symbols in another notation, ``ipa`` or ``xsampa``."""
        if notation not in ("ipa", "xsampa"):
            raise LexiconError(f"There is no notation {notation!r}; choose ipa or xsampa.")
        return tuple(getattr(self.phones[symbol], notation) for symbol in symbols)


def _differences(first: Phone, second: Phone, columns: tuple[str, ...]) -> list[str]:
    values = ((column, first.contrasts[column], second.contrasts[column]) for column in columns)
    return [column for column, a, b in values if a and b and a != b]  # an empty cell: the column does not apply


def _some(labels: Iterable[str]) -> str:
    names = list(labels)
    return " ".join(names[:45]) + (f" and {len(names) - 45} more" if len(names) > 45 else "")


def inventory_names() -> list[str]:
    """Names that :func:`load_inventory` knows."""
    return sorted({path.stem for path in (lexicon_folder() / "inventories").glob("*.tsv")} | set(INVENTORY_ALIASES) | {"xsampa"})


def load_inventory(name: str | Path) -> Inventory:
    """The inventory of that name, or the one in a file.

    Parameters
    ----------
    name : str or Path
        ``arpabet``, ``ipa`` (English IPA, also as ``english_mfa``), ``xsampa``, ``sampa`` (English of WebMAUS), ``timit``, ``buckeye``,
        ``mandarin``, or the path
        of a tab-separated file. A file has either the columns ``symbol`` and ``arpabet`` (other labels for ARPAbet; for stop
        closures that are labelled apart, ``releases``), or ``symbol``, ``ipa``, ``kind`` and those of voicing, aspiration, place,
        manner, height, backness, rounding, length, glide that matter.

    Raises
    ------
    LexiconError
        If there is no such inventory or its file is wrong; the message lists those there are.
    """
    return _load(str(name))


@cache
def _load(name: str) -> Inventory:
    if name == "xsampa":
        base = _load("arpabet")
        return Inventory(name, "arpabet", base.phones, MappingProxyType({p.xsampa: p.symbol for p in base.phones.values()}))
    path = inventory_file(name)
    if not path.is_file():
        raise LexiconError(f"There is no inventory {name!r}. Choose one of {', '.join(inventory_names())}, or give a file.")
    rows = read_rows(path, ("symbol",))
    if not rows:
        raise LexiconError(f"{path} describes no phone.")
    if "arpabet" in rows[0]:
        base = _load("arpabet")
        wrong = [row for row in rows if row["arpabet"] not in base.phones]
        if wrong:
            raise LexiconError(
                f"{path}: {wrong[0]['symbol']!r} stands for {wrong[0]['arpabet']!r}, which is not an ARPAbet phone."
            )
        labels = {plain_ipa(row["symbol"]): row["arpabet"] for row in rows}
        closures = {row["symbol"]: frozenset(row["releases"].split()) for row in rows if row.get("releases")}
        return Inventory(name, "arpabet", base.phones, MappingProxyType(labels), MappingProxyType(closures))
    read_rows(path, ("symbol", "ipa", "kind"))
    phones: dict[str, Phone] = {}
    for row in rows:
        if row["kind"] not in ("vowel", "syllabic", "consonant", "tone"):
            raise LexiconError(
                f"{path}: phone {row['symbol']!r} is of kind {row['kind']!r}; choose vowel, syllabic, consonant or tone."
            )
        if row["symbol"] in phones:
            raise LexiconError(f"{path} describes phone {row['symbol']!r} twice. Remove one of the two rows.")
        contrasts = {column: row.get(column, "") for column in (*_CONSONANT_COLUMNS, *_VOWEL_COLUMNS)}
        phones[row["symbol"]] = Phone(row["symbol"], row["ipa"], row.get("xsampa", ""), row["kind"], MappingProxyType(contrasts))
    labels = {plain_ipa(symbol): symbol for symbol in phones}
    return Inventory(name, "arpabet" if path.stem == "arpabet" else path.stem, MappingProxyType(phones), MappingProxyType(labels))
