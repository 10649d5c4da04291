"""What near-homophone pairs are made of, and which of their token pairs are scored."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis.errors import ConfigurationError
from analysis.phonology import COMPOSITION_COLUMNS, PAIR_CLASSES, compose, composed, composition_table, pair_table, with_words
from analysis.phonology.composition import (
    PAIRS_OF,
    TokenKinds,
    composition_sentences,
    count_scored,
    pairs_of,
    taking_part,
)

# type, word, position, n_syllables, stress, how many tokens
SAID = [
    ("AE N D", "and", 0, 1, 1, 4),
    ("AH N D", "and", 0, 1, 0, 3),
    ("SH IY P", "sheep", 0, 1, 1, 4),
    ("SH IH P", "ship", 0, 1, 1, 5),
    ("SH IH P", "shipment", 0, 2, 1, 2),
    ("SH IH P S", "ships", 0, 1, 1, 2),
    ("T UW", "to", 0, 1, 1, 6),
    ("T UW", "two", 0, 1, 1, 2),
    ("T UW L", "tool", 0, 1, 1, 3),
    ("K AH N", "condition", 0, 3, 0, 2),
    ("SH AH N", "condition", 2, 3, 0, 2),
    ("SH AH N", "nation", 1, 2, 0, 1),
]


def tokens(said=SAID, unit="syllable"):
    rows = [
        {"type": kind, "phones": kind, "word": word, "position": position, "n_syllables": n, "stress": stress, "unit": unit}
        for kind, word, position, n, stress, count in said
        for _ in range(count)
    ]
    table = with_words(pd.DataFrame(rows))
    return table.assign(token=range(len(table)), utterance=[f"u{row}" for row in range(len(table))], speaker="s")


def near(table):
    types = {kind: kind for kind in table["type"].unique()}
    return pair_table(types, relations=("near_homophone",), n_unrelated=0)


def made_of(table, a, b, **options):
    found = compose(near(table), table, **options).set_index(["type_a", "type_b"])
    return found.loc[(a, b)]


def test_two_forms_of_one_word_are_no_near_homophones():
    pair = made_of(tokens(), "AE N D", "AH N D")
    assert (pair["made_of"], pair["pairs_of"]) == ("variant_form 12", "")
    assert made_of(tokens(), "AE N D", "AH N D", asked=PAIRS_OF["all"])["pairs_of"] == ""


def test_two_syllables_of_one_word_are_neither():
    pair = made_of(tokens(), "K AH N", "SH AH N")
    assert pair["made_of"] == "unstressed 2, same_word 4"


def test_a_pair_of_types_that_holds_several_classes():
    pair = made_of(tokens(), "SH IH P", "SH IY P")
    assert (pair["made_of"], pair["words_a"], pair["words_b"]) == ("whole_word 20, word_part 8", "ship, shipment", "sheep")
    assert (pair["n_words_a"], pair["n_words_b"], pair["n_tokens_a"], pair["n_tokens_b"]) == (2, 1, 7, 4)
    whole = made_of(tokens(), "SH IH P", "SH IY P", asked=("whole_word",))
    assert (whole["words_a"], whole["n_tokens_a"], whole["pairs_of"]) == ("ship", 5, "unknown whole_word")


def test_an_inflection_is_one_lemma_and_its_stem_may_be_part_of_another_word():
    pair = made_of(tokens(), "SH IH P", "SH IH P S")
    assert pair["made_of"] == "word_part 4, inflection 10"  # ship/ships, shipment/ships
    assert (pair["words_a"], pair["n_tokens_a"]) == ("shipment", 2)


def test_a_function_word_makes_a_pair_one_of_function_words():
    pair = made_of(tokens(), "T UW", "T UW L")
    assert (pair["made_of"], pair["words_a"], pair["n_tokens_a"]) == ("whole_word 6, function_word 18", "two", 2)
    dropped = made_of(tokens(), "T UW", "T UW L", min_tokens=3)
    assert (dropped["pairs_of"], dropped["words_a"]) == ("", "to, two")


def test_token_pairs_are_classed_as_a_slow_rule_does():
    table = tokens()
    kinds = TokenKinds.of(table)
    a, b = np.meshgrid(np.arange(len(table)), np.arange(len(table)), indexing="ij")
    found = kinds.classes(a, b)
    names = list(PAIR_CLASSES)
    for i, one in enumerate(table.to_dict("records")):
        for j, other in enumerate(table.to_dict("records")):
            if one["word"] == other["word"]:
                expected = "variant_form" if one["position"] == other["position"] else "same_word"
            elif set(one["lemmas"].split()) & set(other["lemmas"].split()):
                expected = "inflection"
            elif "function" in (one["word_class"], other["word_class"]):
                expected = "function_word"
            elif 0 in (one["stress"], other["stress"]):
                expected = "unstressed"
            else:
                expected = "whole_word" if one["n_syllables"] == other["n_syllables"] == 1 else "word_part"
            assert names[found[i, j]] == expected, (one["word"], other["word"])


def test_stress_that_nobody_knows():
    said = [("SH IY P", "sheep", 0, 1, -1, 1), ("SH IH P", "shipment", 0, 2, -1, 1), ("SH IH P", "ship", 0, 1, -1, 1)]
    assert made_of(tokens(said), "SH IH P", "SH IY P")["made_of"] == "whole_word 1, unstressed 1"


def test_words_as_units_have_no_stress_and_no_parts():
    said = [("tickle", "tickle", 0, 2, -1, 2), ("pickle", "pickle", 0, 2, -1, 2), ("pickles", "pickles", 0, 2, -1, 1)]
    table = tokens(said, unit="word").assign(phones=["T IH K AH L"] * 2 + ["P IH K AH L"] * 2 + ["P IH K AH L Z"])
    pairs = pair_table(dict(zip(table["type"], table["phones"], strict=True)), relations=("near_homophone",), n_unrelated=0)
    found = compose(pairs, table).set_index(["type_a", "type_b"])["made_of"].to_dict()
    assert found == {
        ("pickle", "pickles"): "inflection 2",
        ("pickle", "tickle"): "whole_word 4",
        ("pickles", "tickle"): "whole_word 2",
    }


@pytest.mark.parametrize("column", ["word_class", "lemmas", "stress", "n_syllables"])
def test_without_a_column_every_pair_of_different_words_is_scored(column):
    table = tokens().drop(columns=column)
    found = compose(near(table), table)
    assert made_of(table, "AE N D", "AH N D")["made_of"] == "variant_form 12"
    assert made_of(table, "T UW", "T UW L")["made_of"] == "unknown 24"
    assert found.loc[found["pairs_of"] == "", ["type_a", "type_b"]].to_numpy().tolist() == [["AE N D", "AH N D"]]


def test_without_words_every_pair_is_scored():
    table = tokens().drop(columns="word")
    found = compose(near(table), table)
    assert (found["pairs_of"] != "").all() and (found["words_a"] == "").all() and (found["n_words_a"] == 0).all()
    assert composition_sentences(found, ("word", "lemmas")) == [
        f"The token table lacks word, lemmas, so what pairs are made of is not known: all {len(found)} near-homophone pairs (two forms of "
        "one word may be among them) are scored, function words, inflections and unstressed syllables among them."
    ]


def test_columns_and_counts():
    table = tokens()
    pairs = near(table)
    found = compose(pairs, table)
    assert list(found.columns) == [*pairs.columns, *COMPOSITION_COLUMNS]
    assert {name: str(kind) for name, kind in found[list(COMPOSITION_COLUMNS)].dtypes.items()} == COMPOSITION_COLUMNS
    counts = composition_table(found)
    # every pair of tokens of a near-homophone pair is of one class
    size = table["type"].value_counts()
    assert counts["n_token_pairs"].sum() == (found["type_a"].map(size) * found["type_b"].map(size)).sum()
    rows = counts.set_index("pairs_of")
    assert rows.loc["whole_word"].tolist()[1:] == [2, 20 + 6, 2, 20 + 6]  # ship/sheep, two/tool
    assert rows.loc["variant_form", ["n_type_pairs", "n_token_pairs", "n_token_pairs_scored"]].tolist() == [1, 12, 0]
    assert rows.loc["word_part", "n_token_pairs_scored"] == rows.loc["word_part", "n_token_pairs"] > 0


def test_unrelated_rows_are_of_the_same_classes_and_hold_no_words():
    table = tokens()
    pairs = pair_table({kind: kind for kind in table["type"].unique()}, relations=("near_homophone",), n_unrelated=3)
    found = compose(pairs, table)
    apart = found[found["relation"] == "unrelated"]
    assert set(apart["pairs_of"]) == {"unknown word_part whole_word"} and set(apart["words_a"]) == {""}


def test_where_the_default_leaves_too_few_all_are_scored_and_a_sentence_says_so():
    table = tokens()
    pairs = near(table)
    usual, nothing = composed(pairs, table, enough=3)
    assert nothing == "" and count_scored(usual) >= 3
    n = count_scored(usual)
    every, sentence = composed(pairs, table, enough=n + 1)
    assert count_scored(every) == len(pairs) - 1  # and/and
    assert sentence == (
        f"Near-homophones of stressed syllables of content words of different lemmas are too few for an interval ({n} pairs; it needs "
        f"{n + 1}, by 3 speakers). So all {len(pairs) - 1} near-homophone pairs of different words are scored, inflections, function words "
        "and unstressed syllables among them."
    )


def test_tokens_that_take_part():
    table = tokens()
    found = compose(near(table), table)
    part = taking_part(table, found)
    kinds, rows, types = TokenKinds.of(table), np.arange(len(table)), table["type"]
    slow = np.zeros(len(table), dtype=bool)
    for a, b, scored in zip(found["type_a"], found["type_b"], found["pairs_of"], strict=True):
        for i in rows[types == a]:
            for j in rows[types == b]:
                taken = list(PAIR_CLASSES)[int(kinds.classes(rows[i : i + 1], rows[j : j + 1])[0])] in scored.split()
                slow[[i, j]] |= taken
    assert (part == slow).all()
    assert not part[table["word"].isin(["and", "to", "condition", "nation"])].any()
    assert part[table["word"].isin(["sheep", "ship", "two", "tool", "shipment"])].all()


def test_what_pairs_of_takes():
    assert pairs_of("content") == ("word_part", "whole_word")
    assert pairs_of("whole_word, inflection") == ("inflection", "whole_word")
    assert pairs_of("all") == ("inflection", "function_word", "unstressed", "word_part", "whole_word")
    with pytest.raises(ConfigurationError) as caught:
        pairs_of("nouns")
    assert str(caught.value) == (
        "--pairs_of takes content, all, inflection, function_word, unstressed, word_part, whole_word, or several with commas "
        "between, not 'nouns'."
    )
    with pytest.raises(ConfigurationError, match="not nothing"):
        pairs_of(" ,")


def test_classes_do_not_depend_on_how_the_indices_lie_in_memory():
    table = tokens()
    kinds = TokenKinds.of(table)
    rows = np.arange(len(table))
    expected = kinds.classes(rows[:, None], rows[None, :])
    a, b = np.meshgrid(rows, rows, indexing="ij")
    assert (expected == list(PAIR_CLASSES).index("inflection")).any()
    assert (kinds.classes(np.asfortranarray(a), np.asfortranarray(b)) == expected).all()
    assert (kinds.classes(a.ravel(), b.ravel()) == expected.ravel()).all()
