"""From an encoder's name to the encoder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from analysis.encoders.frameworks import FRAMEWORKS
from analysis.encoders.specification import EncoderSpec, parse_spec
from analysis.errors import ConfigurationError, EncoderError

if TYPE_CHECKING:
    import torch

    from analysis.encoders.types import Encoder

__all__ = ["check_encoder", "choose_device", "load_encoder"]


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
        A key of :data:`analysis.encoders.precision.PRECISIONS`: ``float32`` is exact; ``bfloat16``, ``float16``, ``int8`` and
        ``fastest`` trade accuracy for speed.
    revision : str, optional
        Commit, tag or branch on the hub.

    Raises
    ------
    ConfigurationError
        If the specification, device or dtype is not known.
    EncoderError
        If the encoder cannot be found or loaded.
    """
    from analysis.encoders.precision import apply_precision, resolve_precision

    parsed = parse_spec(spec)
    place = choose_device(device)
    precision = resolve_precision(dtype, place)
    encoder = _BUILDERS.get(parsed.kind, _build_pretrained)(parsed, place, revision)
    if hasattr(encoder, "model"):  # baselines without a model compute in float32 whatever is asked
        # WavLM hands the weights of its attention to one function: they stay tensors.
        keep = ("attention",) if encoder.card.family == "wavlm" else ()
        encoder.precision = apply_precision(encoder.model, precision, keep)
    return encoder


def check_encoder(spec: str, *, device: str | torch.device = "auto", dtype: str = "float32", revision: str | None = None) -> None:
    """Raise for what cannot be loaded as asked; reads no weights, so that it can be asked before hours of other work.

    Raises
    ------
    ConfigurationError, EncoderError
        As :func:`load_encoder`, if there is no such encoder on the hub or the disk, or the device cannot compute in ``dtype``.
    """
    from analysis.encoders.precision import resolve_precision

    parsed = parse_spec(spec)
    resolve_precision(dtype, choose_device(device))
    if parsed.kind == "random":
        parsed = parse_spec(parsed.target)
    if parsed.kind == "pretrained":
        from analysis.encoders.pretrained import load_preprocessor

        load_preprocessor(parsed.target, parsed.option("revision", default=revision))
    elif parsed.target and not Path(parsed.target).exists():
        raise EncoderError(f"Encoder {spec!r}: there is no {parsed.target}. Check the path.")


def _build_bundled(spec: EncoderSpec, device: torch.device, revision: str | None) -> Encoder:
    from analysis.encoders.bundled import SHA256, bundled_extractor, bundled_model, bundled_weights
    from analysis.encoders.whisper import WhisperFrames

    spec.allow("padded")
    model = bundled_model()
    model.load_state_dict(bundled_weights(), strict=True)
    return WhisperFrames(model.to(device), bundled_extractor(), name=spec.text, revision=SHA256, padded=_padded(spec))


def _build_pretrained(spec: EncoderSpec, device: torch.device, revision: str | None) -> Encoder:
    from analysis.encoders.pretrained import TransformersFrames, load_model, load_preprocessor
    from analysis.encoders.whisper import WhisperFrames

    spec.allow("revision", "padded")
    revision = spec.option("revision", default=revision)
    extractor = load_preprocessor(spec.target, revision)
    model, found = load_model(spec.target, revision)
    if model.config.model_type == "whisper":
        return WhisperFrames(model.to(device), extractor, name=spec.text, revision=found, padded=_padded(spec))
    return TransformersFrames(model.to(device), extractor, name=spec.text, revision=found)


def _build_random(spec: EncoderSpec, device: torch.device, revision: str | None) -> Encoder:
    from analysis.encoders.bundled import bundled_extractor, bundled_model
    from analysis.encoders.pretrained import TransformersFrames, empty_model, load_preprocessor
    from analysis.encoders.state_dicts import digest
    from analysis.encoders.whisper import WhisperFrames

    inner = parse_spec(spec.target)
    inner.allow("seed", "revision", "padded")
    seed, revision = _seed(inner), inner.option("revision", default=revision)
    if inner.kind == "bundled":
        model, extractor = bundled_model(seed), bundled_extractor()
    elif inner.kind == "pretrained":
        extractor = load_preprocessor(inner.target, revision)
        model, _ = empty_model(inner.target, revision, seed)
    else:
        raise ConfigurationError(f"Encoder {spec.text!r}: {inner.kind} has no weights to re-initialise.")
    card = {"name": spec.text, "revision": digest(model.state_dict()), "weights": "random"}
    if model.config.model_type == "whisper":
        return WhisperFrames(model.to(device), extractor, padded=_padded(inner), **card)
    return TransformersFrames(model.to(device), extractor, **card)


def _build_spectral(spec: EncoderSpec, device: torch.device, revision: str | None) -> Encoder:
    from analysis.encoders.spectral import SpectralFrames

    spec.allow()
    return SpectralFrames(spec.kind, device)


def _build_features(spec: EncoderSpec, device: torch.device, revision: str | None) -> Encoder:
    from analysis.encoders.precomputed import PrecomputedFrames

    spec.allow("rate", "first")
    rate, first = spec.option("rate"), spec.option("first")
    try:
        numbers = float(rate) if rate is not None else 0.0, float(first) if first is not None else None
    except ValueError:
        numbers = 0.0, None
    if not 0 < numbers[0] <= 1000 or (numbers[1] is not None and not 0 <= numbers[1] < 10):
        raise ConfigurationError(
            f"Encoder {spec.text!r} needs its frame rate, such as features:{spec.target}?rate=50 (frames per second, at most "
            f"1000); first=0.0125 gives the time of the first frame's centre in seconds (half a frame by default)."
        )
    return PrecomputedFrames(Path(spec.target), numbers[0], first=numbers[1], name=spec.text, device=device)


def _build_checkpoint(spec: EncoderSpec, device: torch.device, revision: str | None) -> Encoder:
    from analysis.encoders.checkpoint import load_checkpoint_encoder

    return load_checkpoint_encoder(spec, device, revision)


def _padded(spec: EncoderSpec) -> bool:
    return spec.option("padded", ("yes", "no"), "no") == "yes"


def _seed(spec: EncoderSpec) -> int:
    text = spec.option("seed", default="0")
    try:
        return int(text)
    except ValueError:
        raise ConfigurationError(f"Encoder {spec.text!r}: seed={text!r} is not a whole number.") from None


_BUILDERS = {
    "bundled": _build_bundled,
    "random": _build_random,
    "mfcc": _build_spectral,
    "logmel": _build_spectral,
    "features": _build_features,
    **dict.fromkeys(FRAMEWORKS, _build_checkpoint),
}
