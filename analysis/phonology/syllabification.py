"""Where syllables begin: the maximal onset principle, on phone strings and on alignments."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise

from analysis.alignment.lexicon_files import lexicon_folder, read_lines
from analysis.alignment.types import Alignment
from analysis.errors import Failure, LexiconError
from analysis.phonology.inventory import Inventory, load_inventory
from analysis.phonology.lexicon import Lexicon, load_lexicon
from analysis.phonology.types import Syllable
from analysis.spelling import plain_word, silent_phone, silent_word
from analysis.timebase import Interval

__all__ = ["aligned_words", "legal_onsets", "syllabify", "syllables"]

# Silence inside a word that is longer than this (s) puts the alignment of the word in doubt.
_LONG_GAP = 0.1


@cache
def legal_onsets(language: str = "english") -> frozenset[tuple[str, ...]] | None:
    """Consonant sequences that may open a syllable inside a word; None where no file lists them (then: any one consonant)."""
    path = lexicon_folder() / "phonotactics" / f"{language}_onsets.txt"
    if not path.is_file():
        return None
    return frozenset(tuple(line.split()) for _, line in read_lines(path))


def syllabify(symbols: Sequence[str], *, inventory: str = "arpabet") -> list[tuple[int, int, int]]:
    """Syllables of one word as (first, nucleus, stop): they partition the phones.

    Parameters
    ----------
    symbols : sequence of str
        Phones without stress, in symbols of the inventory.
    inventory : str

    Returns
    -------
    list of tuple of int
        Syllable k has the onset ``[first, nucleus)``, the nucleus at ``nucleus``, the coda ``[nucleus + 1, stop)``.

    Raises
    ------
    LexiconError
        If no phone carries a syllable.

    Notes
    -----
    Of the consonants between two nuclei the longest sequence that may open a syllable of the language goes to the second. The
    English list is that of General American: no Y after a coronal (can-yon), no onset that only loanwords have.

    References
    ----------
    Kahn (1976), Syllable-based generalizations in English phonology; Selkirk (1982), The syllable.
    """
    phones = load_inventory(inventory)
    nuclei = [i for i, symbol in enumerate(symbols) if phones.carries_syllable(symbol)]
    if not nuclei:
        raise LexiconError(f"{' '.join(symbols) or 'An empty word'} has no phone that carries a syllable.")
    onsets = legal_onsets("english" if phones.base == "arpabet" else phones.base)
    starts = [0]
    for left, right in pairwise(nuclei):
        starts.append(_onset_start(symbols, left + 1, right, onsets, phones))
    return [(first, nucleus, stop) for first, nucleus, stop in zip(starts, nuclei, [*starts[1:], len(symbols)], strict=True)]


def _onset_start(
    symbols: Sequence[str], first: int, nucleus: int, onsets: frozenset[tuple[str, ...]] | None, phones: Inventory
) -> int:
    if onsets is None:
        return nucleus - 1 if first < nucleus and phones.phones[symbols[nucleus - 1]].kind == "consonant" else nucleus
    for start in range(first, nucleus):
        if tuple(symbols[start:nucleus]) in onsets:
            return start
    return nucleus


def aligned_words(
    alignment: Alignment, *, lexicon: str | Lexicon | None = "cmudict"
) -> Iterator[tuple[int, Interval, tuple[Interval, ...], tuple[int, ...]] | Failure]:
    """Words of an alignment with their phones, or a Failure for a word whose phones cannot be used.

    Parameters
    ----------
    alignment : Alignment
    lexicon : str or Lexicon, optional
        Where stress is looked up when the phones carry none; None: it stays unknown.

    Yields
    ------
    tuple or Failure
        Index of the word, the word, its phones (labels without stress, in symbols of the base inventory), their stress.
    """
    phones = load_inventory(alignment.inventory)
    centers = [phone.center for phone in alignment.phones]
    for index, word in enumerate(alignment.words):
        if silent_word(word.label):
            continue
        inside = alignment.phones[bisect_left(centers, word.start) : bisect_left(centers, word.end)]
        inside = tuple(phone for phone in inside if not silent_phone(phone.label))
        where = f"word {index} {word}"
        if not inside:
            yield Failure(
                "phonology",
                alignment.utterance_id,
                f"{where} has no phones.",
                "Align again, or give TextGrids with a phone tier that covers the word.",
            )
            continue
        unknown = next((phone for phone in inside if not phones.knows(phone.label)), None)
        if unknown is not None:
            yield Failure(
                "phonology",
                alignment.utterance_id,
                f"{where}: phone {unknown} is not in the inventory {alignment.inventory}.",
                "Name the inventory that the alignment is written in, or add the phone to the inventory file.",
            )
            continue
        inside = _released(inside, phones)
        gap = max((right.start - left.end for left, right in pairwise(inside)), default=0.0)
        if gap > _LONG_GAP:
            yield Failure(
                "phonology",
                alignment.utterance_id,
                f"{where} has a silence of {gap:.3f} s between its phones.",
                "Listen to the word; where the alignment is wrong, align again.",
                "warning",
            )
        split = [phones.split(phone.label) for phone in inside]
        symbols, stress = tuple(symbol for symbol, _ in split), tuple(level for _, level in split)
        if lexicon is not None and phones.base == "arpabet" and all(level < 0 for level in stress):
            stress = _stress(lexicon, word.label, symbols) or stress
        yield index, word, tuple(Interval(p.start, p.end, s) for p, s in zip(inside, symbols, strict=True)), stress


def _stress(lexicon: str | Lexicon, word: str, symbols: tuple[str, ...]) -> tuple[int, ...] | None:
    """Stress of each phone as the lexicon has it, else as CMUdict has it."""
    own = lexicon if isinstance(lexicon, Lexicon) else load_lexicon(lexicon)
    if own.name != "cmudict" and load_inventory(own.inventory).base == "arpabet":
        found = own.stress(word, symbols)
        if found is not None:
            return found
    return load_lexicon("cmudict").stress(word, symbols)


def _released(inside: tuple[Interval, ...], phones: Inventory) -> tuple[Interval, ...]:
    """The phones of a word with each stop closure joined to the release that follows it."""
    if not phones.closures:
        return inside
    joined: list[Interval] = []
    for phone in inside:
        before = joined[-1] if joined else None
        if before is not None and phones.split(phone.label)[0] in phones.closures.get(before.label.strip().lower(), ()):
            joined[-1] = Interval(before.start, phone.end, phone.label)
        else:
            joined.append(phone)
    return tuple(joined)


def word_syllables(
    index: int, word: Interval, phones: Sequence[Interval], stress: Sequence[int], *, inventory: str, ambisyllabic: bool
) -> list[Syllable]:
    """Syllables of one word; LexiconError where no phone carries a syllable."""
    parts = syllabify([phone.label for phone in phones], inventory=inventory)
    built = []
    for position, (first, nucleus, stop) in enumerate(parts):
        coda = tuple(phones[nucleus + 1 : stop])
        if ambisyllabic and position + 1 < len(parts) and not coda:
            _, next_nucleus, _ = parts[position + 1]
            # Kahn's rule: a consonant that opens an unstressed syllable also closes the stressed one before it.
            if next_nucleus > stop and stress[nucleus] > 0 and stress[next_nucleus] == 0:
                coda = (phones[stop],)
        last = coda[-1] if coda else phones[nucleus]
        labels = [_with_stress(phone.label, level) for phone, level in zip(phones[first:stop], stress[first:stop], strict=True)]
        built.append(
            Syllable(
                interval=Interval(phones[first].start, last.end, " ".join(labels)),
                word=plain_word(word.label),
                word_index=index,
                position=position,
                n_syllables=len(parts),
                onset=tuple(phones[first:nucleus]),
                nucleus=(phones[nucleus],),
                coda=coda,
                stress=stress[nucleus],
            )
        )
    return built


def _with_stress(symbol: str, level: int) -> str:
    return symbol if level < 0 else f"{symbol}{level}"


def syllables(alignment: Alignment, *, ambisyllabic: bool = False, lexicon: str | Lexicon | None = "cmudict") -> list[Syllable]:
    """Syllables of an alignment, in order.

    Parameters
    ----------
    alignment : Alignment
    ambisyllabic : bool
        Let a consonant that opens an unstressed syllable also close the stressed open syllable before it (Kahn 1976). Syllables
        then overlap in that phone; without it they partition the phones of each word.
    lexicon : str or Lexicon, optional
        Where stress is looked up when the phones carry none; None: it stays -1.

    Returns
    -------
    list of Syllable
        Words without usable phones or without a vowel are left out; :func:`analysis.phonology.token_table` lists them.
    """
    found, _ = syllables_and_failures(alignment, ambisyllabic=ambisyllabic, lexicon=lexicon)
    return found


def syllables_and_failures(
    alignment: Alignment, *, ambisyllabic: bool = False, lexicon: str | Lexicon | None = "cmudict"
) -> tuple[list[Syllable], list[Failure]]:
    """As :func:`syllables`, with a Failure for each word that was left out."""
    found: list[Syllable] = []
    failures: list[Failure] = []
    for item in aligned_words(alignment, lexicon=lexicon):
        if isinstance(item, Failure):
            failures.append(item)
            continue
        index, word, phones, stress = item
        try:
            found += word_syllables(index, word, phones, stress, inventory=alignment.inventory, ambisyllabic=ambisyllabic)
        except LexiconError:
            failures.append(
                Failure(
                    "phonology",
                    alignment.utterance_id,
                    f"word {index} {word} has no vowel: {' '.join(phone.label for phone in phones)}.",
                    "Such a word has no syllable; use words or phones as the unit, or mend the alignment.",
                )
            )
    return found, failures
