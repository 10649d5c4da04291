"""Transcripts as they were published, turned into the words that were spoken.

Aligners need one token per spoken word: no punctuation, numbers and currencies written out, abbreviations read aloud. What is
done here is US English; other languages give their transcripts as words already.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import Any

__all__ = ["same_word", "spoken_words"]

_ABBREVIATIONS = {
    "mr": "mister", "mrs": "missus", "ms": "miz", "dr": "doctor", "prof": "professor", "rev": "reverend", "hon": "honorable",
    "capt": "captain", "col": "colonel", "gen": "general", "lt": "lieutenant", "sgt": "sergeant", "cmdr": "commander",
    "gov": "governor", "sen": "senator", "rep": "representative", "pres": "president", "jr": "junior", "sr": "senior",
    "st": "saint", "mt": "mount", "ave": "avenue", "blvd": "boulevard", "rd": "road", "dept": "department",
    "vs": "versus", "etc": "et cetera", "inc": "incorporated", "ltd": "limited", "corp": "corporation", "bros": "brothers",
    "approx": "approximately", "vol": "volume", "ch": "chapter", "esq": "esquire", "messrs": "messers", "mme": "madame",
    "jan": "january", "feb": "february", "aug": "august", "sept": "september", "oct": "october", "nov": "november",
    "dec": "december",
}  # fmt: skip
# These are words of their own without the full stop, so they count as abbreviations only with it.
_ONLY_WITH_STOP = frozenset("rep gen col hon ave ch dec oct vol mt sen pres rev st inc jan".split())
_LATIN = {"i.e.": "that is", "e.g.": "for example", "no.": "number", "nos.": "numbers"}
_CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
    "¥": ("yen", "yen", "sen", "sen"),
}
_SYMBOLS = {"&": " and ", "%": " percent ", "@": " at ", "+": " plus ", "=": " equals ", "°": " degrees ", "#": " number "}
_MAGNITUDES = "hundred|thousand|million|billion|trillion"
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"

_MONEY = re.compile(rf"([$£€¥])\s?({_NUMBER})(?:\s({_MAGNITUDES})\b)?", re.IGNORECASE)
_TIME = re.compile(r"\b(\d{1,2}):([0-5]\d)\b")
_ORDINAL = re.compile(r"\b(\d[\d,]*)(?:st|nd|rd|th)\b", re.IGNORECASE)
_DECADE = re.compile(r"\b(\d{2,4})['’]?s\b")
_FRACTION = re.compile(r"\b(\d{1,2})/(\d{1,2})\b(?!/)")
_RANGE = re.compile(r"(?<=\d)\s?[-–]\s?(?=\d)")
_PLAIN = re.compile(_NUMBER)
_DOTTED = re.compile(r"\b(?:[A-Za-z]\.){2,}(?:[A-Za-z]\b)?")
_MARKUP = re.compile(r"<[^<>]*>|\[[^\[\]]*\]|\{[^{}]*\}")
_TOKEN = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*'?|'[^\W\d_]+(?:['-][^\W\d_]+)*'?")


@lru_cache(maxsize=1)
def _inflect() -> Any:
    import inflect

    return inflect.engine()


def _cardinal(digits: str) -> str:
    return _inflect().number_to_words(digits.replace(",", ""), andword="").replace(",", "").replace("-", " ")


def _year(number: int) -> str:
    century, rest = divmod(number, 100)
    if rest == 0:
        return _cardinal(str(number)) if century % 10 == 0 else f"{_cardinal(str(century))} hundred"
    if century % 10 == 0 and rest < 10:  # two thousand three, not twenty oh three
        return _cardinal(str(number))
    return f"{_cardinal(str(century))} {'oh ' if rest < 10 else ''}{_cardinal(str(rest))}"


def _number(digits: str) -> str:
    if "," not in digits and "." not in digits and len(digits) == 4 and 1100 <= int(digits) <= 2099:
        return _year(int(digits))
    if len(digits) > 1 and digits.startswith("0") and "." not in digits:  # a code or a telephone number: digit by digit
        return " ".join(_cardinal(digit) for digit in digits)
    return _cardinal(digits)


def _money(match: re.Match[str]) -> str:
    singular, plural, small_singular, small_plural = _CURRENCIES[match[1]]
    amount, magnitude = match[2].replace(",", ""), match[3]
    if magnitude:
        return f" {_cardinal(amount)} {magnitude} {plural} "
    whole, _, cents = amount.partition(".")
    words = []
    if int(whole) or not cents:
        words.append(f"{_cardinal(whole)} {singular if int(whole) == 1 else plural}")
    small = int((cents + "0")[:2]) if cents else 0
    if small:
        words.append(f"{_cardinal(str(small))} {small_singular if small == 1 else small_plural}")
    return f" {' and '.join(words) or f'zero {plural}'} "


def _time(match: re.Match[str]) -> str:
    minutes = int(match[2])
    spoken = "" if minutes == 0 else f"oh {_cardinal(match[2][1])}" if minutes < 10 else _cardinal(match[2])
    return f" {_cardinal(match[1])} {spoken} "


def _ordinal(number: str) -> str:
    engine = _inflect()
    return engine.ordinal(engine.number_to_words(number.replace(",", ""), andword="")).replace(",", "").replace("-", " ")


def _fraction(match: re.Match[str]) -> str:
    top, bottom = int(match[1]), int(match[2])
    if bottom == 0:
        return match[0]
    special = {2: ("half", "halves"), 4: ("quarter", "quarters")}
    one, many = special.get(bottom, (_ordinal(str(bottom)), _ordinal(str(bottom)) + "s"))
    return f" {_cardinal(str(top))} {one if top == 1 else many} "


def _decade(match: re.Match[str]) -> str:
    words = _number(match[1]).split()
    words[-1] = words[-1][:-1] + "ies" if words[-1].endswith("y") else words[-1] + "s"
    return f" {' '.join(words)} "


def _letters(match: re.Match[str]) -> str:
    low = match[0].lower()
    return f" {_LATIN[low]} " if low in _LATIN else " " + " ".join(match[0].replace(".", "").lower()) + " "


def _abbreviation(match: re.Match[str]) -> str:
    stem, stop = match[1].lower(), match[2]
    if stem not in _ABBREVIATIONS or (stem in _ONLY_WITH_STOP and not stop):
        return match[0]
    if stem == "st" and not match[1][0].isupper():
        return match[0]
    return _ABBREVIATIONS[stem]


def spoken_words(text: str, known: Callable[[str], bool] = lambda word: False) -> list[str]:
    """The words of a transcript as they are spoken, lower case.

    Numbers, years, ordinals, fractions, times, currencies, dotted initials and common abbreviations are written out;
    mark-up in ``<>``, ``[]`` or ``{}`` is left out; hyphenated words are split and outer apostrophes dropped unless ``known``
    says that the dictionary has the word as it stands.

    Parameters
    ----------
    text : str
        As published.
    known : callable
        Whether a pronunciation dictionary has the word: decides about ``e-mail``, ``'tis``, ``dogs'`` and spelled acronyms.

    Returns
    -------
    list of str

    Examples
    --------
    >>> spoken_words("Mr. O'Neill paid $3.50 on the 21st of May, 1999.")  # doctest: +NORMALIZE_WHITESPACE
    ['mister', "o'neill", 'paid', 'three', 'dollars', 'and', 'fifty', 'cents', 'on', 'the', 'twenty', 'first', 'of', 'may',
    'nineteen', 'ninety', 'nine']
    """
    text = re.sub(r"(\d)([½⅓⅔¼¾⅛⅜⅝⅞])", r"\1 \2", text)
    text = unicodedata.normalize("NFKC", text).replace("⁄", "/")  # NFKC writes ½ with a fraction slash
    text = "".join(map(_plain_digit, text))
    text = re.sub(r"[‘’ʼ`´]", "'", text)
    text = re.sub(r"[—―]|--+|…", " ", text)
    text = _MARKUP.sub(" ", text)
    has_lower = any(character.islower() for character in text)
    text = _MONEY.sub(_money, text)
    text = _TIME.sub(_time, text)
    text = re.sub(r"\bno\. ?(?=\d)", "number ", text, flags=re.IGNORECASE)
    text = _DOTTED.sub(_letters, text)
    text = _FRACTION.sub(_fraction, text)
    text = _RANGE.sub(" to ", text)
    text = _ORDINAL.sub(lambda match: f" {_ordinal(match[1])} ", text)
    text = _DECADE.sub(_decade, text)
    text = _PLAIN.sub(lambda match: f" {_number(match[0])} ", text)
    for symbol, word in _SYMBOLS.items():
        text = text.replace(symbol, word)
    text = re.sub(r"\b([A-Za-z]+)\b(\.?)", _abbreviation, text)
    words: list[str] = []
    for match in _TOKEN.finditer(text):
        words.extend(_resolved(match[0], known, has_lower))
    return words


def _plain_digit(character: str) -> str:
    """Digits of any script as 0 to 9; a space for numerals that are no digits, which nobody can be known to have read aloud."""
    category = unicodedata.category(character)
    return str(unicodedata.decimal(character)) if category == "Nd" else " " if category in ("No", "Nl") else character


def _resolved(token: str, known: Callable[[str], bool], has_lower: bool) -> list[str]:
    """One token as dictionary words: outer apostrophes, hyphens and spelled acronyms settled."""
    word = token.lower()
    if known(word):
        return [word]
    for candidate in (word.rstrip("'"), word.lstrip("'"), word.strip("'")):
        if known(candidate):
            return [candidate]
    word = word.strip("'") if not re.fullmatch(r"'?[^\W\d_]+in'", word) else word.lstrip("'")
    if "-" in word:
        return [part for piece in word.split("-") if piece for part in _resolved(piece, known, has_lower)]
    if (
        has_lower
        and token.isupper()
        and 2 <= len(word) <= 5
        and word.isalpha()
        and word.isascii()
        and not set(word) & set("aeiouy")
    ):
        return list(word)
    return [word] if word else []


def same_word(a: str, b: str) -> bool:
    """Whether two word labels mean the same token: case, outer punctuation, apostrophe form and hyphens aside."""

    def bare(word: str) -> str:
        word = unicodedata.normalize("NFKC", word).lower()
        return re.sub(r"[^\w]+|_", "", word)

    return bare(a) == bare(b)
