"""From an encoder's name to the encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.encoders.specification import EncoderSpec, parse_spec
from analysis.errors import ConfigurationError

if TYPE_CHECKING:
    import torch

    from analysis.encoders.types import Encoder

__all__ = ["choose_device", "load_encoder"]


def choose_device(device: str | torch.device = "auto") -> torch.device:
    """The device named, or for ``auto`` the first CUDA device where there is one and the processor where there is not.

    Raises
    ------
    ConfigurationError
        If the device is unknown or not present.
    """
    import torch

    if isinstance(device, torch.device):
        return device
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ConfigurationError(f"Device {device!r} is not known. Choose auto, cpu, cuda, cuda:1 or mps.") from error
    absent = (chosen.type == "cuda" and not torch.cuda.is_available()) or (
        chosen.type == "mps" and not torch.backends.mps.is_available()
    )
    if absent:
        raise ConfigurationError(f"Device {device!r} was asked for and is not present. Use --device auto or --device cpu.")
    return chosen


def load_encoder(
    spec: str, *, device: str | torch.device = "auto", dtype: str = "float32", revision: str | None = None
) -> Encoder:
    """The encoder named by ``spec``, ready to encode.

    Parameters
    ----------
    spec : str
        ``bundled`` (Whisper tiny.en), ``mfcc``, ``logmel``, ``random:SPEC``, ``features:DIR``, ``FRAMEWORK:CHECKPOINT``, a hub
        id, or a local folder; options follow a question mark (see :mod:`analysis.encoders.specification`).
    device : str or torch.device
        ``auto`` takes CUDA where there is one.
    dtype : str
        ``float32``.
    revision : str, optional
        Commit, tag or branch on the hub.

    Raises
    ------
    ConfigurationError
        If the specification, device or dtype is not known.
    EncoderError
        If the encoder cannot be found or loaded.
    """
    parsed = parse_spec(spec)
    if dtype != "float32":
        raise ConfigurationError(f"dtype {dtype!r} is not known. Choose float32.")
    return _BUILDERS.get(parsed.kind, _build_pretrained)(parsed, choose_device(device), dtype, revision)


def _build_bundled(spec: EncoderSpec, device: torch.device, dtype: str, revision: str | None) -> Encoder:
    from transformers import WhisperConfig, WhisperFeatureExtractor
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    from analysis.encoders.bundled import SHA256, bundled_weights
    from analysis.encoders.whisper import WhisperFrames

    spec.allow("padded")
    model = WhisperEncoder(
        WhisperConfig(d_model=384, encoder_layers=4, encoder_attention_heads=6, encoder_ffn_dim=1536, vocab_size=51864)
    )
    model.load_state_dict(bundled_weights(), strict=True)
    return WhisperFrames(
        model.to(device),
        WhisperFeatureExtractor(),
        name=spec.text,
        revision=SHA256,
        padded=spec.option("padded", ("yes", "no"), "no") == "yes",
    )


def _build_pretrained(spec: EncoderSpec, device: torch.device, dtype: str, revision: str | None) -> Encoder:
    raise ConfigurationError(spec.text)


_BUILDERS = {"bundled": _build_bundled}
