"""Models of a speaker's phones: known boundaries come out, the search against all paths, what fades, when they are estimated."""

from __future__ import annotations

import csv
from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest

from analysis.alignment import Alignment, align_cached, boundary_errors, make_aligner, read_textgrid
from analysis.alignment.agreement import agreement_table
from analysis.alignment.monophones import Spoken, _best_path, acoustic_features, estimated, placed, without_fading
from analysis.corpus.audio import read_header
from analysis.corpus.utterance import Utterance
from analysis.errors import ConfigurationError

MEANS = {phone: np.random.default_rng(i).normal(size=39) * 3 for i, phone in enumerate(("sil", "S", "IY", "P"))}


def spoken(rng, jitter):
    """Five words of three phones with pauses here and there; boundaries known, and given up to ``jitter`` frames beside."""
    words, truth, frames = [], [], []

    def add(phone, length):
        frames.append(MEANS[phone] + rng.normal(size=(length, 39)))
        return length

    position = add("sil", 8)
    for _ in range(5):
        words.append(tuple(rng.permutation(["S", "IY", "P"]).tolist()))
        for phone in words[-1]:
            length = add(phone, int(rng.integers(6, 15)))
            truth.append((position, position + length))
            position += length
        if rng.random() < 0.4:
            position += add("sil", 6)
    position += add("sil", 8)
    moved = {time: time + int(rng.integers(-jitter, jitter + 1)) for span in truth for time in span}
    given = tuple((moved[start], moved[end]) for start, end in truth)
    return Spoken(np.concatenate(frames), tuple(words), given), truth


def test_known_boundaries_come_out_of_blurred_ones():
    rng = np.random.default_rng(0)
    corpus, truths = zip(*(spoken(rng, 2) for _ in range(40)), strict=True)
    model = estimated(corpus)
    errors = [
        abs(a - b)
        for one, truth in zip(corpus, truths, strict=True)
        for found, wanted in zip(placed(model, one), truth, strict=True)
        for a, b in zip(found, wanted, strict=True)
    ]
    before = [abs(a - b) for one, truth in zip(corpus, truths, strict=True) for x, y in zip(one.spans, truth, strict=True)
              for a, b in zip(x, y, strict=True)]  # fmt: skip
    assert np.mean(np.array(before) > 0) > 0.7 and np.mean(np.array(errors) > 0) < 0.1 and max(errors) <= 3
    assert placed(model, Spoken(corpus[0].frames, (("ZH",),), ((0, 5),))) is None, "a phone that the models lack"
    assert placed(model, Spoken(corpus[0].frames[:5], corpus[0].words, corpus[0].spans)) is None, "fewer frames than states"
    again = estimated(corpus)
    assert np.array_equal(model.means, again.means) and np.array_equal(model.stay, again.stay)


def test_the_search_finds_the_best_of_all_paths():
    rng = np.random.default_rng(1)
    n, stay = 11, np.full(9, 0.6)  # silence, one phone, silence, of three states each
    emissions = np.round(rng.normal(size=(n, 9)) * 2000)
    path = _best_path(emissions, stay, np.array([3]), np.zeros(9, dtype=int), np.full(9, n))
    on, keep = round(np.log(0.4) * 1024), round(np.log(0.6) * 1024)

    def score(states):
        moves = sum(on if a != b else keep for a, b in pairwise(states))
        return sum(emissions[t, s] for t, s in enumerate(states)) + moves

    best = -np.inf
    for sequence in (list(range(9)), list(range(3, 9)), list(range(6)), list(range(3, 6))):
        for cuts in combinations(range(1, n), len(sequence) - 1):
            edges = [0, *cuts, n]
            best = max(best, score([s for s, a, b in zip(sequence, edges[:-1], edges[1:], strict=True) for _ in range(b - a)]))
    assert score(path.tolist()) == best


def test_what_fades_is_cut_and_what_is_quiet_by_nature_stays():
    level = np.full(100, 20.0)
    level[10:40] = 70.0
    for label, end in (("S", 40), ("IY", 50), ("N", 50), ("CH", 40), ("T", 40)):
        assert without_fading([(20, 50)], [label], level) == [(20, end)]
    assert without_fading([(41, 50)], ["T"], level) == [(41, 50)], "a closure without release"
    assert without_fading([(20, 50), (50, 60)], ["S", "IY"], level)[0] == (20, 50), "no pause follows"


def test_features_do_not_depend_on_the_level():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=16000) * np.repeat(rng.uniform(300, 3000, 10), 1600)
    quiet, loud = acoustic_features(samples), acoustic_features(4 * samples)
    assert quiet.shape == (100, 39) and np.abs(quiet - loud).max() < 0.1
    assert np.isfinite(acoustic_features(np.zeros(100))).all()


@pytest.fixture(scope="module")
def utterances(shared_data):
    found = []
    with (shared_data / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if row["path"].startswith("autovot_1054"):
                path = shared_data / row["path"]
                header = read_header(path)
                found.append(Utterance(path.stem, path, row["transcript"], row["speaker"], header.duration, header.sampling_rate))
    return found


def test_a_speaker_with_recordings_enough_has_models(utterances, tmp_path):
    few = list(align_cached(make_aligner("pocketsphinx"), utterances, tmp_path))
    many = list(align_cached(make_aligner("pocketsphinx", reestimate="15"), utterances, tmp_path))
    assert not any(one.measures for one in few) and all(one.measures == (("reestimated", 1.0),) for one in many)
    assert [one.phones for one in few] != [one.phones for one in many], "their cached alignments are not mixed up"
    assert [one.confidence for one in few] != [] and all(isinstance(one, Alignment) for one in many)
    references = [read_textgrid(one.audio.with_suffix(".TextGrid")) for one in utterances]
    table = agreement_table(boundary_errors(zip(references, many, strict=True))).set_index(["tier", "group"])
    assert table.loc[("phones", "all"), "within_20"] >= 90 and table.loc[("words", "all"), "within_50"] >= 95


def test_models_depend_neither_on_order_nor_on_workers(utterances):
    found = []
    for order, workers in ((utterances, 1), (utterances[::-1], 1), (utterances + utterances[:3], 2)):
        aligner = make_aligner("pocketsphinx", reestimate=15, workers=workers)
        aligner.prepare(utterances)
        found.append({one.utterance_id: one for one in aligner.align(order)})
    assert found[0] == found[1] == found[2]


def test_a_shard_knows_the_whole_corpus_only_when_it_is_asked_to(utterances):
    aligner = make_aligner("pocketsphinx", reestimate=15)
    aligner.prepare(utterances)
    key = aligner.cache_key(utterances[0])
    aligner.prepare(utterances[:3])
    assert aligner.cache_key(utterances[0]) == key, "a part of a known corpus changes nothing"
    aligner.prepare([replace(one, id=f"other-{one.id}") for one in utterances[:3]])
    assert aligner.cache_key(utterances[0]) == make_aligner("pocketsphinx").cache_key(utterances[0]), "another corpus does"


def test_the_setting_is_checked():
    for value in ("never", "1", -3):
        with pytest.raises(ConfigurationError) as error:
            make_aligner("pocketsphinx", reestimate=value)
        assert str(error.value) == (
            f"reestimate must be auto, no, or the least number of recordings of a speaker, 2 or more, not {value!r}."
        )
