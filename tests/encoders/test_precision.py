"""Every kernel that a processor may be given, against the plain one; every precision within the error that it states."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from analysis.encoders import load_encoder, packing, precision, products, windows
from analysis.encoders.precision import PRECISIONS, resolve_precision
from analysis.encoders.products import Int8Product, OneDnnProduct, has_bfloat16, has_onednn
from analysis.encoders.windows import GroupedConvolution, NormalisedConvolution, WindowConvolution
from analysis.errors import ConfigurationError
from tests.encoders.conftest import FAMILY_CONFIGS
from tests.reference.hidden_states import one_clip_states

CPU = torch.device("cpu")
needs_onednn = pytest.mark.skipif(not has_onednn(), reason="this torch or processor has no oneDNN products")
needs_bfloat16 = pytest.mark.skipif(not has_bfloat16(CPU), reason="this processor has no bfloat16 arithmetic")


def relative(found, expected) -> float:
    """Largest relative L2 difference of a row."""
    found, expected = np.asarray(found, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    assert found.shape == expected.shape
    return float((np.linalg.norm(found - expected, axis=-1) / np.linalg.norm(expected, axis=-1)).max())


@pytest.fixture
def long_clips(clips: list[np.ndarray]) -> list[np.ndarray]:
    """Clips among which one is long enough for attention by products."""
    rng = np.random.default_rng(2)
    return [(0.1 * rng.standard_normal(56000) + 0.02).astype(np.float32), clips[1]]


# ------------------------------------------------------------------------------------------------------------------- kernels


@pytest.fixture(params=[None, 200], ids=["whole", "blocks"])
def in_blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short clips in one block of windows, and in as many as hours would be divided into."""
    if request.param:
        monkeypatch.setattr(windows, "_BLOCK", request.param)


@needs_onednn
@pytest.mark.usefixtures("in_blocks")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("kernel", "stride"), [(10, 5), (3, 2), (2, 2), (3, 1)])
def test_convolution_by_windows(kernel: int, stride: int, bias: bool) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv1d(6, 8, kernel, stride, bias=bias).requires_grad_(False)
    hidden = torch.randn(1, 6, 101)
    for gelu in (False, True):
        ours = WindowConvolution(convolution, OneDnnProduct, gelu=gelu, dtype=torch.float32, out=torch.float32)(hidden)
        expected = nn.functional.gelu(convolution(hidden)) if gelu else convolution(hidden)
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)


@needs_onednn
@pytest.mark.usefixtures("in_blocks")
@pytest.mark.parametrize("offset", [0.0, 0.5])
@pytest.mark.parametrize("gain", [1e-3, 1.0])
def test_group_norm_folded_into_the_first_convolution(gain: float, offset: float) -> None:
    torch.manual_seed(0)
    convolution, norm = nn.Conv1d(1, 16, 10, 5).requires_grad_(False), nn.GroupNorm(16, 16)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2.0)
        norm.bias.normal_()
    waveform = gain * torch.randn(1, 1, 4003) + offset * gain
    wide = nn.functional.group_norm(
        nn.functional.conv1d(waveform.double(), convolution.weight.double(), convolution.bias.double(), 5),
        16, norm.weight.double(), norm.bias.double(), norm.eps,
    )  # fmt: skip
    for gelu in (False, True):
        ours = NormalisedConvolution(convolution, norm, gelu=gelu, dtype=torch.float32)(waveform)
        expected = nn.functional.gelu(wide) if gelu else wide
        torch.testing.assert_close(ours.double(), expected.detach(), rtol=1e-5, atol=2e-6)


@needs_onednn
@pytest.mark.usefixtures("in_blocks")
@pytest.mark.parametrize("stride", [1, 2])
def test_grouped_convolution_with_weight_norm(stride: int) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv1d(32, 32, 16, stride, padding=8, groups=4).requires_grad_(False)
    convolution = nn.utils.parametrizations.weight_norm(convolution, name="weight", dim=2)
    hidden = torch.randn(1, 32, 57)
    with torch.no_grad():
        torch.testing.assert_close(
            GroupedConvolution(convolution, torch.float32)(hidden), convolution(hidden), rtol=1e-5, atol=1e-6
        )


@needs_onednn
def test_the_fused_gelu_is_the_exact_one() -> None:
    values = torch.linspace(-12, 12, 4801)[:, None]
    ours = OneDnnProduct(torch.ones(1, 1), None, gelu=True)(values).double()
    exact = 0.5 * values.double() * (1 + torch.erf(values.double() / 2**0.5))
    assert (ours - exact).abs().max() < 2e-6
    tanh = nn.functional.gelu(values.double(), approximate="tanh")
    assert (tanh - exact).abs().max() > 1e-4  # the approximation would show


def test_eight_bits_do_not_overflow_at_the_extremes() -> None:
    """All inputs and weights at their largest: where a kernel's short sums saturate, the result is far off."""
    weight = torch.full((4, 512), 0.1)
    weight[1] *= -1
    found = Int8Product(weight, torch.tensor([0.0, 0.0, 1.0, -1.0]))(torch.ones(3, 512))
    np.testing.assert_allclose(found.numpy(), np.tile([51.2, -51.2, 52.2, 50.2], (3, 1)), rtol=1e-3)


def test_eight_bits_keep_a_small_output_beside_a_large_one() -> None:
    """One scale per output: a row of small weights is not rounded to nothing by a row of large ones."""
    torch.manual_seed(0)
    weight = torch.randn(2, 256) * torch.tensor([[1e-4], [10.0]])
    rows = torch.randn(50, 256)
    error = relative(Int8Product(weight, None)(rows).T, (rows @ weight.T).T)
    assert error < 0.03


# --------------------------------------------------------------------------------------------------------------- whole models


@pytest.mark.parametrize("choice", ["plain", "convolutions", "everything"])
@pytest.mark.parametrize("family", ["wav2vec2", "hubert-large", "data2vec-audio", "wavlm", "sew"])
def test_every_choice_of_kernels_is_exact(
    family: str,
    choice: str,
    model_folder: Callable[[str], Path],
    long_clips: list[np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What other processors would be given is run here too."""
    if choice != "plain" and not has_onednn():
        pytest.skip("this torch or processor has no oneDNN products")
    monkeypatch.setattr(precision, "has_onednn", lambda: choice != "plain")
    for module in (precision, packing):
        monkeypatch.setattr(module, "prefers_onednn", lambda: choice == "everything")
    folder = model_folder(family)
    encoder = load_encoder(str(folder), device="cpu")
    replaced = {type(module).__name__ for module in encoder.model.modules()}
    assert ("GroupedConvolution" in replaced) == (choice != "plain")
    assert (type(encoder.model.encoder.layers[0].feed_forward.output_dense) is OneDnnProduct) == (choice == "everything")
    for states, clip in zip(encoder.encode(long_clips), long_clips, strict=True):
        assert relative(states, one_clip_states(folder, clip)) < 1e-5


@pytest.mark.parametrize("family", FAMILY_CONFIGS)
@pytest.mark.parametrize(
    ("dtype", "largest"),
    [
        pytest.param("bfloat16", 0.05, marks=needs_bfloat16),
        pytest.param("int8", 0.15, marks=needs_bfloat16),
        ("int8-alone", 0.25),
    ],
)
def test_every_family_runs_in_fewer_bits_within_its_error(
    family: str,
    dtype: str,
    largest: float,
    model_folder: Callable[[str], Path],
    clips: list[np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Mean error over frames and layers; small random models are harder on short formats than trained ones of full size."""
    if dtype == "int8-alone":  # a processor without bfloat16
        monkeypatch.setattr(precision, "has_bfloat16", lambda device: False)
    encoder = load_encoder(str(model_folder(family)), device="cpu", dtype=dtype.partition("-")[0])
    exact = load_encoder(str(model_folder(family)), device="cpu")
    for found, expected in zip(encoder.encode(clips[:3]), exact.encode(clips[:3]), strict=True):
        assert found.dtype == torch.float32
        error = ((found - expected).norm(dim=2) / expected.norm(dim=2)).mean()
        assert 1e-5 < error < largest, f"{family}: {error:.3f}"


# ---------------------------------------------------------------------------------------------------------- names and provenance


def test_precisions_that_a_device_lacks_are_refused_with_what_to_use(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ConfigurationError, match=r"dtype 'half' is not known\. Choose one of float32, bfloat16, float16, int8, fastest"
    ):
        resolve_precision("half", CPU)
    with pytest.raises(ConfigurationError, match=r"float16 is for accelerators; on a processor use float32, bfloat16 or int8"):
        resolve_precision("float16", CPU)
    with pytest.raises(ConfigurationError, match=r"int8 is for processors; on cuda use float32, bfloat16 or float16"):
        resolve_precision("int8", torch.device("cuda"))
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: False)
    with pytest.raises(ConfigurationError, match=r"bfloat16 needs a processor with avx512_bf16 or AMX.* Use float32 or int8"):
        resolve_precision("bfloat16", CPU)
    assert resolve_precision("fastest", CPU) == "int8"
    assert resolve_precision("fastest", torch.device("cuda")) == "float16"


def test_the_processor_is_read_from_its_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    for flags, expected in (
        ("flags : avx512_bf16", True),
        ("flags : amx_bf16", True),
        ("Features : fp bf16", True),
        ("flags : avx2", False),
    ):
        monkeypatch.setattr(products, "_processor", lambda flags=flags: flags)
        monkeypatch.setattr(products, "_multiplies_in_bfloat16", lambda: True)
        assert has_bfloat16(CPU) == expected
        monkeypatch.setattr(products, "_multiplies_in_bfloat16", lambda: False)
        assert not has_bfloat16(CPU)


@needs_onednn
def test_what_onednn_may_not_use_is_not_used(model_folder: Callable[[str], Path]) -> None:
    """The processor may have bfloat16 and oneDNN be kept from it."""
    code = (
        "import sys, numpy, torch\n"
        "from analysis.encoders import load_encoder\n"
        "from analysis.encoders.products import has_bfloat16\n"
        "from analysis.errors import ConfigurationError\n"
        "print(has_bfloat16(torch.device('cpu')))\n"
        "for dtype in ('fastest', 'bfloat16'):\n"
        "    try:\n"
        "        encoder = load_encoder(sys.argv[1], device='cpu', dtype=dtype)\n"
        "        print(bool(encoder.encode([numpy.random.default_rng(0).normal(size=8000).astype('f')])[0].isfinite().all()))\n"
        "    except ConfigurationError as error:\n"
        "        print(error)\n"
    )
    limits = {"ATEN_CPU_CAPABILITY": "avx2", "DNNL_MAX_CPU_ISA": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    command = [sys.executable, "-c", code, str(model_folder("wav2vec2"))]
    found = subprocess.run(command, capture_output=True, text=True, env=os.environ | limits)
    assert found.stdout.splitlines() == [
        "False",
        "True",
        "dtype bfloat16 needs a processor with avx512_bf16 or AMX that oneDNN may use (ONEDNN_MAX_CPU_ISA can forbid it), or an "
        "accelerator; here it would only be emulated, many times slower than float32. Use float32 or int8.",
    ], found.stderr


def test_every_precision_has_a_line_of_help() -> None:
    from analysis.embeddings.__main__ import parser
    from analysis.settings import DecoupleConfig

    text = " ".join(parser().format_help().split())
    for name in PRECISIONS:
        assert name in text
        assert DecoupleConfig(dtype=name).dtype == name
