"""What the outputs of a CTC model stand for, and how words and phones are written with them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from analysis.alignment.arpabet import PHONES, from_ipa, without_stress
from analysis.errors import AlignmentError

__all__ = ["Vocabulary"]

_SPECIAL = re.compile(r"<.*>|\[.*\]|\|?")
# ARPAbet in IPA, the preferred symbol first; of the phones that some vocabularies write as two symbols, those last.
_IPA = {
    "AA": "ɑ ɑː ɒ a aː", "AE": "æ a", "AH": "ʌ ə ɐ", "AO": "ɔ ɔː ɒ", "AW": "aʊ aw a+ʊ", "AY": "aɪ aj a+ɪ", "B": "b",
    "CH": "tʃ t͡ʃ ʧ t+ʃ", "D": "d", "DH": "ð", "EH": "ɛ e", "ER": "ɝ ɜː ɚ ɜ ɜ+ɹ ə+ɹ", "EY": "eɪ ej e e+ɪ", "F": "f", "G": "ɡ g",
    "HH": "h", "IH": "ɪ", "IY": "iː i", "JH": "dʒ d͡ʒ ʤ d+ʒ", "K": "k", "L": "l ɫ", "M": "m", "N": "n", "NG": "ŋ", "OW": "oʊ əʊ ow o o+ʊ",
    "OY": "ɔɪ ɔj ɔ+ɪ", "P": "p", "R": "ɹ r", "S": "s", "SH": "ʃ", "T": "t", "TH": "θ", "UH": "ʊ", "UW": "uː u ʉː ʉ", "V": "v",
    "W": "w", "Y": "j", "Z": "z", "ZH": "ʒ",
}  # fmt: skip
_UNSTRESSED = {"AH0": "ə ʌ ɐ", "ER0": "ɚ ɝ ɜː ə+ɹ"}
_LEAST_IPA = 5


@dataclass(frozen=True)
class Vocabulary:
    """Tokens of a CTC model.

    Attributes
    ----------
    ids : mapping of str to int
        Every token of the model, special ones included.
    blank : int
    delimiter : int or None
        The token that stands between words, where there is one.
    kind : str
        ``characters`` or ``phones``.
    """

    ids: Mapping[str, int]
    blank: int
    delimiter: int | None
    kind: str

    @classmethod
    def of(cls, ids: Mapping[str, int], blank: int, delimiter: str | None, kind: str = "auto") -> Vocabulary:
        """The vocabulary with these tokens; ``kind`` is told from them unless it is given.

        Phones are recognised by their notation: a token of two ARPAbet letters and most tokens ARPAbet, or at least five IPA
        letters that no English spelling has.
        """
        if kind == "auto":
            plain = [token for token, number in ids.items() if number != blank and not _SPECIAL.fullmatch(token)]
            arpabet = [token for token in plain if without_stress(token.upper()) in PHONES]
            ipa = {c for token in plain for c in token if c in "ɪʊəɛæʌɔɑɒɐɜɝɚθðʃʒŋɹɾɡʔ"}
            is_arpabet = any(len(without_stress(token)) == 2 for token in arpabet) and len(arpabet) >= 0.7 * len(plain)
            kind = "phones" if is_arpabet or len(ipa) >= _LEAST_IPA else "characters"
        return cls(dict(ids), blank, ids.get(delimiter) if delimiter else None, kind)

    # -- characters --------------------------------------------------------------------------------------------------------

    def spelled(self, word: str) -> tuple[int, ...]:
        """Ids of a word's letters, in the case and with or without accents as the model has them; unknown signs are left out.

        Raises
        ------
        AlignmentError
            If a letter is missing from the vocabulary; apostrophes, hyphens and full stops may be.
        """
        found = []
        for letter in unicodedata.normalize("NFC", word):
            number = self._letter(letter)
            if number is None and letter.isalnum():
                raise AlignmentError(f"The model has no token for {letter!r} in {word!r}.")
            if number is not None:
                found.append(number)
        if not found:
            raise AlignmentError(f"The model has no token for any sign of {word!r}.")
        return tuple(found)

    def _letter(self, letter: str) -> int | None:
        bare = "".join(c for c in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(c))
        for candidate in (letter, letter.upper(), letter.lower(), bare, bare.upper(), bare.lower()):
            if candidate in self.ids and self.ids[candidate] not in (self.blank, self.delimiter):
                return self.ids[candidate]
        return None

    # -- phones ------------------------------------------------------------------------------------------------------------

    def transcribed(self, phones: Sequence[str], inventory: str) -> list[tuple[int, ...]]:
        """For each phone, the ids of the tokens that say it: mostly one, two where the model writes a diphthong as two vowels.

        A phone is looked up as it is written, without stress, and, from ARPAbet, through its IPA symbols.

        Raises
        ------
        AlignmentError
            If a phone has no token.
        """
        found = []
        for phone in phones:
            ids = self._as_written(phone) or (self._translated(phone) if inventory == "arpabet" else None)
            if ids is None:
                raise AlignmentError(f"The model has no token for the phone {phone!r} ({inventory}).")
            found.append(ids)
        return found

    def _as_written(self, phone: str) -> tuple[int, ...] | None:
        bare = without_stress(phone)
        for candidate in (phone, bare, phone.lower(), bare.lower(), phone.lstrip("ˈˌ")):
            number = self.ids.get(candidate)
            if number is not None and number != self.blank:
                return (number,)
        return None

    def _translated(self, phone: str) -> tuple[int, ...] | None:
        for choice in (_UNSTRESSED.get(phone) or _IPA.get(without_stress(phone), "")).split():
            ids = [self.ids.get(symbol) for symbol in choice.split("+")]
            if all(number is not None for number in ids):
                return tuple(number for number in ids if number is not None)
        number = self._by_sound.get(without_stress(phone))
        return None if number is None else (number,)

    @cached_property
    def _by_sound(self) -> dict[str, int]:
        """ARPAbet phone -> the first token that is read as it: labels with lengths, diacritics and tie bars."""
        sounds: dict[str, int] = {}
        for token, number in self.ids.items():
            if number != self.blank and not _SPECIAL.fullmatch(token):
                phones = from_ipa(token)
                if len(phones) == 1:
                    sounds.setdefault(without_stress(phones[0]), number)
        return sounds
