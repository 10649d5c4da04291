"""The token table: every syllable, word, phone or utterance that was said, one row each."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.alignment.types import Alignment
from analysis.corpus.utterance import Utterance
from analysis.errors import ConfigurationError, Failure, LexiconError
from analysis.guard import attempt
from analysis.phonology.inventory import SILENCE, load_inventory
from analysis.phonology.lexicon import Lexicon, load_lexicon
from analysis.phonology.syllabification import aligned_words, syllables_and_failures
from analysis.phonology.types import TOKEN_COLUMNS
from analysis.phonology.words import is_described, lemmas, word_class
from analysis.spelling import plain_word, silent_phone, silent_word
from analysis.timebase import Interval

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["UNITS", "read_token_table", "token_table"]

#: What a token can be.
UNITS = ("syllable", "word", "phone", "utterance")

# Phones this far apart (s) are neighbours: boundaries on grids of 10 ms meet only to within one step.
_ADJACENT = 0.0101


def token_table(
    utterances: Iterable[Utterance],
    alignments: Iterable[Alignment | Failure],
    unit: str = "syllable",
    *,
    ambisyllabic: bool = False,
    lexicon: str | Lexicon | None = "cmudict",
) -> tuple[pd.DataFrame, list[Failure]]:
    """Every token of a corpus, and what could not become one.

    Parameters
    ----------
    utterances : iterable of Utterance
        They give the speakers.
    alignments : iterable of Alignment and Failure, or mapping of str to Alignment
        Matched to the utterances by id; an utterance without one is left to the failures of its aligner, which may stand among them
        and are handed on.
    unit : {"syllable", "word", "phone", "utterance"}
    ambisyllabic : bool
        See :func:`analysis.phonology.syllables`.
    lexicon : str or Lexicon, optional
        Where stress is looked up when the phones carry none; English words that it lacks are looked up in CMUdict.

    Returns
    -------
    table : DataFrame
        Columns and dtypes of ``TOKEN_COLUMNS``; rows in order of time within each utterance. ``previous_phone`` and
        ``next_phone`` are the phones next to the token, ``SIL`` at the ends of the recording and beside a gap.
    failures : list of Failure
        Words with no phones, with phones outside the inventory, or, for syllables, with no vowel; alignments without words or in
        unknown phones.

    Raises
    ------
    ConfigurationError
        If the unit is unknown.
    """
    if unit not in UNITS:
        raise ConfigurationError(f"There is no unit {unit!r}; choose one of {', '.join(UNITS)}.")
    import pandas as pd

    if isinstance(lexicon, str):
        load_lexicon(lexicon)  # what is not there concerns every utterance
    speakers = {utterance.id: utterance.speaker for utterance in utterances}
    columns: dict[str, list] = {name: [] for name in TOKEN_COLUMNS if name != "token"}
    failures: list[Failure] = []
    for alignment in alignments.values() if isinstance(alignments, Mapping) else alignments:
        if isinstance(alignment, Failure):
            failures.append(alignment)
            continue
        if alignment.utterance_id not in speakers:
            failures.append(
                Failure(
                    "phonology",
                    alignment.utterance_id,
                    "an alignment has this id, but no utterance has.",
                    "Check that the alignments belong to this corpus; TextGrids are named after the audio file.",
                )
            )
            continue
        made = attempt(
            "phonology", alignment.utterance_id, partial(_tokens, alignment, unit, ambisyllabic, lexicon), "Align it again."
        )
        if isinstance(made, Failure):
            failures.append(made)
            continue
        rows, failed = made
        failures += failed
        for row in rows:
            row |= {"utterance": alignment.utterance_id, "speaker": speakers[alignment.utterance_id], "unit": unit}
            for name, values in columns.items():
                values.append(row[name])
    n_rows = len(columns["utterance"])
    table = pd.DataFrame({name: range(n_rows) if name == "token" else columns[name] for name in TOKEN_COLUMNS})
    return table.astype(TOKEN_COLUMNS), failures


def read_token_table(path: str | Path, columns: Sequence[str] = ("utterance", "type", "start", "end")) -> pd.DataFrame:
    """A token table from a file: ``.parquet``, or CSV in UTF-8.

    Parameters
    ----------
    path : str or Path
    columns : sequence of str
        Those that must be there. Columns of ``TOKEN_COLUMNS`` come back with their dtypes, others as they are.

    Raises
    ------
    ConfigurationError
        If the file cannot be read, lacks a column, or a row's times are no seconds in order; the row is named.
    """
    import pandas as pd

    path = Path(path)
    if not path.is_file():
        raise ConfigurationError(f"There is no token table at {path}.")
    parquet = path.suffix == ".parquet"
    text = {name: str for name, kind in TOKEN_COLUMNS.items() if kind == "str"}
    try:
        table = (
            pd.read_parquet(path)
            if parquet
            else pd.read_csv(path, keep_default_na=False, dtype=text, encoding="utf-8-sig", low_memory=False)
        )
    except (ValueError, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ConfigurationError(
            f"{path} cannot be read as a token table: {reason}. Give a .parquet file, or a CSV file in UTF-8 with a line of column names."
        ) from error
    missing = [name for name in columns if name not in table.columns]
    if missing:
        there = ", ".join(map(str, table.columns)) or "none"
        raise ConfigurationError(
            f"The token table {path} lacks the columns {', '.join(missing)}; it has {there}. python -m analysis.embeddings stores "
            "such tables, and analysis.phonology.token_table makes them of alignments."
        )
    for name, kind in TOKEN_COLUMNS.items():
        if name not in table.columns:
            continue
        if kind == "str":
            table[name] = table[name].fillna("").astype(str)
            continue
        numbers = pd.to_numeric(table[name], errors="coerce")
        _refuse_rows(path, parquet, table, numbers.isna() | numbers.abs().eq(float("inf")), name, "no number")
        table[name] = numbers.astype(kind)
    times = [name for name in ("start", "nucleus_start", "coda_start", "end") if name in table.columns]
    _refuse_rows(path, parquet, table, table[times[0]] < 0, times[0], "before the recording begins")
    for before, after in pairwise(times):
        _refuse_rows(path, parquet, table, table[after] < table[before], after, f"before {before}")
    return table


def _refuse_rows(path: Path, parquet: bool, table: pd.DataFrame, bad: pd.Series, name: str, fault: str) -> None:
    """Raise for the first row that ``bad`` marks, saying what its column ``name`` holds."""
    if bad.any():
        row = int(bad.to_numpy().argmax())
        value = table[name].iloc[row]
        shown = repr(value) if isinstance(value, str) else str(value)
        place = f"row {row}" if parquet else f"line {row + 2}"
        remedy = " Times are seconds from the start of the recording." if TOKEN_COLUMNS[name] == "float64" else ""
        raise ConfigurationError(f"{path}, {place}: {name} is {shown}, which is {fault}.{remedy}")


def _without_words(alignment: Alignment, unit: str) -> Failure | None:
    """The row of an alignment in which no word can be found, so that it would leave no trace."""
    if any(not silent_word(word.label) for word in alignment.words):
        return None
    held = f"{len(alignment.phones)} phones and no words" if alignment.phones else "neither words nor phones"
    return Failure(
        "phonology",
        alignment.utterance_id,
        f"its alignment has {held}, so that no {unit} can be read from it.",
        "Add a tier of words, name the one there is with words_tier, or align this recording again.",
    )


def _unknown_phones(alignment: Alignment) -> Failure | None:
    """What keeps an alignment's phones from being read."""
    try:
        load_inventory(alignment.inventory)
    except LexiconError as error:
        labels = ", ".join(repr(label) for label in dict.fromkeys(phone.label for phone in alignment.phones[:5]))
        reason = (
            f"its phones ({labels}) are in no inventory that could be told." if alignment.inventory == "unknown" else str(error)
        )
        remedy = "Name the inventory of the alignments (--inventory, such as sampa for WebMAUS's English), or align again."
        return Failure("phonology", alignment.utterance_id, reason, remedy)
    return None


def _tokens(
    alignment: Alignment, unit: str, ambisyllabic: bool, lexicon: str | Lexicon | None
) -> tuple[list[dict], list[Failure]]:
    """The tokens of one utterance, without what they share, and what could not become one."""
    unusable = _without_words(alignment, unit) or _unknown_phones(alignment)
    if unusable is not None:
        return [], [unusable]
    rows, failures = _rows(alignment, unit, ambisyllabic, lexicon)
    neighbours = _Neighbours(alignment)
    text = _text_of(alignment)
    described = unit != "utterance" and is_described(alignment.inventory)
    for row in rows:
        row["previous_phone"], row["next_phone"] = neighbours.beside(row["start"], row["end"])
        row["word_class"] = word_class(row["word"]) if described else ""
        row["text"] = text
        row["lemmas"] = " ".join(lemmas(row["word"])) if described else ""
    return rows, failures


def _text_of(alignment: Alignment) -> str:
    """The words of an utterance, lower case, silence left out."""
    labels = (word.label.strip().lower() for word in alignment.words)
    return " ".join(label for label in labels if label and not silent_word(label))


def _rows(alignment: Alignment, unit: str, ambisyllabic: bool, lexicon: str | Lexicon | None) -> tuple[list[dict], list[Failure]]:
    if unit == "syllable":
        syllables, failures = syllables_and_failures(alignment, ambisyllabic=ambisyllabic, lexicon=lexicon)
        rows = [
            {
                "type": syllable.type,
                "phones": syllable.type,
                "word": syllable.word,
                "word_index": syllable.word_index,
                "position": syllable.position,
                "n_syllables": syllable.n_syllables,
                "stress": syllable.stress,
                "onset": _string(syllable.onset),
                "nucleus": _string(syllable.nucleus),
                "coda": _string(syllable.coda),
                "start": syllable.interval.start,
                "nucleus_start": syllable.nucleus[0].start,
                "coda_start": syllable.coda[0].start if syllable.coda else syllable.interval.end,
                "end": syllable.interval.end,
            }
            for syllable in syllables
        ]
        return rows, failures
    rows, failures = [], []
    inventory = load_inventory(alignment.inventory)
    words = []
    for item in aligned_words(alignment, lexicon=lexicon if unit == "phone" else None):
        if isinstance(item, Failure):
            failures.append(item)
        else:
            words.append(item)
    for index, word, phones, stress in words:
        spelling = plain_word(word.label)
        n_syllables = sum(inventory.carries_syllable(phone.label) for phone in phones)
        common = {"word": spelling, "word_index": index, "n_syllables": n_syllables}
        if unit == "word":
            rows.append(_plain(phones, type=spelling, position=0, stress=-1, **common))
        elif unit == "phone":
            for position, (phone, level) in enumerate(zip(phones, stress, strict=True)):
                rows.append(_plain((phone,), type=phone.label, position=position, stress=level, **common))
    if unit == "utterance" and words:
        said = [phone for _, _, inside, _ in words for phone in inside]
        text = " ".join(plain_word(word.label) for _, word, _, _ in words)
        n_syllables = sum(inventory.carries_syllable(phone.label) for phone in said)
        rows.append(_plain(said, type=text, word=text, word_index=0, position=0, n_syllables=n_syllables, stress=-1))
    return rows, failures


def _plain(phones: Iterable[Interval], **values: object) -> dict:
    """A row of a unit that is not divided into onset, nucleus and coda."""
    phones = list(phones)
    start, end = phones[0].start, phones[-1].end
    return {
        "phones": _string(phones),
        "onset": "",
        "nucleus": "",
        "coda": "",
        "start": start,
        "nucleus_start": start,
        "coda_start": end,
        "end": end,
        **values,
    }


def _string(phones: Iterable[Interval]) -> str:
    return " ".join(phone.label for phone in phones)


class _Neighbours:
    """The phones beside a stretch of time, looked up by bisection."""

    def __init__(self, alignment: Alignment) -> None:
        inventory = load_inventory(alignment.inventory)
        kept = [phone for phone in alignment.phones if not silent_phone(phone.label)]
        self.starts, self.ends = [phone.start for phone in kept], [phone.end for phone in kept]
        self.labels = [inventory.split(p.label)[0] if inventory.knows(p.label) else p.label.strip() for p in kept]

    def beside(self, start: float, end: float) -> tuple[str, str]:
        left = bisect_right(self.ends, start + 1e-9) - 1
        right = bisect_left(self.starts, end - 1e-9)
        before = self.labels[left] if left >= 0 and start - self.ends[left] < _ADJACENT else SILENCE
        after = self.labels[right] if right < len(self.labels) and self.starts[right] - end < _ADJACENT else SILENCE
        return before, after
