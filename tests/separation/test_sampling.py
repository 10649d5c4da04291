"""Samples of frequent types: seeded, from all speakers and texts alike, and the same wherever they are drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.separation import SeparationSettings, relations, rows_to_score, score
from analysis.separation.relations import pair_tokens
from analysis.separation.sampling import BalancedDraw, drawn_first
from analysis.separation.simulation import CorpusPlan, simulated_corpus

SETTINGS = SeparationSettings(
    distances=("l2",),
    vectors=("raw",),
    n_nulls=2,
    scale_free_draws=2,
    n_permutations=9,
    n_permutations_scale_free=9,
    best_layer=False,
)


@pytest.fixture(scope="module")
def simulated():
    return simulated_corpus(CorpusPlan(speakers=5, utterances=10, tokens=12, pairs=10, dims=6, seed=2))


def test_speakers_and_their_texts_take_turns():
    rng = np.random.default_rng(0)
    speaker = np.repeat(["loud", "a", "b", "c"], [900, 40, 30, 3])
    tokens = pd.DataFrame({"speaker": speaker, "utterance": [f"u{row}" for row in range(len(speaker))]})
    tokens["text"] = np.where(np.arange(len(speaker)) % 10 == 0, "rare", "often")
    drawn = tokens.iloc[BalancedDraw(tokens).of(np.arange(len(tokens)), 40, rng)]
    counts = drawn["speaker"].value_counts()
    assert counts["c"] == 3 and set(counts[["loud", "a", "b"]]) <= {12, 13}
    texts = drawn[drawn["speaker"] == "loud"]["text"].value_counts()
    assert abs(texts["rare"] - texts["often"]) <= 1
    again = BalancedDraw(tokens).of(np.arange(len(tokens)), 40, np.random.default_rng(0))
    assert set(again) == set(drawn.index)
    np.testing.assert_array_equal(BalancedDraw(tokens).of(np.arange(7), 40, rng), np.arange(7))


def test_what_is_drawn_by_name_stays_drawn_among_fewer():
    names = [f"pair {k}" for k in range(200)]
    drawn = {names[place] for place in drawn_first(names, 20, seed=3)}
    some = [name for name in names if name in drawn or name.endswith("7")]
    assert {some[place] for place in drawn_first(some, 20, seed=3)} == drawn
    assert {names[place] for place in drawn_first(names, 20, seed=4)} != drawn


@pytest.mark.parametrize(
    "limits", [{"max_tokens_per_type": 6}, {"max_type_pairs": 4}, {"max_tokens_per_type": 6, "max_type_pairs": 4}]
)
def test_the_sample_scores_as_all_tokens_do(simulated, limits):
    embeddings, semantics, pairs = simulated
    settings = replace(SETTINGS, scale="as_is", **limits)
    rows, notes = rows_to_score(embeddings.tokens, pairs, settings)
    assert len(rows) < len(embeddings)
    assert notes[-1] == f"{len(rows)} of {len(embeddings)} tokens are scored (seed 0); vectors of no others are looked at"
    whole = score(embeddings, {"wav2sem": semantics}, pairs, settings=settings)
    part = score(embeddings.select(rows), {"wav2sem": semantics}, pairs, settings=settings)
    pd.testing.assert_frame_equal(part.table, whole.table)


def test_where_nothing_is_drawn_every_token_stays(simulated):
    embeddings, _, pairs = simulated
    rows, notes = rows_to_score(embeddings.tokens, pairs, SETTINGS)
    np.testing.assert_array_equal(rows, np.arange(len(embeddings)))
    assert notes == []


def test_the_notes_state_what_was_drawn(simulated):
    embeddings, _, pairs = simulated
    found = pair_tokens(embeddings.tokens, pairs, max_tokens_per_type=6)
    assert any(
        note.endswith(
            "types have more than 6 tokens; a sample of them is paired, in which speakers and each speaker's texts take turns"
        )
        for note in found.sampled
    )


def test_too_many_token_pairs_take_fewer_tokens_of_each_type(simulated, monkeypatch):
    embeddings, semantics, pairs = simulated
    most = len(pair_tokens(embeddings.tokens, pairs)) // 3
    monkeypatch.setattr(relations, "MOST_TOKEN_PAIRS", most)
    found = pair_tokens(embeddings.tokens, pairs)
    assert most / 2 < len(found) <= most
    [note] = [one for one in found.sampled if one.startswith("100 tokens of each type")]
    tokens = int(note.split("at most ")[1].split()[0])
    assert note == (
        f"100 tokens of each type would make more than {most:,} token pairs, so that at most {tokens} of each are paired"
    )
    assert np.bincount(found.type).max() == tokens
    settings = replace(SETTINGS, scale="as_is")
    rows, notes = rows_to_score(embeddings.tokens, pairs, settings)
    assert note in notes
    whole = score(embeddings, {"wav2sem": semantics}, pairs, settings=settings)
    part = score(embeddings.select(rows), {"wav2sem": semantics}, pairs, settings=settings)
    pd.testing.assert_frame_equal(part.table, whole.table)
