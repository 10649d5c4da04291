"""Pairs that sound alike: distances, relations and classes against the slow definitions."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import ConfigurationError, LexiconError
from analysis.phonology import (
    PAIR_COLUMNS,
    Forms,
    edit_class,
    lip_weights,
    load_inventory,
    load_lexicon,
    load_pairs,
    load_visemes,
    near_pairs,
    pair_lists,
    pair_table,
    weighted_distance,
    write_pairs,
)
from analysis.phonology.mining import iter_near_pairs, maximal_edits
from analysis.phonology.pairs import _pair_of
from tests.reference.phonology import edit_distance, relation

ARPABET = load_inventory("arpabet")
PAPER = {
    "sheep": "SH IY1 P", "ship": "SH IH1 P", "tickle": "T IH1 K AH0 L", "pickle": "P IH1 K AH0 L", "plead": "P L IY1 D",
    "bleed": "B L IY1 D", "plays": "P L EY1 Z", "blaze": "B L EY1 Z", "blays": "B L EY1 Z",
}  # fmt: skip
FORMS = st.lists(st.sampled_from("P B T IY IH".split()), min_size=1, max_size=6).map(tuple)


def test_the_papers_examples():
    table = pair_table(PAPER, n_unrelated=0)
    assert list(table.columns) == list(PAIR_COLUMNS)
    assert {name: str(kind) for name, kind in table.dtypes.items()} == PAIR_COLUMNS
    rows = table.drop(columns=["phones_a", "phones_b"]).to_numpy().tolist()
    assert rows == [
        ["blays", "blaze", 0.0, 0.0, "homophone", "", ""],
        ["blays", "plays", 0.25, 0.0, "near_homophone", "voicing", "voicing"],
        ["blaze", "plays", 0.25, 0.0, "near_homophone", "voicing", "voicing"],
        ["bleed", "plead", 0.25, 0.0, "near_homophone", "voicing", "voicing"],
        ["pickle", "tickle", 0.2, 0.2, "near_homophone", "place", "place"],
        ["sheep", "ship", 1 / 3, 0.0, "near_homophone", "vowel", "length"],
    ]
    assert table.loc[4, "phones_a"] == "P IH K AH L"
    assert lip_weights(table).tolist() == [0.0, 0.0, 0.0, 0.0, 1.0, 0.0]


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.text("abcdefg", min_size=1, max_size=3), FORMS, min_size=2, max_size=9),
    st.sampled_from([0.0, 0.2, 0.4, 0.5, 1.0]),
)
def test_pair_table_is_the_definition(types, threshold):
    """Every related pair is there, with the definition's distance and relation, and nothing else."""
    table = pair_table({name: " ".join(form) for name, form in types.items()}, threshold=threshold, n_unrelated=0)
    expected = {}
    for a, b in combinations(sorted(types), 2):
        found = relation(types[a], types[b], threshold)
        if found != "unrelated":
            expected[a, b] = (edit_distance(types[a], types[b]) / max(len(types[a]), len(types[b])), found)
    rows = {(a, b): (d, r) for a, b, d, r in table[["type_a", "type_b", "phone_distance", "relation"]].itertuples(index=False)}
    assert rows == expected
    assert list(rows) == sorted(rows)
    visemes = load_visemes()
    for a, b, seen in table[["type_a", "type_b", "viseme_distance"]].itertuples(index=False):
        left, right = ([visemes[phone] for phone in types[name]] for name in (a, b))
        assert seen == edit_distance(left, right) / max(len(left), len(right))
    assert (table["viseme_distance"] <= table["phone_distance"]).all(), "what the lips show is never more than what is said"


@settings(max_examples=60, deadline=None)
@given(FORMS, FORMS)
def test_articulatory_costs_are_the_definition(a, b):
    index, costs = ARPABET.feature_distances
    expected = edit_distance(a, b, lambda x, y: costs[index[x], index[y]]) / max(len(a), len(b))
    assert weighted_distance(a, b) == pytest.approx(expected, abs=1e-12)
    assert weighted_distance(a, b) <= edit_distance(a, b) / max(len(a), len(b)) + 1e-12


@settings(max_examples=30, deadline=None)
@given(st.lists(FORMS, min_size=2, max_size=8, unique=True))
def test_mining_with_articulatory_costs_finds_what_the_definition_finds(forms):
    index, costs = ARPABET.feature_distances
    expected = {
        frozenset((i, j))
        for (i, a), (j, b) in combinations(enumerate(forms), 2)
        if edit_distance(a, b, lambda x, y: costs[index[x], index[y]]) <= 0.3 * max(len(a), len(b)) + 1e-9
    }
    i, j = near_pairs(Forms.of(forms), 0.3, costs="features")
    assert {frozenset(pair) for pair in zip(i.tolist(), j.tolist(), strict=True)} == expected


def test_mining_a_part_of_the_dictionary_is_exact():
    """All pairs of 160 forms of the dictionary, drawn so that many are near: no pair lost, none invented, none twice."""
    forms = sorted(
        {ARPABET.symbols(phones) for word, phones in load_lexicon("cmudict").items() if word.startswith(("plai", "bla"))}
    )
    forms = forms[:: max(1, len(forms) // 160)][:160]
    found = {}
    for i, j, edits in iter_near_pairs(Forms.of(forms), 0.4, always_single=True):
        for pair, number in zip(zip(i.tolist(), j.tolist(), strict=True), edits.tolist(), strict=True):
            assert frozenset(pair) not in found
            found[frozenset(pair)] = number
    expected = {}
    for (i, a), (j, b) in combinations(enumerate(forms), 2):
        edits = edit_distance(a, b)
        if edits == 1 or edits <= 0.4 * max(len(a), len(b)) + 1e-9:
            expected[frozenset((i, j))] = int(edits)
    assert len(expected) > 100
    assert found == expected


def test_bounds_lose_nothing_when_symbols_share_bits():
    """More phones than a set of 64 bits has room for: the bounds get weaker, the result stays exact."""
    rng = np.random.default_rng(0)
    forms = sorted({tuple(rng.integers(0, 90, size=rng.integers(1, 7)).tolist()) for _ in range(150)})
    neighbours = [(*form[:-1], form[-1] + 1) for form in forms]
    forms += [form for form in neighbours if form not in forms]
    i, j = near_pairs(Forms.of(forms), 0.5)
    expected = {
        frozenset((a, b))
        for a, b in combinations(range(len(forms)), 2)
        if edit_distance(forms[a], forms[b]) <= 0.5 * max(len(forms[a]), len(forms[b]))
    }
    assert {frozenset(pair) for pair in zip(i.tolist(), j.tolist(), strict=True)} == expected


@pytest.mark.parametrize(("longer", "edits"), [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (7, 2), (8, 3), (10, 4), (15, 6)])
def test_maximal_edits_do_not_suffer_from_rounding(longer, edits):
    assert maximal_edits(longer, 0.4) == edits


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("SH IY P", "SH IH P", ("vowel", "length")),
        ("P IY", "B IY", ("voicing", "voicing")),
        ("AE T", "K AE T", ("insertion", "+K")),
        ("K AE T S", "K AE T", ("insertion", "+S")),
        ("B EH D", "B R EH D", ("insertion", "+R")),
        ("P IY", "P IY", ("", "")),
        ("P IY T", "B IY D", ("", "")),
        ("P IY", "T IY K S", ("", "")),
        ("P IY T", "IY T P", ("", "")),
    ],
)
def test_classes_of_one_edit(a, b, expected):
    assert edit_class(a.split(), b.split()) == expected
    assert edit_class(b.split(), a.split()) == expected


def test_unrelated_pairs_are_drawn_from_the_rest():
    words = {word: phones[0] for word, phones in list(load_lexicon("cmudict").entries.items())[5000:5400]}
    table = pair_table(words, n_unrelated=50, seed=3)
    drawn = table[table["relation"] == "unrelated"]
    assert len(drawn) == 50 and not drawn.duplicated(["type_a", "type_b"]).any()
    assert (drawn["phone_distance"] > 0.4).all() and (drawn["edit_class"] == "").all()
    assert table[["type_a", "type_b"]].apply(tuple, axis=1).is_monotonic_increasing
    pd.testing.assert_frame_equal(table, pair_table(words, n_unrelated=50, seed=3))
    assert not table.equals(pair_table(words, n_unrelated=50, seed=4))
    default = pair_table(words)["relation"].value_counts()
    assert default["unrelated"] == default.drop("unrelated").sum(), "as many unrelated pairs as related ones"


def test_fewer_unrelated_pairs_come_where_there_are_not_so_many():
    table = pair_table(PAPER, n_unrelated=10_000)
    everything = {
        (a, b)
        for a, b in combinations(sorted(PAPER), 2)
        if relation(*(ARPABET.symbols(PAPER[name]) for name in (a, b)), 0.4) == "unrelated"
    }
    drawn = table[table["relation"] == "unrelated"]
    assert set(drawn[["type_a", "type_b"]].itertuples(index=False, name=None)) == everything
    short = pair_table({"pea": "P IY", "tea": "T IY", "key": "K IY"}, n_unrelated=5)
    assert len(short) == 0, "one edit apart is never unrelated, however short the words"


@given(st.integers(2, 60))
def test_pairs_are_numbered_through_the_triangle(n):
    i, j = _pair_of(np.arange(n * (n - 1) // 2), n)
    assert list(zip(i.tolist(), j.tolist(), strict=True)) == list(combinations(range(n), 2))


def test_lips_tell_apart_what_visemes_merge():
    by_class = pair_table(PAPER, n_unrelated=0).set_index(["type_a", "type_b"])["viseme_distance"]
    by_lips = pair_table(PAPER, n_unrelated=0, visemes="lips").set_index(["type_a", "type_b"])["viseme_distance"]
    assert by_class["sheep", "ship"] == 0 < by_lips["sheep", "ship"] < by_lips["pickle", "tickle"] == 0.2
    assert by_lips["blaze", "plays"] == 0


def test_relations_and_maps_can_be_chosen():
    assert set(pair_table(PAPER, relations=("homophone",), n_unrelated=0)["relation"]) == {"homophone"}
    assert set(pair_table(PAPER, relations=("near_homophone",), n_unrelated=0)["relation"]) == {"near_homophone"}
    jeffers = pair_table({"sheep": "SH IY P", "ship": "SH IH P"}, visemes="microsoft", n_unrelated=0)
    assert jeffers["viseme_distance"].tolist() == [0.0]
    assert len(pair_table({"sheep": "SH IY P"})) == 0 and len(pair_table({})) == 0


def test_mandarin_contrasts_through_the_same_functions():
    """A lexicon and an inventory are all that another language needs: aspiration, place and tone are its contrasts."""
    words = {word: phones[0] for word, phones in load_lexicon("mandarin").entries.items()}
    table = pair_table(words, inventory="mandarin", n_unrelated=0)
    kinds = {frozenset((a, b)): kind for a, b, kind in table[["type_a", "type_b", "edit_class"]].itertuples(index=False)}
    assert kinds[frozenset("妈马")] == kinds[frozenset("妈麻")] == kinds[frozenset("买卖")] == "tone"
    assert (
        kinds[frozenset("八趴")]
        == kinds[frozenset("大踏")]
        == kinds[frozenset("鸡七")]
        == kinds[frozenset("狗口")]
        == "aspiration"
    )
    assert kinds[frozenset("八搭")] == kinds[frozenset("他趴")] == "place"
    assert kinds[frozenset("你努")] == kinds[frozenset("绿路")] == "vowel" and kinds[frozenset("班八")] == "insertion"
    homophones = table.loc[table["relation"] == "homophone", ["type_a", "type_b"]]
    assert {frozenset(pair) for pair in homophones.itertuples(index=False, name=None)} == {
        frozenset(pair) for pair in ("他她", "他它", "她它", "哥歌", "河和", "班搬")
    }
    assert table["viseme_distance"].isna().all(), "no viseme map for Mandarin comes along"


def test_curated_lists():
    assert pair_lists() == ["demo", "paper", "seen", "unseen"]
    paper = load_pairs("paper")
    assert paper[["type_a", "type_b"]].to_numpy().tolist() == [
        ["blaze", "plays"], ["bleed", "plead"], ["pickle", "tickle"], ["sheep", "ship"],
    ]  # fmt: skip
    for name in pair_lists():
        table = load_pairs(name)
        assert set(table["relation"]) == {"near_homophone"}
        assert (table["type_a"] < table["type_b"]).all()
    assert (lip_weights(load_pairs("seen")) == 1).all() and (load_pairs("seen")["edit_class"] == "place").all()
    assert (lip_weights(load_pairs("unseen")) == 0).all() and (load_pairs("unseen")["edit_class"] == "voicing").all()


@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".parquet"])
def test_what_is_written_is_read_again(tmp_path, suffix):
    table = pair_table(PAPER, n_unrelated=3)
    path = write_pairs(table, tmp_path / f"pairs{suffix}", comments=["ours"])
    pd.testing.assert_frame_equal(load_pairs(path), table)


def test_bad_lists(tmp_path):
    path = tmp_path / "own.tsv"
    for text, message in [
        ("word\tother\nx\ty\n", f"{path} has the columns word, other; missing: type_a, type_b."),
        ("type_a\ttype_b\nsheep\tsheep\n", f"{path} pairs 'sheep' with itself. A pair has two types."),
        ("type_a\ttype_b\nsheep\tshxxp\n", f"{path}: 'shxxp' is not in cmudict. Give its phones in the column phones_b."),
        (
            "type_a\ttype_b\tphones_a\tphones_b\nread\tred\tR IY D\tR EH D\nread\tbed\tR EH D\tB EH D\n",
            f"{path}: 'read' is pronounced both 'R IY D' and 'R EH D'. Keep one of the two.",
        ),
    ]:
        path.write_text(text, encoding="utf-8")
        with pytest.raises(LexiconError) as caught:
            load_pairs(path)
        assert str(caught.value) == message
    with pytest.raises(LexiconError) as caught:
        load_pairs("papers")
    assert str(caught.value) == "There is no pair list 'papers'. Choose one of demo, paper, seen, unseen, or give a file."
    with pytest.raises(ConfigurationError) as caught:
        write_pairs(load_pairs("paper"), tmp_path / "pairs.xlsx")
    assert str(caught.value) == f"A pair table is written as .tsv, .csv or .parquet, not as .xlsx: {tmp_path / 'pairs.xlsx'}."


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 1.2}, "The threshold is 1.2; a phone distance lies between 0 and 1."),
        ({"costs": "acoustic"}, "There are no edit costs 'acoustic'; choose one of uniform, features."),
        (
            {"relations": ("synonym",)},
            "There is no relation 'synonym' between two types; choose among homophone, near_homophone, unrelated.",
        ),
        ({"n_unrelated": -1}, "n_unrelated is -1; it counts pairs, so it is 0 or more."),
    ],
)
def test_bad_settings(options, message):
    with pytest.raises(ConfigurationError) as caught:
        pair_table(PAPER, **options)
    assert str(caught.value) == message


def test_bad_types():
    with pytest.raises(LexiconError) as caught:
        pair_table({"sheep": "SH IY1 P", "hush": ""})
    assert str(caught.value) == "'hush' has no phones. Give its pronunciation, or leave it out."


def test_a_viseme_map_that_lacks_a_phone_says_which(tmp_path):
    path = tmp_path / "own.tsv"
    rows = "".join(f"{symbol}\t1\n" for symbol in ARPABET.phones if symbol not in ("ZH", "P"))
    path.write_text(f"phone\tviseme\n{rows}", encoding="utf-8")
    with pytest.raises(LexiconError) as caught:
        pair_table(PAPER, visemes=path)
    assert str(caught.value) == f"The viseme map {path} has no class for P, ZH. Add a line for each."
