"""A whole dictionary: exact counts per relation, and the streamed pairs."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from analysis.errors import ConfigurationError
from analysis.phonology import PAIR_COLUMNS, load_inventory, load_lexicon
from analysis.phonology.dictionary import Dictionary, count_relations, iter_pair_tables
from analysis.phonology.lexicon import Lexicon
from tests.reference.phonology import edit_distance, relation, relation_counts

ARPABET = load_inventory("arpabet")


@pytest.fixture(scope="module")
def part():
    """Words of CMUdict with their alternatives: short words, homophones, and pronunciations that differ in stress alone."""
    whole = load_lexicon("cmudict").entries
    words = [word for word in whole if word.startswith(("to", "rea", "re")) and len(word) < 6]
    return Lexicon("part", {word: whole[word] for word in words[:130]})


def test_counts_are_the_definition(part):
    entries = [(word, ARPABET.symbols(phones)) for word, alternatives in part.entries.items() for phones in alternatives]
    expected, single = relation_counts(entries, 0.4)
    counts = count_relations(Dictionary(part))
    assert counts.relations == expected
    assert sum(counts.minimal_pairs.values()) == single > counts.minimal_pairs_near > 0
    assert (counts.n_words, counts.n_entries) == (len(part), len(entries))
    assert counts.n_forms == len({phones for _, phones in entries})
    assert counts.n_pairs == sum(expected.values())


def test_streamed_pairs_are_those_counted(part):
    dictionary = Dictionary(part)
    table = pd.concat(list(iter_pair_tables(dictionary)), ignore_index=True)
    counts = count_relations(dictionary)
    assert list(table.columns) == list(PAIR_COLUMNS)
    assert not table.duplicated(["type_a", "type_b"]).any() and (table["type_a"] < table["type_b"]).all()
    assert dict(Counter(table["relation"])) == {name: counts.relations[name] for name in ("homophone", "near_homophone")}
    names = dict(part.items())
    for row in table.sample(60, random_state=0).itertuples():
        a, b = (ARPABET.symbols(names[name]) for name in (row.type_a, row.type_b))
        assert row.phone_distance == edit_distance(a, b) / max(len(a), len(b))
        assert row.relation == relation(a, b, 0.4)
        assert row.type_a.partition("(")[0] != row.type_b.partition("(")[0], "alternatives of one word are no pair"
    minimal = Counter(table.loc[table["edit_class"] != "", "edit_class"])
    assert sum(minimal.values()) == counts.minimal_pairs_near


def test_streamed_pairs_can_be_selected(part):
    dictionary = Dictionary(part)
    every = pd.concat(list(iter_pair_tables(dictionary)), ignore_index=True)
    seen = pd.concat(list(iter_pair_tables(dictionary, min_viseme_distance=0.2)), ignore_index=True)
    assert 0 < len(seen) == (every["viseme_distance"] >= 0.2).sum() < len(every)
    some = pd.concat(list(iter_pair_tables(dictionary, relations=("near_homophone",), edit_classes=("voicing", "place"))))
    assert 0 < len(some) == every["edit_class"].isin(["voicing", "place"]).sum()
    with pytest.raises(ConfigurationError) as caught:
        next(iter_pair_tables(dictionary, relations=("unrelated",)))
    assert str(caught.value) == "There is no relation 'unrelated' to list; choose among homophone, near_homophone."


@pytest.mark.slow
def test_200_pairs_of_the_whole_dictionary_agree_with_the_definition():
    """100 pairs that mining found and 100 drawn from all pairs, so that what it did not find is looked at too."""
    dictionary = Dictionary(load_lexicon("cmudict"))
    forms, threshold = dictionary.forms, 0.4
    rng = np.random.default_rng(0)
    found: set[tuple[int, int]] = set()
    near: list[tuple[int, int]] = []
    from analysis.phonology import iter_near_pairs

    for i, j, _ in iter_near_pairs(forms, threshold):
        pairs = list(zip(np.minimum(i, j).tolist(), np.maximum(i, j).tolist(), strict=True))
        found.update(pairs)
        near += [pairs[k] for k in rng.integers(0, len(pairs), size=1)]
    chosen = [near[k] for k in rng.choice(len(near), size=100, replace=False)]
    while len(chosen) < 200:
        i, j = sorted(rng.integers(0, len(forms), size=2).tolist())
        if i != j:
            chosen.append((i, j))
    for i, j in chosen:
        a, b = forms.symbols[i], forms.symbols[j]
        assert ((i, j) in found) == (relation(a, b, threshold) == "near_homophone"), (a, b)
