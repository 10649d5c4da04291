"""Frames of tokens as they are: those that pooling averages, of the tokens asked for and no others."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.corpus import read_audio
from analysis.embeddings import extract, token_frames
from analysis.encoders import load_encoder
from analysis.errors import EncoderError
from tests.encoders.conftest import write_model
from tests.reference.hidden_states import one_clip_states


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small wav2vec 2.0 model of random weights."""
    return write_model("wav2vec2", tmp_path_factory.mktemp("models") / "wav2vec2")


def test_frames_are_those_whose_centres_lie_in_the_token(folder, small_corpus):
    utterances, tokens = small_corpus
    wanted = tokens[tokens["utterance"].isin([one.id for one in utterances[:3]])]
    wanted = wanted[wanted["end"] - wanted["start"] > 0.05].sample(frac=1, random_state=1)  # in no order, with gaps in its index
    found = token_frames(load_encoder(str(folder), device="cpu"), utterances, wanted, layers=[0, 2], progress=False)
    assert list(found) == [0, 2] and {len(of_layer) for of_layer in found.values()} == {len(wanted)}
    by_name = {one.id: one for one in utterances}
    for place, token in enumerate(wanted.itertuples()):
        states = one_clip_states(folder, read_audio(by_name[token.utterance], sampling_rate=16000))
        inside = [frame for frame in range(states.shape[1]) if token.start <= (200 + 320 * frame) / 16000 < token.end]
        for layer, of_layer in found.items():
            assert of_layer[place].dtype == np.float32 and of_layer[place].base.nbytes == 2 * of_layer[place].nbytes
            np.testing.assert_allclose(of_layer[place], states[layer, inside], atol=1e-5)


@pytest.mark.parametrize("slicing", ["feature", "audio"])
def test_their_mean_is_the_pooled_vector(mfcc, small_corpus, slicing):
    pooled = extract(mfcc, *small_corpus, slicing=slicing, progress=False).embeddings
    found = token_frames(mfcc, small_corpus[0], pooled.tokens, slicing=slicing, progress=False)
    assert [len(frames) for frames in found[0]] == pooled.tokens["n_frames"].tolist()
    np.testing.assert_allclose([frames.mean(axis=0) for frames in found[0]], pooled.layer(0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("slicing", ["feature", "audio"])
def test_a_token_without_a_frame_is_an_error_that_names_it(mfcc, small_corpus, slicing):
    utterances, tokens = small_corpus
    short = tokens.iloc[:3].assign(end=tokens["start"].iloc[:3])
    with pytest.raises(EncoderError, match=r"u000 token 0 has no frames in mfcc: .*Leave the token out, or check the alignment"):
        token_frames(mfcc, utterances, short, slicing=slicing, progress=False)
