"""Which near-homophone pairs a run scores: the default, its fallback, and what the user names."""

from __future__ import annotations

import pandas as pd
import pytest

from analysis.errors import ConfigurationError, SeparationError
from analysis.phonology import TokenTable, near_homophones, with_words
from analysis.report.summary import pair_labels, type_labels
from analysis.settings import DecoupleConfig

# type, word, how many tokens: three content pairs, one of function words, one of two forms of one word
CONTENT = [
    ("SH IY P", "sheep", 4),
    ("SH IH P", "ship", 4),
    ("B AE T", "bat", 4),
    ("P AE T", "pat", 4),
    ("P EH N", "pen", 4),
    ("P AE N", "pan", 4),
]
OTHERS = [("HH IH M", "him", 5), ("HH IH Z", "his", 5), ("AE N D", "and", 6), ("AH N D", "and", 6)]


def tokens(said, inventory="arpabet"):
    rows = [{"type": kind, "phones": kind, "word": word} for kind, word, n in said for _ in range(n)]
    table = with_words(pd.DataFrame(rows), inventory)
    return table.assign(unit="syllable", position=0, n_syllables=1, stress=1, speaker="s", utterance="u", token=range(len(table)))


def chosen(said, inventory="arpabet", speakers=None, **settings):
    table = tokens(said, inventory)
    table = table if speakers is None else table.assign(speaker=speakers(table))
    pairs = near_homophones(TokenTable(table, inventory="arpabet"), **settings)
    near = pairs[pairs["relation"] == "near_homophone"]
    return (
        near,
        {f"{a}/{b}" for a, b in near.loc[near["pairs_of"] != "", ["words_a", "words_b"]].to_numpy()},
        [f.reason for f in pairs.failures],
    )


def fewer(said, n):
    return [(kind, word, n) for kind, word, _ in said]


def test_content_pairs_are_scored_and_the_others_are_kept_beside_them():
    near, scored, said = chosen(CONTENT + OTHERS)
    assert scored == {"ship/sheep", "bat/pat", "pan/pen", "pan/pat"} and not said
    assert {"him/his", "and/and"} <= _of(near) - scored


def _of(near):
    return {f"{a}/{b}" for a, b in near[["words_a", "words_b"]].to_numpy()}


def test_where_content_words_have_few_tokens_fewer_are_asked_for_before_other_classes_are():
    _, scored, said = chosen(fewer(CONTENT, 2) + OTHERS)
    assert "ship/sheep" in scored and "him/his" not in scored
    assert said == [
        "Pairs of content words with 4 tokens of both syllables are fewer than 3 or said by fewer than 3 speakers, so pairs with at least 2 of each are scored."
    ]


def test_pairs_of_too_few_speakers_are_not_enough():
    more = [("D EH N", "den", 1), ("B EH L", "bell", 1), ("B EH D", "bed", 1)]
    one = [kind for kind, *_ in CONTENT]

    def speakers(table):  # one says the frequent words, three the rare ones
        return [("s0" if kind in one else f"s{row % 3}") for row, kind in enumerate(table["type"])]

    _, scored, said = chosen(CONTENT + more, speakers=speakers)
    assert {"ship/sheep", "bed/bell"} <= scored
    assert said == [
        "Pairs of content words with 4 tokens of both syllables are fewer than 3 or said by fewer than 3 speakers, so pairs with at "
        "least 1 of each are scored."
    ]


def test_where_there_are_too_few_content_pairs_all_are_scored_but_those_of_one_word():
    content = CONTENT[:2]
    said = [*content, *OTHERS, ("W IH L", "will", 4), ("W EH L", "well", 4), ("W EH N", "when", 4)]
    near, scored, reasons = chosen(said)
    assert "him/his" in scored and "ship/sheep" in scored and "and/and" not in scored and "and/and" in _of(near)
    assert reasons == [
        "Near-homophones of stressed syllables of content words of different lemmas are too few for an interval (1 pairs; it needs 3, by 3 "
        f"speakers). So all {len(scored)} near-homophone pairs of different words are scored, inflections, function words and unstressed "
        "syllables among them."
    ]


def test_what_the_user_names_is_scored_and_nothing_else():
    _, scored, said = chosen(CONTENT + OTHERS, pairs_of="function_word")
    assert scored == {"him/his"} and not said
    _, scored, _ = chosen(CONTENT + OTHERS, pairs_of="all")
    assert {"him/his", "ship/sheep"} <= scored and "and/and" not in scored
    with pytest.raises(SeparationError) as caught:
        chosen(CONTENT + OTHERS, pairs_of="inflection")
    assert str(caught.value) == (
        "The corpus has no near-homophone pair, of the classes inflection (46 tokens of 10 types). Use a larger corpus, other classes "
        "(--pairs_of) or a higher --threshold."
    )
    with pytest.raises(ConfigurationError, match=r"--pairs_of takes content, all, .* not 'nouns'"):
        DecoupleConfig(pairs_of="nouns")


def test_unrelated_pairs_are_of_the_words_that_are_scored():
    pairs = near_homophones(tokens(CONTENT + OTHERS))
    apart = pairs[pairs["relation"] == "unrelated"]
    content = {kind for kind, *_ in CONTENT}
    assert len(apart) and set(apart["type_a"]) | set(apart["type_b"]) <= content


def test_a_language_without_lists_is_scored_whole():
    near, scored, said = chosen(CONTENT + OTHERS, inventory="mandarin")
    assert scored == _of(near) - {"and/and"} and not said
    assert set(near.loc[near["pairs_of"] != "", "made_of"].str.split(" ").str[0]) == {"unknown"}


def test_pairs_beyond_the_limit_are_counted():
    near, scored, said = chosen(CONTENT + OTHERS, max_pairs=1)
    assert len(scored) == 1 and len(near) == 2
    assert len(said) == 1 and "near-homophone pairs beyond the 1 with most tokens are left out: " in said[0]


def test_labels_are_words():
    pairs = pd.DataFrame(
        [
            ("K AH L", "K AH T", "cull", "cut", 1, 1), ("SH IH P", "SH IY P", "ship, shipment", "sheep", 2, 1),
            ("SH AH N", "T AH N", "nation, action, option +4", "", 7, 0),
        ],
        columns=["type_a", "type_b", "words_a", "words_b", "n_words_a", "n_words_b"],
    )  # fmt: skip
    assert pair_labels(pairs) == ["cull / cut", "ship +1 / sheep", "nation +6 / T AH N"]
    assert pair_labels(pairs[["type_a", "type_b"]])[0] == "K AH L / K AH T"
    said = [
        ("T UW", "two", 1),
        ("T UW", "to", 3),
        ("T UW", "too", 1),
        ("AE N D", "and", 1),
        ("AH N D", "and", 1),
        ("B IY", "", 1),
    ]
    assert type_labels(tokens(said)) == {
        "T UW": "to, too +1", "AE N D": "and (AE N D)", "AH N D": "and (AH N D)", "B IY": "B IY",
    }  # fmt: skip
    assert type_labels(pd.DataFrame({"type": ["a", "b"]})) == {"a": "a", "b": "b"}
