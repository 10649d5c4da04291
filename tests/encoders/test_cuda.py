"""What runs on an accelerator, where there is one: the same vectors as on the processor, in every precision offered there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from analysis.encoders import load_encoder
from analysis.encoders.load import choose_device
from analysis.encoders.packing import padded_attention
from analysis.encoders.precision import has_bfloat16
from tests.encoders.conftest import FAMILY_CONFIGS
from tests.reference.hidden_states import one_clip_states

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


@pytest.fixture
def without_tf32():
    """Float32 as float32: TensorFloat-32 keeps ten bits of a product's inputs."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def largest_error(found: torch.Tensor, expected: np.ndarray) -> float:
    found = found.cpu().numpy().astype(np.float64)
    assert found.shape == expected.shape
    return float((np.linalg.norm(found - expected, axis=-1) / np.linalg.norm(expected, axis=-1)).max())


@needs_cuda
@pytest.mark.usefixtures("without_tf32")
@pytest.mark.parametrize("family", FAMILY_CONFIGS)
def test_every_family_equals_the_one_clip_result(
    family: str, model_folder: Callable[[str], Path], clips: list[np.ndarray]
) -> None:
    folder = model_folder(family)
    encoder = load_encoder(str(folder), device="cuda")
    alone = [encoder.encode([clip])[0] for clip in clips]
    for found in (encoder.encode(clips), encoder.encode(clips[::-1])[::-1], alone):
        for states, clip in zip(found, clips, strict=True):
            assert states.device.type == "cuda"
            assert largest_error(states, one_clip_states(folder, clip)) < 2e-5


@needs_cuda
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("family", ["wav2vec2", "hubert-large", "wavlm", "whisper"])
def test_half_precision_under_autocast(
    family: str, dtype: str, model_folder: Callable[[str], Path], clips: list[np.ndarray]
) -> None:
    if dtype == "bfloat16" and not has_bfloat16(torch.device("cuda")):
        pytest.skip("this device has no bfloat16")
    folder = model_folder(family)
    encoder = load_encoder(str(folder), device="cuda", dtype=dtype)
    for states, clip in zip(encoder.encode(clips[:3]), clips, strict=False):
        assert states.dtype == torch.float32
        assert 1e-6 < largest_error(states, one_clip_states(folder, clip)) < (0.1 if dtype == "bfloat16" else 0.02)


@needs_cuda
def test_extraction_gives_the_vectors_of_the_processor(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    import pandas as pd

    from analysis.embeddings import extract
    from tests.embeddings.conftest import write_corpus

    utterances, rows = write_corpus(tmp_path, 5)
    tokens = pd.DataFrame(rows)
    for pooling in ("mean", "parts", "max", "medoid"):
        there, here = (
            extract(load_encoder(str(model_folder("hubert")), device=device), utterances, tokens, pooling=pooling, progress=False)
            for device in ("cuda", "cpu")
        )
        gap = np.linalg.norm(there.embeddings.vectors - here.embeddings.vectors, axis=-1)
        assert (gap <= 5e-3 * np.linalg.norm(here.embeddings.vectors, axis=-1)).all()  # TensorFloat-32 is left as the user has it


# -------------------------------------------------------------------------------------- what the same code does on a processor


@pytest.mark.parametrize("lengths", [(5,), (49, 1, 17), (3, 3, 3, 3)])
def test_masked_attention_equals_attention_clip_by_clip(lengths: tuple[int, ...]) -> None:
    """The form that accelerators run, run here."""
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 1, 4, sum(lengths), 8).unbind(0)
    found = padded_attention(query, key, value, lengths, 0.3)
    first = 0
    for length in lengths:
        for head in range(4):
            clip = slice(first, first + length)
            weights = torch.softmax(0.3 * query[0, head, clip] @ key[0, head, clip].T, dim=1)
            torch.testing.assert_close(found[0, clip, head], weights @ value[0, head, clip], rtol=1e-5, atol=1e-6)
        first += length


def test_auto_is_the_accelerator_where_there_is_one() -> None:
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    if not torch.cuda.is_available():
        from analysis.errors import ConfigurationError

        with pytest.raises(ConfigurationError, match=r"Device 'cuda' was asked for and is not present\. Use --device auto"):
            choose_device("cuda")
