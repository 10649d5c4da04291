"""Transcripts as they were published, turned into the words that were spoken.

Aligners need one token per spoken word: no punctuation, numbers and currencies written out, abbreviations read aloud. What is
done here is US English; other languages give their transcripts as words already.

Numbers become words by inflect (MIT, a few files). nemo_text_processing reads more (Apache 2.0), but needs pynini, 155 MB for
x86-64 Linux alone; num2words is LGPL and gives the same cardinals.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from html.entities import html5
from typing import Any

from analysis.spelling import plain_apostrophes

__all__ = ["plain_text", "same_word", "spoken_words", "transcript_notes"]

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
    "₹": ("rupee", "rupees", "paisa", "paise"),
}
_SYMBOLS = {
    "&": " and ", "%": " percent ", "@": " at ", "+": " plus ", "=": " equals ", "#": " number ", "×": " times ",
    "÷": " divided by ", "±": " plus or minus ", "°": " degrees ", "²": " squared ", "³": " cubed ",
}  # fmt: skip
# Units behind a number: of one, of several. Capitals count: g is a gram, 5G a network; MB and mb are not both bytes.
_UNITS = {
    "km": ("kilometer", "kilometers"), "cm": ("centimeter", "centimeters"), "mm": ("millimeter", "millimeters"),
    "m": ("meter", "meters"), "ft": ("foot", "feet"), "yd": ("yard", "yards"), "yds": ("yard", "yards"),
    "mi": ("mile", "miles"), "in.": ("inch", "inches"), "kg": ("kilogram", "kilograms"), "g": ("gram", "grams"),
    "mg": ("milligram", "milligrams"), "lb": ("pound", "pounds"), "lbs": ("pound", "pounds"), "oz": ("ounce", "ounces"),
    "ml": ("milliliter", "milliliters"), "mL": ("milliliter", "milliliters"), "l": ("liter", "liters"), "L": ("liter", "liters"),
    "mph": ("mile per hour", "miles per hour"), "kph": ("kilometer per hour", "kilometers per hour"),
    "km/h": ("kilometer per hour", "kilometers per hour"), "m/s": ("meter per second", "meters per second"),
    "hr": ("hour", "hours"), "hrs": ("hour", "hours"), "min": ("minute", "minutes"), "mins": ("minute", "minutes"),
    "sec": ("second", "seconds"), "secs": ("second", "seconds"), "ms": ("millisecond", "milliseconds"),
    "Hz": ("hertz", "hertz"), "kHz": ("kilohertz", "kilohertz"), "MHz": ("megahertz", "megahertz"),
    "GHz": ("gigahertz", "gigahertz"), "dB": ("decibel", "decibels"), "W": ("watt", "watts"), "kW": ("kilowatt", "kilowatts"),
    "MW": ("megawatt", "megawatts"), "V": ("volt", "volts"), "kB": ("kilobyte", "kilobytes"), "KB": ("kilobyte", "kilobytes"),
    "MB": ("megabyte", "megabytes"), "GB": ("gigabyte", "gigabytes"), "TB": ("terabyte", "terabytes"),
    "°C": ("degree celsius", "degrees celsius"), "°F": ("degree fahrenheit", "degrees fahrenheit"), "°": ("degree", "degrees"),
    "¢": ("cent", "cents"),
}  # fmt: skip
# inflect has names of numbers up to so many digits; nobody reads more of them in one piece either.
_MOST_DIGITS = 36
_DIGITS = tuple("zero one two three four five six seven eight nine".split())
_MONTHS = tuple(
    "january february march april may june july august september october november december".split()
)  # fmt: skip
_MAGNITUDES = {"k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion", "tn": "trillion"}
_NUMBER = r"\d{1,3}(?:,\d{2,3})*,\d{3}(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+"
_CURRENCY = "[" + "".join(_CURRENCIES) + "]"
_MAGNITUDE = "hundred|thousand|million|billion|trillion"

_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_MONEY_RANGE = re.compile(rf"({_CURRENCY})({_NUMBER})\s?[-–]\s?({_NUMBER})(?=\s|$|[.,;:!?)])")
_MONEY = re.compile(
    rf"({_CURRENCY})\s?({_NUMBER})(?:[\s-]({_MAGNITUDE})\b|\s?({'|'.join(_MAGNITUDES)})\b(?!['’-]?[a-z]))?", re.IGNORECASE
)
_MONEY_BEHIND = re.compile(rf"(?<![\w.])({_NUMBER})\s?([£€¥₹])(?!\d)")
_MINUS = re.compile(rf"(?<![\w.,'\-−/])[-−](?={_CURRENCY}?\.?\d)")
_TIME = re.compile(r"\b(\d{1,2}):([0-5]\d)\b(?!:)")
_HALF_DAY = re.compile(r"(?<=\d)\s?([ap])\.?m\b\.?", re.IGNORECASE)
_ORDINAL = re.compile(r"\b(\d[\d,]*)(?:st|nd|rd|th)\b", re.IGNORECASE)
_DECADE = re.compile(r"\b(\d{2,4})['’]?s\b")
_ISO_DATE = re.compile(r"\b(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])\b")
_US_DATE = re.compile(r"\b(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})\b")
_DAY = re.compile(rf"\b({'|'.join(m.capitalize() for m in _MONTHS)})\s(\d{{1,2}})(?=\s|$|[,;:!?)]|\.(?!\d))(?!\s?%)")
_MIXED = re.compile(r"\b(\d+)[ -](?=\d{1,2}/\d{1,2}\b)")
_FRACTION = re.compile(r"(?<![\d/.])(\d{1,3})/(\d{1,3})\b(?![/.]\d)")
_TELEPHONE = re.compile(
    r"(?<![\w.,-])(?:(?:\+?\d{1,2}[-. ])?(?:\(\d{3}\)\s?|\d{3}[-. ])\d{3}[-. ]\d{4}|\d{3}-\d{4}|\d{3}-\d{2}-\d{4}|\d{4}(?:[- ]\d{4}){3})"
    r"(?![\w-]|[.,]\d)"
)
_DOTS = re.compile(r"(?<![\d.])\d+(?:\.\d+){2,}(?![\d])")
_HEIGHT = re.compile(r"\b(\d)'\s?(\d{1,2})(?:\"|'')")
_SAME_TWICE = re.compile(r"(?<![\w.-])(\d+)\s?[-–]\s?\1(?![\w-]|\.\d)")
_RANGE = re.compile(r"(?<=\d)\s?[-–]\s?(?=\d)")
_UNIT = re.compile(
    rf"(?<![\w.])({_NUMBER})(\s?|-)({'|'.join(re.escape(unit) for unit in sorted(_UNITS, key=len, reverse=True))})(?![\w'’/])"
)
_PLAIN = re.compile(_NUMBER)
_ADDRESS = re.compile(r"(?<=\w)\.(?=(?:com|org|net|edu|gov|io|info|co|uk|de)\b)")
_ROMAN_AFTER = re.compile(
    r"\b((?:World )?War|Chapter|Part|Volume|Vol\.|Book|Act|Scene|Type|Phase|Section|Article|Title|Super Bowl|Apollo|Mark|Class)"
    r"\s(?!I\b)([IVXL]{1,6})\b|\b(World War|Chapter|Volume)\s(I)\b"
)
# Behind a name, I is the speaker more often than the first of a name: "James I know".
_REGNAL = re.compile(
    r"\b(Henry|Louis|George|Edward|Charles|James|Richard|William|Philip|Napoleon|Frederick|Leo|Gregory|Alexander|Nicholas|Peter|"
    r"Elizabeth|Catherine|Pius|Benedict|John Paul|Paul|Urban|Innocent|Clement)\s(?!I\b)([IVX]{1,5})\b"
)
_ROMAN = re.compile(r"(?=.)(?:XL|L?X{0,3})(?:IX|IV|V?I{0,3})")
_DOTTED = re.compile(r"\b(?:[A-Za-z]\.){2,}(?:[A-Za-z]\b)?")
_MARKUP = re.compile(r"<[^<>]*>|\[[^\[\]]*\]|\{[^{}]*\}")
_TOKEN = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*'?|'[^\W\d_]+(?:['-][^\W\d_]+)*'?")


@lru_cache(maxsize=1)
def _inflect() -> Any:
    import inflect

    return inflect.engine()


def _cardinal(digits: str) -> str:
    whole, point, rest = digits.replace(",", "").partition(".")
    if not whole:
        return f"point {_one_by_one(rest)}"
    if len(whole) > _MOST_DIGITS:
        return _one_by_one(whole) + (f" point {_one_by_one(rest)}" if point else "")
    return _inflect().number_to_words(whole + point + rest, andword="").replace(",", "").replace("-", " ")


def _one_by_one(digits: str) -> str:
    return " ".join(_DIGITS[int(digit)] for digit in digits if digit.isdigit())


def _year(number: int) -> str:
    century, rest = divmod(number, 100)
    if rest == 0:
        return _cardinal(str(number)) if century % 10 == 0 else f"{_cardinal(str(century))} hundred"
    if century % 10 == 0 and rest < 10:  # two thousand three, not twenty oh three
        return _cardinal(str(number))
    return f"{_cardinal(str(century))} {'oh ' if rest < 10 else ''}{_cardinal(str(rest))}"


def _number(digits: str) -> str:
    if digits.isdigit() and len(digits) == 4 and 1100 <= int(digits) <= 2099:
        return _year(int(digits))
    if len(digits) > 1 and digits.startswith("0") and "." not in digits:  # a code or a telephone number: digit by digit
        return _one_by_one(digits)
    return _cardinal(digits)


def _money(match: re.Match[str]) -> str:
    singular, plural, small_singular, small_plural = _CURRENCIES[match[1]]
    amount, magnitude = match[2].replace(",", ""), match[3] or _MAGNITUDES.get((match[4] or "").lower())
    if magnitude:
        return f" {_cardinal(amount)} {magnitude} {plural} "
    whole, point, cents = amount.partition(".")
    if len(cents) > 2:
        return f" {_cardinal(amount)} {plural} "
    words = []
    if whole.strip("0") or not point:
        words.append(f"{_cardinal(whole)} {singular if whole.lstrip('0') == '1' else plural}")
    small = int((cents + "0")[:2]) if cents else 0
    if small:
        words.append(f"{_cardinal(str(small))} {small_singular if small == 1 else small_plural}")
    return f" {' and '.join(words) or f'zero {plural}'} "


def _money_range(match: re.Match[str]) -> str:
    return f" {_cardinal(match[2])} to {_cardinal(match[3])} {_CURRENCIES[match[1]][1]} "


def _money_behind(match: re.Match[str]) -> str:
    return f" {match[2]}{match[1]} "


def _time(match: re.Match[str]) -> str:
    minutes = int(match[2])
    spoken = "" if minutes == 0 else f"oh {_cardinal(match[2][1])}" if minutes < 10 else _cardinal(match[2])
    return f" {_cardinal(match[1])} {spoken} "


def _ordinal(number: str) -> str:
    words = _cardinal(number).split()
    return " ".join([*words[:-1], _inflect().ordinal(words[-1])])


def _date(match: re.Match[str]) -> str:
    """Month, day and year of a date in figures; what is no date stays."""
    if len(match[1]) == 4:
        year, month, day = match[1], int(match[2]), int(match[3])
    else:
        year, month, day = match[3], int(match[1]), int(match[2])
        if month > 12:
            month, day = day, month
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return match[0]
    return f" {_MONTHS[month - 1]} {_ordinal(str(day))} {_number(year) if len(year) == 4 else _two_digits(year)} "


def _two_digits(year: str) -> str:
    return f"oh {_cardinal(year[1])}" if year.startswith("0") else _cardinal(year)


def _day(match: re.Match[str]) -> str:
    return f"{match[1]} {_ordinal(match[2])} " if 1 <= int(match[2]) <= 31 else match[0]


def _fraction(match: re.Match[str]) -> str:
    """Fractions below one and halves; other numbers around a slash are read one after the other (24/7, 50/50, 4/4, 9/11)."""
    top, bottom = int(match[1]), int(match[2])
    if bottom != 2 and (top >= bottom or (top, bottom) == (9, 11)):
        return f" {_cardinal(match[1])} {_cardinal(match[2])} "
    if bottom == 2 and top == 2:
        return " two two "
    special = {2: ("half", "halves"), 4: ("quarter", "quarters")}
    one, many = special.get(bottom, (_ordinal(match[2]), _ordinal(match[2]) + "s"))
    return f" {_cardinal(match[1])} {one if top == 1 else many} "


def _telephone(match: re.Match[str]) -> str:
    first, _, second = match[0].partition("-")
    if len(match[0]) == 8 and first.endswith("00") and second.endswith("00"):  # 500-1000: a range of round numbers
        return match[0]
    return f" {_one_by_one(match[0])} "


def _dots(match: re.Match[str]) -> str:
    parts = match[0].split(".")
    return f" {(' dot ' if len(parts) == 4 else ' point ').join(map(_cardinal, parts))} "


def _unit(match: re.Match[str]) -> str:
    one, several = _UNITS[match[3]]
    # 10-km is said of something else: a ten kilometer run
    return f" {_number(match[1])} {one if match[1] == '1' or match[2] == '-' else several} "


def _roman(numeral: str) -> int | None:
    if not _ROMAN.fullmatch(numeral):
        return None
    values = [{"I": 1, "V": 5, "X": 10, "L": 50}[letter] for letter in numeral]
    return sum(-a if a < b else a for a, b in zip(values, [*values[1:], 0], strict=True))


def _numbered(match: re.Match[str]) -> str:
    what, numeral = (group for group in match.groups() if group)
    value = _roman(numeral)
    return f"{what} {_cardinal(str(value))} " if value else match[0]


def _regnal(match: re.Match[str]) -> str:
    value = _roman(match[2])
    return f"{match[1]} the {_ordinal(str(value))} " if value else match[0]


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


def plain_text(text: str) -> str:
    """A transcript of any language with its typing settled: HTML entities, apostrophes, and characters that nobody sees.

    Entities are unescaped, twice where they were escaped twice; soft hyphens and other format characters are left out.

    Examples
    --------
    >>> plain_text("I don&#39;t know what we´re do\u00ading")
    "I don't know what we're doing"
    """
    for _ in range(2 if "&" in text else 0):
        text = _ENTITY.sub(lambda match: _unescaped(match[0]), text)
    if not text.isascii():
        text = "".join(character for character in text if unicodedata.category(character) != "Cf")
    return plain_apostrophes(text)  # before NFKC, which takes an acute accent for a blank


def _unescaped(entity: str) -> str:
    # unescape() takes the start of a name too: of &nothing; it would make a sign and "hing"
    return html.unescape(entity) if entity[1] == "#" or entity[1:] in html5 else entity


def transcript_notes(text: str) -> list[str]:
    """What a reader of the results should know of how a transcript was typed, for the warnings of its alignment."""
    found = list(dict.fromkeys(entity for entity in _ENTITY.findall(text) if _unescaped(entity) != entity))
    if not found:
        return []
    shown = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
    return [f"The transcript has HTML entities ({shown}); they were read as the characters that they stand for."]


def spoken_words(text: str, known: Callable[[str], bool] = lambda word: False) -> list[str]:
    """The words of a transcript as they are spoken, lower case.

    Numbers, years, dates, ordinals, fractions, times, currencies, units, telephone numbers, dotted initials and common
    abbreviations are written out; numbers too large for words are read digit by digit;
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
    text = re.sub(r"(\d)([½⅓⅔¼¾⅛⅜⅝⅞])", r"\1 \2", plain_text(text))
    text = text.replace("²", " squared ").replace("³", " cubed ")
    text = unicodedata.normalize("NFKC", text).replace("⁄", "/")  # NFKC writes ½ with a fraction slash
    text = text if text.isascii() else "".join(map(_plain_digit, text))
    text = re.sub(r"[—―]|--+|…", " ", text)
    text = _MARKUP.sub(" ", text)
    has_lower = any(character.islower() for character in text)
    figures = any(character.isdigit() for character in text)
    if figures:
        text = _with_amounts(text)
    text = _ADDRESS.sub(" dot ", _DOTTED.sub(_letters, text))
    text = _REGNAL.sub(_regnal, _ROMAN_AFTER.sub(_numbered, text))
    if figures:
        text = _with_numbers(text)
    for symbol, word in _SYMBOLS.items():
        text = text.replace(symbol, word)
    text = re.sub(r"\b([A-Za-z]+)\b(\.?)", _abbreviation, text)
    words: list[str] = []
    for match in _TOKEN.finditer(text):
        words.extend(_resolved(match[0], known, has_lower))
    return words


def _with_amounts(text: str) -> str:
    """The text with what has signs before or behind its figures written out: money, times, numbers of things."""
    text = _MINUS.sub(" minus ", text)
    text = _MONEY_RANGE.sub(_money_range, text)
    text = _MONEY.sub(_money, _MONEY_BEHIND.sub(_money_behind, text))
    text = re.sub(r"(?<= m )\s?[-–]\s?(?=\d)", "to ", _HALF_DAY.sub(lambda match: f" {match[1]} m ", text))
    text = _TIME.sub(_time, text)
    return re.sub(r"\bno\. ?(?=\d)", "number ", text, flags=re.IGNORECASE)


def _with_numbers(text: str) -> str:
    """The text with all other figures written out, the more particular forms first."""
    text = _US_DATE.sub(_date, _ISO_DATE.sub(_date, text))
    text = _DAY.sub(_day, text)
    text = _FRACTION.sub(_fraction, _MIXED.sub(r"\1 and ", text))
    text = _HEIGHT.sub(r"\1 foot \2", text)
    text = _TELEPHONE.sub(_telephone, text)
    text = _DOTS.sub(_dots, text)
    text = _RANGE.sub(" to ", _SAME_TWICE.sub(r"\1 \1", text))
    text = _ORDINAL.sub(lambda match: f" {_ordinal(match[1])} ", text)
    text = _DECADE.sub(_decade, text)
    text = _UNIT.sub(_unit, text)
    return _PLAIN.sub(lambda match: f" {_number(match[0])} ", text)


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
