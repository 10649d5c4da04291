"""ARPAbet as the aligners here use it, and the way from IPA to it."""

from __future__ import annotations

import unicodedata

__all__ = ["PHONES", "VOWELS", "from_ipa", "without_stress"]

VOWELS = frozenset("AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW".split())
PHONES = VOWELS | frozenset("B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH".split())

# Longest first, so that affricates, diphthongs and r-coloured vowels are not read as two phones.
_IPA = {
    "d͡ʒ": "JH", "t͡ʃ": "CH", "dʒ": "JH", "tʃ": "CH", "ʤ": "JH", "ʧ": "CH", "t͡s": "T S", "d͡z": "D Z",
    "aɪ": "AY", "aʊ": "AW", "eɪ": "EY", "oʊ": "OW", "əʊ": "OW", "ɔɪ": "OY", "ɪə": "IH R", "eə": "EH R", "ʊə": "UH R",
    "ja": "Y AA", "je": "Y EH", "jo": "Y OW", "ju": "Y UW", "jʌ": "Y AH", "wa": "W AA", "we": "W EH", "wi": "W IY",
    "wʌ": "W AH", "hw": "W", "ʍ": "W", "ɜɹ": "ER", "ɜr": "ER", "əɹ": "ER", "ər": "ER", "ɜ˞": "ER", "ə˞": "ER", "ɝ": "ER",
    "ɚ": "ER", "ɑ": "AA", "ɒ": "AA", "a": "AA", "ä": "AA", "ɐ": "AH", "æ": "AE", "ʌ": "AH", "ə": "AH0", "ᵊ": "AH0",
    "ɘ": "AH0", "ɜ": "ER", "ɞ": "ER", "ɵ": "UH", "ɤ": "AH", "ɔ": "AO", "o": "OW", "ɛ": "EH", "e": "EY", "œ": "ER", "ø": "ER",
    "ɪ": "IH", "ɨ": "IH", "ʏ": "IH", "i": "IY", "y": "UW", "ʊ": "UH", "u": "UW", "ʉ": "UW", "ɯ": "UW",
    "b": "B", "β": "V", "ʋ": "V", "c": "K", "ç": "HH", "d": "D", "ɖ": "D", "ð": "DH", "f": "F", "ɸ": "F", "ɡ": "G", "g": "G",
    "ɣ": "G", "ɟ": "G", "h": "HH", "ɦ": "HH", "ħ": "HH", "χ": "K", "x": "K", "j": "Y", "ʝ": "Y", "k": "K", "q": "K", "l": "L",
    "ɫ": "L", "ʎ": "L Y", "ɭ": "L", "m": "M", "ɱ": "M", "n": "N", "ɳ": "N", "ɲ": "N Y", "ŋ": "NG", "ɴ": "NG", "p": "P",
    "ɹ": "R", "r": "R", "ɻ": "R", "ʁ": "R", "ʀ": "R", "ɽ": "R", "ɾ": "T", "s": "S", "ʃ": "SH", "ʂ": "SH", "ɕ": "SH", "t": "T",
    "ʈ": "T", "θ": "TH", "v": "V", "w": "W", "ɥ": "W", "ɰ": "W", "z": "Z", "ʒ": "ZH", "ʐ": "ZH", "ʑ": "ZH",
}  # fmt: skip
_LONGEST = max(map(len, _IPA))


def without_stress(phone: str) -> str:
    """An ARPAbet label without its stress digit."""
    return phone.rstrip("012")


def from_ipa(text: str) -> tuple[str, ...]:
    """ARPAbet phones of an IPA string; schwas carry the stress digit 0, other vowels the marks that the string has.

    A vowel after a primary or secondary stress mark gets 1 or 2; without any mark only the vowel of a monosyllable is known to
    be stressed. Length, tone and diacritics are dropped; symbols of no English sound are left out.
    """
    text = unicodedata.normalize("NFC", text).replace("͜", "͡")
    phones: list[str] = []
    mark = ""
    position = 0
    while position < len(text):
        if text[position] in "ˈˌ":
            mark = "1" if text[position] == "ˈ" else "2"
            position += 1
            continue
        for length in range(min(_LONGEST, len(text) - position), 0, -1):
            found = _IPA.get(text[position : position + length])
            if found is not None:
                break
        else:
            position += 1
            continue
        for phone in found.split():
            if phone in VOWELS and mark:
                phones.append(phone + mark)
                mark = ""
            else:
                phones.append(phone)
        position += length
    vowels = [i for i, phone in enumerate(phones) if without_stress(phone) in VOWELS]
    if len(vowels) == 1:
        phones[vowels[0]] = without_stress(phones[vowels[0]]) + "1"
    return tuple(phones)
