"""Where the data files in lexicons/ lie, and how their tables and pronunciation dictionaries are read."""

from __future__ import annotations

import lzma
import re
import unicodedata
from functools import cache
from pathlib import Path

from analysis.errors import LexiconError
from analysis.spelling import folded, silent_phone

__all__ = ["INVENTORY_ALIASES", "inventory_file", "lexicon_folder", "read_dictionary", "read_lines", "read_rows"]

#: Names under which aligners know the phone sets that the files in lexicons/inventories describe.
INVENTORY_ALIASES = {
    "ipa": "english_ipa",
    "english_mfa": "english_ipa",
    "english_us_mfa": "english_ipa",
    "english_us_arpa": "arpabet",
}
_VARIANT = re.compile(r"\(\d+\)$")
_NUMBER = re.compile(r"\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?")
_COMMENT = re.compile(r"\s#(?:\s.*)?$")
# MFA and Kaldi write one probability, or four: of the pronunciation, and three of silence around it.
_MOST_NUMBERS = 4


@cache
def lexicon_folder() -> Path:
    """The folder of the data files: inside the installed package, or beside the package in a checkout.

    Raises
    ------
    LexiconError
        If neither exists: the installation is incomplete.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "lexicons", package.parent / "lexicons"):
        if (folder / "inventories").is_dir():
            return folder
    raise LexiconError(
        f"The lexicons folder is neither in {package} nor beside it. The installation is incomplete: install the package again, "
        f"or run from a checkout."
    )


def inventory_file(name: str) -> Path:
    """The table of an inventory that lexicons/ has under that name or alias, else the file of that name; it may not exist."""
    path = lexicon_folder() / "inventories" / f"{INVENTORY_ALIASES.get(name, name)}.tsv"
    return path if path.is_file() else Path(name)


@cache
def _symbols(inventory: str) -> frozenset[str]:
    """Labels as an inventory's table has them; none where it has no table."""
    column = "xsampa" if inventory == "xsampa" else "symbol"
    path = inventory_file("arpabet" if inventory == "xsampa" else inventory)
    return frozenset(row[column] for row in read_rows(path, (column,))) if path.is_file() else frozenset()


def read_dictionary(path: Path | str, *, inventory: str = "arpabet") -> dict[str, list[tuple[str, ...]]]:
    """Pronunciations of a dictionary file, one a line: the word, then its phones, as CMUdict, MFA, Kaldi and Sphinx write them.

    Parameters
    ----------
    path : path
        UTF-8. A tab ends the word, which may then hold blanks; without one the first blank does. Variants ``WORD(2)`` are joined
        to their word. Comments (``;;;`` or ``#`` at the start, `` # `` after the phones) are left out, and so are lines for marks
        (``<unk> spn``). Files that end in ``.xz`` are unpacked.
    inventory : str
        Of the phones. A number before the phones is a probability unless the inventory has a phone of that name.

    Returns
    -------
    dict of str to list of tuple of str
        By word, spelled as :func:`analysis.spelling.folded` does; phones as written, in Unicode's composed form.

    Raises
    ------
    LexiconError
        If the file cannot be read or holds no pronunciation, or a line has no word or no phones; the line is quoted.

    Examples
    --------
    >>> read_dictionary(lexicon_folder() / "mandarin" / "lexicon.txt", inventory="mandarin")["妈"]
    [('m', 'a', '˥')]
    """
    path = Path(path)
    known = _symbols(inventory)
    words: dict[str, list[tuple[str, ...]]] = {}
    for number, line in read_lines(path):
        if line.startswith(";;;"):
            continue
        word, phones = _entry(_COMMENT.sub("", line) if "#" in line else line, known)
        if not phones:
            raise LexiconError(f"{path}, line {number}: {word!r} has no phones. {_without_phones(line, word, inventory)}")
        if all(phone not in known and silent_phone(phone) for phone in phones):
            continue
        alternatives = words.setdefault(folded(_VARIANT.sub("", word)), [])
        if phones not in alternatives:
            alternatives.append(phones)
    if not words:
        raise LexiconError(f"{path} holds no pronunciation. Write one a line: the word, then its phones.")
    return words


def _without_phones(line: str, word: str, inventory: str) -> str:
    """What to do about a line of a dictionary without phones."""
    last = line.split()[-1]
    if last != word and last.isdecimal():
        return f"If {last} is a phone, name an inventory that has it: {inventory} lacks it, so it is read as a probability."
    return "Write the word, then its phones, in one line."


def _entry(line: str, known: frozenset[str]) -> tuple[str, tuple[str, ...]]:
    """Word and phones of a line, without the probabilities between them."""
    line = unicodedata.normalize("NFC", line)
    word, _, rest = line.partition("\t")
    if word.strip() and rest.strip():
        fields, cells = rest.split(), [cell.strip() for cell in rest.split("\t")]
    else:
        (word, *fields), cells = line.split(), []
    numbers = 0
    while numbers < min(_MOST_NUMBERS, len(fields)) and _NUMBER.fullmatch(fields[numbers]):
        numbers += 1
    # four cells of their own are probabilities even where one of them is the name of a phone
    columns = numbers == _MOST_NUMBERS and fields[:numbers] == cells[:numbers] and not known.issuperset(fields[:numbers])
    if not columns:
        numbers = next((place for place in range(numbers) if fields[place] in known), numbers)
    return word.strip(), tuple(fields[numbers:])


def read_lines(path: Path) -> list[tuple[int, str]]:
    """Lines of a UTF-8 text file that are neither empty nor comments (``#`` at the start), with their numbers from 1."""
    try:
        data = Path(path).read_bytes()
        text = (lzma.decompress(data) if Path(path).suffix == ".xz" else data).decode("utf-8-sig")
    except FileNotFoundError:
        raise LexiconError(
            f"There is no file {path}. Check the name; the files that come along are in {lexicon_folder()}."
        ) from None
    except UnicodeDecodeError as error:
        raise LexiconError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start}). Save it as UTF-8.") from None
    except (OSError, lzma.LZMAError) as error:
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise LexiconError(f"{path} cannot be read: {reason}. Give a text file.") from None
    return [
        (number, line)
        for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1)
        if line.strip() and not line.startswith("#")
    ]


def read_rows(path: Path, required: tuple[str, ...] = ()) -> list[dict[str, str]]:
    """Rows of a tab-separated table with a header line; quotes are ordinary characters.

    Raises
    ------
    LexiconError
        If the file is missing, a required column is missing, or a row has too many or too few cells.
    """
    lines = read_lines(path)
    if not lines:
        raise LexiconError(f"{path} is empty; a header line with the columns {', '.join(required)} was expected.")
    header = [name.strip() for name in lines[0][1].split("\t")]
    missing = [name for name in required if name not in header]
    if missing:
        raise LexiconError(
            f"{path} has the columns {', '.join(header)}; missing: {', '.join(missing)}. Columns are separated by tabs."
        )
    rows = []
    for number, line in lines[1:]:
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) != len(header):
            raise LexiconError(f"{path}, line {number}: {len(cells)} cells where the header has {len(header)}: {line!r}.")
        rows.append(dict(zip(header, cells, strict=True)))
    return rows
