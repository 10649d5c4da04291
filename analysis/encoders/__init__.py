"""Speech encoders: waveforms in, frames of every layer out, each with a card that says what its numbers mean."""

from __future__ import annotations

from analysis.encoders.load import load_encoder
from analysis.encoders.types import Encoder, EncoderCard

__all__ = ["Encoder", "EncoderCard", "load_encoder"]
