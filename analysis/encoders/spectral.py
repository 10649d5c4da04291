"""Baselines without a model: log-mel and MFCC frames, the floor that every table should show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from analysis.encoders.types import EncoderCard
from analysis.encoders.waveforms import check_layers, check_waveform
from analysis.timebase import FrameGrid

__all__ = ["SpectralFrames"]

_RATE, _WINDOW, _HOP, _FFT = 16000, 400, 160, 512
# Far below any recording's noise, so that digital silence has a logarithm.
_FLOOR = 1e-10


class SpectralFrames:
    """Log-mel or MFCC frames: 25 ms Hann windows every 10 ms, nothing padded.

    Parameters
    ----------
    kind : {"logmel", "mfcc"}
        ``logmel``: natural logarithm of 80 mel bands (0 to 8 kHz, HTK scale), less its mean over the clip.
        ``mfcc``: 13 cepstra of 40 bands with first and second differences over two frames to either side, each of the 39 brought
        to zero mean and unit variance over the clip.
    device : torch.device
    """

    precision = "float32"

    def __init__(self, kind: str, device: torch.device) -> None:
        from transformers.audio_utils import mel_filter_bank

        self.kind, self.device = kind, device
        bands = 80 if kind == "logmel" else 40
        bank = mel_filter_bank(_FFT // 2 + 1, bands, 0.0, _RATE / 2, _RATE, norm=None, mel_scale="htk")
        self._bank = torch.from_numpy(bank).float().to(device)
        self._window = torch.hann_window(_WINDOW, device=device)
        self._cosines = _dct(13, bands).to(device)
        self.card = EncoderCard(
            name=kind,
            family=kind,
            revision="1",
            dims=bands if kind == "logmel" else 39,
            layers=1,
            grid=FrameGrid(_HOP, _WINDOW // 2, _RATE),
            receptive_field=_WINDOW,
            normalization="clip mean removed" if kind == "logmel" else "zero mean, unit variance per coefficient and clip",
            layer_meaning="layer 0 is the only one: the frames themselves",
            weights="none",
        )

    @torch.inference_mode()
    def encode(self, waveforms: Sequence[np.ndarray], layers: Sequence[int] | None = None) -> list[torch.Tensor]:
        """One tensor ``(1, frames, dims)`` per waveform; see :class:`analysis.encoders.types.Encoder`."""
        check_layers(layers, self.card)
        return [self._frames(check_waveform(waveform, self.card))[None] for waveform in waveforms]

    def _frames(self, waveform: np.ndarray) -> torch.Tensor:
        framed = torch.from_numpy(waveform).to(self.device).unfold(0, _WINDOW, _HOP) * self._window
        power = torch.fft.rfft(framed, n=_FFT).abs().square()
        mel = (power @ self._bank).clamp_min(_FLOOR).log()
        if self.kind == "logmel":
            return mel - mel.mean(dim=0)
        cepstra = mel @ self._cosines.T
        first = _difference(cepstra)
        joined = torch.cat([cepstra, first, _difference(first)], dim=1)
        centred = joined - joined.mean(dim=0)
        return centred / centred.square().mean(dim=0).sqrt().clamp_min(1e-3)


def _dct(count: int, bands: int) -> torch.Tensor:
    """The first ``count`` rows of the orthonormal DCT-II over ``bands`` values."""
    from scipy.fft import dct

    return torch.from_numpy(dct(np.eye(bands), norm="ortho", axis=0)[:count]).float()


def _difference(frames: torch.Tensor, reach: int = 2) -> torch.Tensor:
    """Slope of a line fitted over ``reach`` frames to either side; the ends are repeated beyond themselves."""
    count = len(frames)
    index = torch.arange(count, device=frames.device)
    slope = torch.zeros_like(frames)
    for step in range(1, reach + 1):
        slope += step * (frames[(index + step).clamp_max(count - 1)] - frames[(index - step).clamp_min(0)])
    return slope / (2 * sum(step * step for step in range(1, reach + 1)))
