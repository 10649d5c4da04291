"""Which token pairs are near-homophones: of different words, and of the classes that are scored."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest

from analysis.errors import SeparationError
from analysis.phonology import PAIR_CLASSES, compose, pair_table, with_words
from analysis.phonology.composition import PAIRS_OF, TokenKinds
from analysis.separation import score
from analysis.separation.pair_intervals import pair_gains
from analysis.separation.relations import pair_tokens
from analysis.separation.scale_free import tokens_in_use
from analysis.separation.settings import SeparationSettings
from analysis.separation.simulation import CorpusPlan, simulated_corpus

# type, word, position, syllables of the word, stress
SAID = [
    ("AE N D", "and", 0, 1, 1), ("AH N D", "and", 0, 1, 0), ("SH IY P", "sheep", 0, 1, 1), ("SH IH P", "ship", 0, 1, 1),
    ("SH IH P", "shipment", 0, 2, 1), ("SH IH P S", "ships", 0, 1, 1), ("T UW", "to", 0, 1, 1), ("T UW", "two", 0, 1, 1),
    ("T UW L", "tool", 0, 1, 1), ("K AH N", "condition", 0, 3, 0), ("SH AH N", "condition", 2, 3, 0), ("SH AH N", "nation", 1, 2, 0),
]  # fmt: skip
SETTINGS = SeparationSettings(distances=("l2",), vectors=("raw",), n_nulls=2, scale_free_draws=2, best_layer=False)


@pytest.fixture(scope="module")
def spoken():
    """Real words on the vectors of a simulated corpus."""
    embeddings, semantics, _ = simulated_corpus(CorpusPlan(speakers=4, utterances=6, tokens=10, pairs=8, dims=6, seed=5))
    entry = np.random.default_rng(3).integers(0, len(SAID), len(embeddings))
    words = pd.DataFrame([SAID[i] for i in entry], columns=["type", "word", "position", "n_syllables", "stress"])
    words = with_words(words.assign(phones=words["type"], unit="syllable"))
    old = embeddings.tokens.drop(columns=[name for name in words if name in embeddings.tokens]).reset_index(drop=True)
    tokens = pd.concat([old, words], axis=1)
    pairs = pair_table({kind: kind for kind, *_ in SAID}, n_unrelated=30, seed=1)
    return replace(embeddings, tokens=tokens), semantics, pairs


def slow_relation(tokens, kinds, table, scored):
    """Relation of every token pair, by looking at each one."""
    relation = {frozenset((a, b)): kind for a, b, kind in zip(table["type_a"], table["type_b"], table["relation"], strict=True)}
    found = {}
    types = tokens["type"].tolist()
    everyone = np.arange(len(tokens))
    classes = kinds.classes(everyone[:, None], everyone[None, :])
    for i, j in combinations(range(len(tokens)), 2):
        kind = relation.get(frozenset((types[i], types[j])))
        if kind is None or types[i] == types[j]:
            continue
        of = list(PAIR_CLASSES)[classes[i, j]]
        if of in (*scored, "unknown"):
            found[i, j] = kind
        elif kind == "near_homophone" and of != "same_word":
            found[i, j] = of
    part = {row for pair, kind in found.items() if kind == "near_homophone" for row in pair}
    return found | {(i, j): "same_type" for i, j in combinations(sorted(part), 2) if types[i] == types[j]}


@pytest.mark.parametrize(
    "asked", [("word_part", "whole_word"), ("whole_word",), ("function_word", "inflection"), PAIRS_OF["all"]]
)
def test_each_token_pair_stands_in_the_relation_of_its_class(spoken, asked):
    embeddings, _, pairs = spoken
    tokens = embeddings.tokens
    paired = pair_tokens(tokens, compose(pairs, tokens, asked))
    relation = paired.type_pairs["relation"].to_numpy()[np.repeat(paired.cell_type_pair, paired.cell_count)]
    a, b = paired.rows[paired.a], paired.rows[paired.b]
    got = {(min(i, j), max(i, j)): kind for i, j, kind in zip(a.tolist(), b.tolist(), relation, strict=True)}
    expected = slow_relation(tokens, TokenKinds.of(tokens), pairs, asked)
    assert len(got) == len(paired) and got == expected
    assert {"near_homophone", "variant_form", "same_type"} <= set(relation)


def test_scores_are_those_of_the_token_pairs_left(spoken):
    embeddings, semantics, pairs = spoken
    table = score(embeddings, {"m": semantics}, pairs, settings=SETTINGS).table
    x, kinds = embeddings.layer(0).astype(float), TokenKinds.of(embeddings.tokens)
    found = slow_relation(embeddings.tokens, kinds, pairs, ("word_part", "whole_word"))
    types = embeddings.tokens["type"].to_numpy()
    for relation in ("near_homophone", "variant_form", "function_word", "unstressed", "inflection", "same_type", "unrelated"):
        by_pair: dict[frozenset, list[float]] = {}
        for (i, j), kind in found.items():
            if kind == relation:
                by_pair.setdefault(frozenset((types[i], types[j])), []).append(np.linalg.norm(x[i] - x[j]))
        rows = table[(table["relation"] == relation) & (table["split"] == "all") & (table["variant"] == "without")]
        row = rows[(rows["statistic"] == "mean_distance") & (rows["average"] == "macro")].iloc[0]
        assert row["estimate"] == pytest.approx(np.mean([np.mean(one) for one in by_pair.values()]), rel=1e-5)
        assert row["n_type_pairs"] == len(by_pair) and row["n_token_pairs"] == sum(map(len, by_pair.values()))


def test_abx_is_of_tokens_that_stand_in_a_pair_and_of_pairs_that_hold_nothing_else(spoken):
    embeddings, _, pairs = spoken
    tokens = embeddings.tokens
    paired = pair_tokens(tokens, pairs)
    used = tokens_in_use(paired, SETTINGS)
    words = set(tokens["word"].to_numpy()[paired.rows[used.chosen]])
    assert words == {"sheep", "ship", "shipment", "ships", "two", "tool"}
    named = {tuple(sorted((paired.types[a], paired.types[b]))) for a, b in used.near}
    # SH IH P (ship, shipment) and SH IH P S (ships) are in part of one lemma
    assert named == {("SH IH P", "SH IY P"), ("T UW", "T UW L")} and used.mixed == 1
    table = score(embeddings, {}, pairs, settings=SETTINGS).table
    notes = table[(table["statistic"] == "abx_error")].set_index("relation")["note"]
    left_out = "1 of 3 type pairs, some of whose tokens are of one word or lemma, are left out"
    assert left_out in notes["near_homophone"] and left_out not in notes["all"]


def test_gains_of_single_pairs_are_of_the_same_token_pairs(spoken):
    embeddings, _, pairs = spoken
    tokens = embeddings.tokens
    composed = compose(pairs, tokens)
    chosen = composed[(composed["type_a"] == "T UW") & (composed["type_b"] == "T UW L")]
    before = embeddings.layer(0).astype(float)
    after = before * 1.5
    (gain,) = pair_gains(tokens, chosen, before, after)["gain"]
    word, utterance = tokens["word"].to_numpy(), tokens["utterance"].to_numpy()
    couples = product(np.flatnonzero(word == "two"), np.flatnonzero(word == "tool"))
    values = [np.linalg.norm(before[i] - before[j]) / 2 for i, j in couples if utterance[i] != utterance[j]]
    assert gain == pytest.approx(np.mean(values))


def test_the_notes_say_what_is_scored_and_what_is_not(spoken):
    embeddings, _, pairs = spoken
    notes = score(embeddings, {}, pairs, settings=SETTINGS).notes
    assert any(note.startswith("Near-homophones are 3 of ") and "whole content words" in note for note in notes)
    assert any(note.startswith("Not scored as near-homophones: ") and "two forms of one word (" in note for note in notes)
    bare = replace(embeddings, tokens=embeddings.tokens.drop(columns=["word_class", "lemmas"]))
    notes = score(bare, {}, pairs, settings=SETTINGS).notes
    assert any(
        note.startswith("The token table lacks word_class, lemmas, so what pairs are made of is not known: ") for note in notes
    )


def test_a_table_without_words_is_scored_as_it_always_was(spoken):
    embeddings, _, pairs = spoken
    bare = embeddings.tokens.drop(columns=["word", "word_class", "lemmas"])
    paired = pair_tokens(bare, pairs)
    assert set(paired.type_pairs["relation"]) == {"near_homophone", "unrelated", "same_type"}
    size = bare["type"].value_counts()
    near = pairs[pairs["relation"] == "near_homophone"]
    is_near = (paired.type_pairs["relation"] == "near_homophone").to_numpy()
    assert paired.cell_count[is_near[paired.cell_type_pair]].sum() == (near["type_a"].map(size) * near["type_b"].map(size)).sum()


def test_pairs_of_one_word_alone_cannot_be_scored(spoken):
    embeddings, _, pairs = spoken
    one_word = pairs[(pairs["type_a"] == "AE N D") & (pairs["type_b"] == "AH N D")]
    with pytest.raises(SeparationError) as caught:
        score(embeddings, {}, one_word, settings=SETTINGS)
    assert str(caught.value) == (
        "None of the 1 near-homophone pairs can be scored: their token pairs are of one word, or of no class that was asked for. Add "
        "recordings, or score other classes with --pairs_of."
    )


def test_many_tokens_of_one_kind_leave_those_of_another(spoken):
    embeddings, _, pairs = spoken
    tokens = embeddings.tokens
    many = pd.concat([tokens, *[tokens[tokens["word"] == "to"]] * 20], ignore_index=True)
    many["utterance"] = [f"u{row}" for row in range(len(many))]
    paired = pair_tokens(many, pairs, max_tokens_per_type=5)
    words = many["word"].to_numpy()[paired.rows]
    assert (words == "two").sum() == min(5, (tokens["word"] == "two").sum())
