"""Speech encoders: waveforms in, frames of every layer out, each with a card that says what its numbers mean."""

from __future__ import annotations

from analysis.encoders.deferred import deferred_encoder
from analysis.encoders.load import check_encoder, load_encoder
from analysis.encoders.types import Encoder, EncoderCard

__all__ = ["Encoder", "EncoderCard", "check_encoder", "deferred_encoder", "load_encoder"]
