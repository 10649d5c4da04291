"""One recording that cannot be encoded is one row; values that are no numbers never look like results."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis.embeddings import extract
from analysis.embeddings.store import EmbeddingStore
from analysis.encoders import load_encoder
from analysis.errors import EncoderError, Failure, SemanticsError
from analysis.guard import log_path
from analysis.wav2sem.types import SemanticsCard


@pytest.fixture(autouse=True)
def own_log(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("ANALYSIS_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def small_corpus(small_corpus):
    """The small corpus without its token that is too short for a frame."""
    utterances, tokens = small_corpus
    return utterances, tokens[tokens["end"] - tokens["start"] > 0.011].reset_index(drop=True)


class Changed:
    """An encoder whose outcome for some clips, known by their length, is changed by a function of the states."""

    precision = "float16"

    def __init__(self, inner, change, lengths=None) -> None:
        self.inner, self.change, self.lengths, self.asked = inner, change, lengths, 0
        self.card, self.device = inner.card, inner.device

    def encode(self, waveforms, layers=None):
        self.asked += 1
        found = []
        for waveform, states in zip(waveforms, self.inner.encode(waveforms, layers), strict=True):
            chosen = self.lengths is None or len(waveform) in self.lengths
            found.append(self.change(states.clone()) if chosen else states)
        return found


def length_of(utterance) -> int:
    return round(utterance.duration * 16000)


def by_token(extraction) -> dict[int, np.ndarray]:
    return dict(zip(extraction.embeddings.tokens["token"], extraction.embeddings.vectors, strict=True))


@pytest.mark.parametrize("batch_seconds", [None, 1000.0])
def test_one_nan_frame_spoils_the_tokens_that_hold_it_alone(small_corpus, mfcc, batch_seconds) -> None:
    utterances, tokens = small_corpus
    third = utterances[2]

    def with_nan(states):
        states[0, 20] = torch.nan
        return states

    whole = extract(mfcc, utterances, tokens, progress=False)
    found = extract(
        Changed(mfcc, with_nan, {length_of(third)}), utterances, tokens, progress=False, workers=1, batch_seconds=batch_seconds
    )
    time = float(mfcc.card.grid.centers(21)[20])
    hit = tokens[(tokens["utterance"] == third.id) & (tokens["start"] <= time) & (tokens["end"] > time)]["token"].tolist()
    assert len(hit) == 1
    clean, rest = by_token(whole), by_token(found)
    assert set(clean) - set(rest) == set(hit)
    for token, vector in rest.items():
        np.testing.assert_array_equal(vector, clean[token])
    frames = int(found.embeddings.frames.n_frames[2])
    assert found.failures == [
        Failure(
            "embeddings",
            third.id,
            f"mfcc gives values that are NaN, infinite or too large in 1 of {frames} frames (layers 0, computed in float16): 1 of "
            "its tokens have no vector",
            "look at the recording, or encode with --dtype float32",
        )
    ]
    # mean and norm are of the other frames
    assert np.isfinite(found.embeddings.frames.mean).all() and np.isfinite(found.embeddings.frames.frame_norm).all()
    np.testing.assert_allclose(found.embeddings.frames.frame_norm[2], whole.embeddings.frames.frame_norm[2], rtol=0.2)


def test_a_bad_frame_outside_every_token_is_a_warning(small_corpus, mfcc) -> None:
    utterances, tokens = small_corpus
    one = utterances[0]
    few = tokens[(tokens["utterance"] == one.id) & (tokens["start"] > 0.2)]

    def with_infinity(states):
        states[0, 0, 3] = torch.inf
        return states

    found = extract(Changed(mfcc, with_infinity), [one], few, progress=False)
    assert [failure.severity for failure in found.failures] == ["warning"]
    assert len(found.embeddings) == len(few)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf, 1e30])
def test_a_recording_without_a_finite_frame_is_a_row(small_corpus, mfcc, value) -> None:
    utterances, tokens = small_corpus
    bad = utterances[4]
    found = extract(
        Changed(mfcc, lambda states: torch.full_like(states, value), {length_of(bad)}), utterances, tokens, progress=False
    )
    assert bad.id not in set(found.embeddings.tokens["utterance"]) and bad.id not in found.embeddings.frames.utterances
    assert len(found.embeddings.frames.utterances) == len(utterances) - 1
    [failure] = found.failures
    assert failure.item == bad.id and failure.severity == "error"
    assert "mfcc gives values that are NaN, infinite or too large in" in failure.reason
    assert failure.reason.endswith("(layers 0, computed in float16): it has no vector")


@pytest.mark.parametrize("stored", [False, True])
def test_an_encoder_that_gives_no_number_at_all_stops_the_run(small_corpus, mfcc, tmp_path, stored) -> None:
    utterances, tokens = small_corpus
    encoder = Changed(mfcc, lambda states: states * torch.nan)
    frames = mfcc.encode([np.ones(length_of(utterances[0]), dtype=np.float32)])[0].shape[1]
    with pytest.raises(EncoderError) as caught:
        extract(encoder, utterances, tokens, progress=False, out=tmp_path / "store" if stored else None)
    assert str(caught.value) == (
        f"mfcc gave not one vector. The first failure, u000: mfcc gives values that are NaN, infinite or too large in {frames} of "
        f"{frames} frames (layers 0, computed in float16): it has no vector. What to do: check the encoder's weights, or the "
        "recording, and try --dtype float32"
    )


class Breaking:
    """An encoder that cannot take clips of some lengths."""

    def __init__(self, inner, error, lengths) -> None:
        self.inner, self.error, self.lengths = inner, error, lengths
        self.card, self.device = inner.card, inner.device

    def encode(self, waveforms, layers=None):
        if any(len(waveform) in self.lengths for waveform in waveforms):
            raise self.error
        return self.inner.encode(waveforms, layers)


CPU_MEMORY = RuntimeError("[enforce fail at alloc_cpu.cpp:126] data. DefaultCPUAllocator: can't allocate memory: 9 bytes.")


@pytest.mark.parametrize("batch_seconds", [None, 1000.0])
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KeyError("hidden"), "KeyError: 'hidden'."),
        (CPU_MEMORY, f"There is not enough memory for it ({CPU_MEMORY})."),
        (MemoryError(), "There is not enough memory for it (MemoryError)."),
    ],
)
def test_a_clip_that_breaks_the_encoder_is_a_row(small_corpus, mfcc, batch_seconds, error, reason) -> None:
    utterances, tokens = small_corpus
    bad = utterances[3]
    found = extract(
        Breaking(mfcc, error, {length_of(bad)}), utterances, tokens, progress=False, workers=1, batch_seconds=batch_seconds
    )
    assert [(failure.item, failure.reason) for failure in found.failures] == [(bad.id, reason)]
    clean = by_token(extract(mfcc, utterances, tokens, progress=False))
    others = by_token(found)
    assert set(others) == set(tokens.loc[tokens["utterance"] != bad.id, "token"])
    for token, vector in others.items():
        np.testing.assert_array_equal(vector, clean[token])
    assert f"embeddings: {bad.id}\nTraceback (most recent call last):" in log_path().read_text(encoding="utf-8")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_what_concerns_every_recording_stops(small_corpus, mfcc, error) -> None:
    utterances, tokens = small_corpus
    with pytest.raises(type(error)):
        extract(Breaking(mfcc, error, {length_of(utterances[3])}), utterances, tokens, progress=False)


def test_a_recording_that_broke_is_tried_again_and_the_others_are_kept(small_corpus, mfcc, tmp_path) -> None:
    utterances, tokens = small_corpus
    broken = extract(Breaking(mfcc, MemoryError(), {length_of(utterances[3])}), utterances, tokens, progress=False, out=tmp_path)
    assert len(broken.failures) == 1 and EmbeddingStore(tmp_path).status()[0].state == "complete"
    whole = extract(mfcc, utterances, tokens, progress=False, out=tmp_path)
    assert whole.failures == [] and len(whole.embeddings) == len(tokens)


def test_tokens_cut_out_of_the_audio_fail_alone(small_corpus, mfcc) -> None:
    utterances, tokens = small_corpus
    utterance = utterances[0]
    rows = tokens[tokens["utterance"] == utterance.id]
    lengths = [round(end * 16000) - round(start * 16000) for start, end in zip(rows["start"], rows["end"], strict=True)]
    order = np.argsort(lengths)
    first, second = int(order[-1]), int(order[-2])
    assert len({lengths[first], lengths[second], *lengths}) == len(lengths)
    encoder = Changed(
        Breaking(mfcc, ValueError("odd length"), {lengths[first]}), lambda states: states * torch.nan, {lengths[second]}
    )
    found = extract(encoder, [utterance], rows, slicing="audio", progress=False)
    names = rows["token"].tolist()
    reasons = {failure.item: failure.reason for failure in found.failures}
    assert reasons[f"{utterance.id} token {names[first]}"] == "ValueError: odd length."
    assert reasons[f"{utterance.id} token {names[second]}"] == (
        "mfcc gives values that are NaN or infinite for it, computed in float16"
    )
    assert not {names[first], names[second]} & set(found.embeddings.tokens["token"])


class Module:
    """A semantic module that sits on every encoder; ``change`` makes its vector of the states."""

    def __init__(self, change) -> None:
        self.change = change
        self.card = SemanticsCard(name="module", source="frames", dims=4, revision="1")

    def from_states(self, states, host):
        return self.change(states)


def too_long(states):
    if states.shape[1] > 100:
        raise SemanticsError("The utterance lasts 1.1 s; the module takes at most 1 s. Cut the recording at its pauses.")
    return torch.ones(4)


def test_a_vector_that_a_module_does_not_give_is_a_row(small_corpus, mfcc) -> None:
    utterances, tokens = small_corpus
    found = extract(mfcc, utterances, tokens, progress=False, semantics=[Module(too_long)])
    lost = [one.id for one in utterances if found.embeddings.frames.n_frames[utterances.index(one)] > 100]
    assert lost and [failure.item for failure in found.failures] == lost
    assert found.failures[0] == Failure(
        "semantics",
        lost[0],
        "The utterance lasts 1.1 s; the module takes at most 1 s. Cut the recording at its pauses.",
        "leave it out",
    )
    assert set(found.semantics["module"].utterances) == {one.id for one in utterances} - set(lost)

    odd = lambda states: torch.full((4,), torch.nan if states.shape[1] > 100 else 1.0)  # noqa: E731
    found = extract(mfcc, utterances, tokens, progress=False, semantics=[Module(odd)])
    assert [(failure.item, failure.reason) for failure in found.failures] == [
        (name, "The module module gives a vector with NaN or infinite values.") for name in lost
    ]
    assert np.isfinite(found.semantics["module"].vectors).all()


def features(folder, utterances, shape):
    folder.mkdir()
    for number, utterance in enumerate(utterances):
        np.save(folder / f"{utterance.id}.npy", np.random.default_rng(number).normal(size=shape(utterance)).astype("float32"))
    return load_encoder(f"features:{folder}?rate=50", device="cpu")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_one_bad_frame_of_features_costs_its_tokens_only(small_corpus, tmp_path, value) -> None:
    utterances, tokens = small_corpus
    encoder = features(tmp_path / "frames", utterances, lambda one: (round(50 * one.duration), 8))
    good = by_token(extract(encoder, utterances, tokens, progress=False))
    known = tokens[tokens["token"].isin(list(good))]
    first = known.iloc[0]
    file = tmp_path / "frames" / f"{first['utterance']}.npy"
    array = np.load(file)
    frame = next(one for one in range(len(array)) if first["start"] <= (one + 0.5) / 50 < first["end"])
    array[frame, 3] = value
    np.save(file, array)
    found = extract(load_encoder(f"features:{file.parent}?rate=50", device="cpu"), utterances, tokens, progress=False)
    centre = (frame + 0.5) / 50
    lost = known[(known["utterance"] == first["utterance"]) & (known["start"] <= centre) & (known["end"] > centre)]["token"]
    [row] = [failure for failure in found.failures if failure.item == first["utterance"]]
    assert row.reason == (
        f"{encoder.card.name} gives values that are NaN, infinite or too large in 1 of {len(array)} frames (layers 0, computed in "
        f"float32): {len(lost)} of its tokens have no vector"
    )
    vectors = by_token(found)
    assert set(good) - set(vectors) == set(lost) and 0 < len(lost) < (known["utterance"] == first["utterance"]).sum()
    assert all(np.array_equal(vectors[token], good[token]) for token in vectors)


def test_features_that_fit_no_recording_stop_the_run(small_corpus, tmp_path) -> None:
    utterances, tokens = small_corpus
    at_100 = features(tmp_path / "fast", utterances, lambda one: (round(100 * one.duration), 8))
    with pytest.raises(EncoderError) as caught:
        extract(at_100, utterances, tokens, progress=False)
    frames, duration = round(100 * utterances[0].duration), utterances[0].duration
    assert str(caught.value) == (
        f"{at_100.card.name} gave not one vector. The first failure, u000: u000.npy has {frames} frames, {frames / 50:.2f} s at 50 "
        f"frames per second; the audio lasts {duration:.2f} s. What to do: check the rate, or whether the file belongs to this "
        "recording"
    )
    across = features(tmp_path / "across", utterances, lambda one: (8, round(50 * one.duration)))
    with pytest.raises(EncoderError, match=r"gave not one vector\. The first failure, u000: "):
        extract(across, utterances, tokens, progress=False)
