"""Syllables by maximal onset, on phone strings and on alignments."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.alignment.types import Alignment
from analysis.errors import LexiconError
from analysis.phonology import legal_onsets, load_inventory, load_lexicon, syllabify, syllables
from analysis.timebase import Interval
from tests.reference.phonology import maximal_onset

ARPABET = load_inventory("arpabet")
SYMBOLS = sorted(ARPABET.phones)


def divided(phones, **options):
    symbols = ARPABET.symbols(phones)
    return " . ".join(" ".join(symbols[first:stop]) for first, _, stop in syllabify(symbols, **options))


@pytest.mark.parametrize(
    ("phones", "expected"),
    [
        ("SH IY1 P", "SH IY P"),
        ("T IH1 K AH0 L", "T IH . K AH L"),
        ("P L IY1 D", "P L IY D"),
        ("K AA1 N S T AH0 N T", "K AA N . S T AH N T"),
        ("EH1 K S T R AH0", "EH K . S T R AH"),
        ("AE1 T L AH0 S", "AE T . L AH S"),
        ("M AE1 NG G OW0", "M AE NG . G OW"),
        ("S IH1 NG ER0", "S IH NG . ER"),
        ("K AE1 N Y AH0 N", "K AE N . Y AH N"),
        ("M Y UW1 Z IH0 K", "M Y UW . Z IH K"),
        ("B AA1 T EL", "B AA . T EL"),
        ("HH AE1 P IY0 N AH0 S", "HH AE . P IY . N AH S"),
        ("S IH1 K S TH", "S IH K S TH"),
        ("AH0 B AH1 V", "AH . B AH V"),
        ("K EY0 AA1 S", "K EY . AA S"),
    ],
)
def test_known_words(phones, expected):
    assert divided(phones) == expected


@given(st.lists(st.sampled_from(SYMBOLS), min_size=1, max_size=14))
def test_syllables_partition_the_phones_and_follow_the_definition(symbols):
    carriers = [i for i, symbol in enumerate(symbols) if ARPABET.carries_syllable(symbol)]
    if not carriers:
        with pytest.raises(LexiconError) as caught:
            syllabify(symbols)
        assert str(caught.value) == f"{' '.join(symbols)} has no phone that carries a syllable."
        return
    parts = syllabify(symbols)
    assert [nucleus for _, nucleus, _ in parts] == carriers, "one syllable for each nucleus"
    assert parts[0][0] == 0 and parts[-1][2] == len(symbols)
    assert all(left[2] == right[0] for left, right in pairwise(parts))
    assert all(first <= nucleus < stop for first, nucleus, stop in parts)
    assert [first for first, _, _ in parts] == maximal_onset(symbols, ARPABET.carries_syllable, legal_onsets())


def test_words_of_the_dictionary_follow_the_definition():
    lexicon = load_lexicon("cmudict")
    for word in sorted(lexicon.entries)[::97]:
        for phones in lexicon.pronunciations(word):
            symbols = ARPABET.symbols(phones)
            if any(map(ARPABET.carries_syllable, symbols)):
                starts = [first for first, _, _ in syllabify(symbols)]
                assert starts == maximal_onset(symbols, ARPABET.carries_syllable, legal_onsets()), word


def test_every_legal_onset_opens_a_word_or_is_a_single_consonant():
    """An onset inside a word is one that words begin with: the list invents nothing."""
    initial = set()
    lexicon = load_lexicon("cmudict")
    for _, phones in lexicon.items():
        symbols = ARPABET.symbols(phones)
        nucleus = next((i for i, symbol in enumerate(symbols) if ARPABET.carries_syllable(symbol)), 0)
        initial.add(symbols[:nucleus])
    extended = {("DX",), ("NX",), ("HV",)}  # phones that CMUdict does not write
    assert legal_onsets() - extended <= initial


def spoken(words, inventory="arpabet", step=0.1):
    """An alignment of words given as (spelling, labels), each phone ``step`` seconds long, without pauses."""
    tiers, phones = [], []
    time = 0.0
    for spelling, labels in words:
        start = time
        for label in labels.split():
            phones.append(Interval(round(time, 6), round(time + step, 6), label))
            time += step
        tiers.append(Interval(round(start, 6), round(time, 6), spelling))
    return Alignment("u1", tuple(tiers), tuple(phones), time + 1.0, "test", inventory=inventory)


def test_syllables_of_an_alignment():
    found = syllables(spoken([("The", "DH AH0"), ("tickle", "T IH1 K AH0 L")]))
    assert [syllable.type for syllable in found] == ["DH AH", "T IH", "K AH L"]
    assert [syllable.interval.label for syllable in found] == ["DH AH0", "T IH1", "K AH0 L"]
    assert [syllable.stress for syllable in found] == [0, 1, 0]
    assert [(s.word, s.word_index, s.position, s.n_syllables) for s in found] == [
        ("the", 0, 0, 1),
        ("tickle", 1, 0, 2),
        ("tickle", 1, 1, 2),
    ]
    assert (found[2].interval.start, found[2].interval.end) == pytest.approx((0.4, 0.7))
    assert [phone.label for phone in found[2].onset] == ["K"]
    assert [phone.label for phone in found[2].nucleus] == ["AH"]
    assert [phone.label for phone in found[2].coda] == ["L"]


@given(st.lists(st.sampled_from(SYMBOLS), min_size=1, max_size=12), st.integers(0, 3))
def test_syllables_of_an_alignment_keep_its_phones(symbols, n_words):
    words = [("word", " ".join(symbols))] * (n_words + 1)
    alignment = spoken(words)
    found = syllables(alignment, lexicon=None)
    if any(map(ARPABET.carries_syllable, symbols)):
        kept = [phone for syllable in found for phone in syllable.phones]
        assert kept == list(alignment.phones), "phones of words partition into syllables, intervals unchanged"
        assert all(s.interval.start == s.phones[0].start and s.interval.end == s.phones[-1].end for s in found)
    else:
        assert found == []


def test_stress_comes_from_the_dictionary_where_the_aligner_writes_none():
    unmarked = spoken([("tickle", "T IH K AH L")])
    assert [syllable.stress for syllable in syllables(unmarked)] == [1, 0]
    assert [syllable.stress for syllable in syllables(unmarked, lexicon=None)] == [-1, -1]
    other = spoken([("tickle", "T AH K AH L")])
    assert [syllable.stress for syllable in syllables(other)] == [-1, -1], "not how the dictionary says it"


def test_ipa_alignments_give_the_same_types():
    plain = syllables(spoken([("tickle", "T IH K AH L")]))
    for inventory, labels in (("ipa", "t ɪ k ə l"), ("english_mfa", "tʰ ɪ k ə ɫ"), ("xsampa", "t I k V l")):
        found = syllables(spoken([("tickle", labels)], inventory))
        assert [(s.type, s.stress) for s in found] == [(s.type, s.stress) for s in plain]


def test_ambisyllabic_consonants_close_the_stressed_syllable_too():
    alignment = spoken([("happy", "HH AE1 P IY0")])
    plain, both = syllables(alignment), syllables(alignment, ambisyllabic=True)
    assert [s.type for s in plain] == ["HH AE", "P IY"]
    assert [s.type for s in both] == ["HH AE P", "P IY"]
    assert both[0].interval.end == pytest.approx(0.3) and both[1].interval.start == pytest.approx(0.2)
    for labels in ("AH0 T AE1 K", "B OW1 T M AH0 N", "R AE1 B IY1"):  # unstressed first, closed first, stressed second
        assert syllables(spoken([("w", labels)]), ambisyllabic=True) == syllables(spoken([("w", labels)]))


def test_closures_and_releases_of_timit_are_one_phone():
    alignment = spoken([("bobcat", "bcl b aa bcl kcl k ae tcl"), ("church", "tcl ch er tcl ch")], inventory="timit")
    found = syllables(alignment, lexicon=None)
    assert [syllable.type for syllable in found] == ["B AA B", "K AE T", "CH ER CH"]
    assert [(round(phone.start, 3), round(phone.end, 3)) for phone in found[0].phones] == [(0.0, 0.2), (0.2, 0.3), (0.3, 0.4)]
    assert (round(found[1].interval.start, 3), round(found[1].interval.end, 3)) == (0.4, 0.8)


def test_buckeye_labels_give_arpabet():
    found = syllables(spoken([("something", "s ah m pcl th iyn ng")], inventory="timit"), lexicon=None)
    assert found == [], "a label of another corpus is not guessed"
    found = syllables(spoken([("wanted", "w aan nx ih tq")], inventory="buckeye"), lexicon=None)
    assert [syllable.type for syllable in found] == ["W AA", "NX IH T"]


def test_mandarin_syllables_from_its_own_files():
    alignment = spoken([("大门", "t a ˥˩ m ə n ˧˥")], inventory="mandarin")
    found = syllables(alignment)
    assert [syllable.type for syllable in found] == ["t a ˥˩", "m ə n ˧˥"]
    assert [[phone.label for phone in syllable.coda] for syllable in found] == [["˥˩"], ["n", "˧˥"]]
