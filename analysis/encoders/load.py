"""From an encoder's name to the encoder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from analysis.encoders.frameworks import FRAMEWORKS
from analysis.encoders.specification import EncoderSpec, parse_spec
from analysis.errors import AnalysisError, ConfigurationError, EncoderError
from analysis.extensions import ENCODERS, load_extension

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
    # baselines without a model, and encoders of other packages, compute as they were made, whatever is asked
    if hasattr(encoder, "model") and parsed.kind != "extension":
        # WavLM hands the weights of its attention to one function: they stay tensors.
        keep = ("attention",) if encoder.card.family == "wavlm" else ()
        encoder.precision = apply_precision(encoder.model, precision, keep)
    return encoder


def check_encoder(spec: str, *, device: str | torch.device = "auto", dtype: str = "float32", revision: str | None = None) -> None:
    """Raise for what cannot be loaded and run as asked, before hours of other work: load it and encode half a second.

    Of the bundled encoder the file's hash is looked at and nothing is loaded, so that a run whose vectors are all in the cache
    stays quick.

    Raises
    ------
    ConfigurationError, EncoderError
        As :func:`load_encoder`; also if what comes out of half a second of noise is not finite.
    """
    from analysis.encoders.precision import resolve_precision

    parsed = parse_spec(spec)
    resolve_precision(dtype, choose_device(device))
    if parsed.kind == "bundled":
        from analysis.encoders.bundled import bundled_path

        parsed.allow("padded")
        _padded(parsed)
        bundled_path()
        return
    if parsed.kind == "features":  # all files are hashed when they are opened: that can wait
        from analysis.encoders.precomputed import PrecomputedFrames

        PrecomputedFrames.look(Path(parsed.target))
        _rate_of_features(parsed)
        return
    encoder = load_encoder(spec, device=device, dtype=dtype, revision=revision)
    _try_encoder(encoder)


def _try_encoder(encoder: Encoder) -> None:
    """Encode half a second of noise; raise where that fails or gives numbers that are not finite."""
    import numpy as np
    import torch

    card = encoder.card
    noise = np.random.default_rng(0).standard_normal(max(card.sampling_rate // 2, card.receptive_field))
    try:
        [states] = encoder.encode([(0.1 * noise).astype(np.float32)])
    except AnalysisError:
        raise
    except Exception as error:  # what a model's own code raises for settings that contradict its weights
        raise EncoderError(
            f"{card.name} was loaded and fails on half a second of noise ({type(error).__name__}: "
            f"{(str(error).strip().splitlines() or ['no reason given'])[0]}). Its config.json or its preprocessor is of another model, or "
            f"the memory is too small."
        ) from error
    finite = torch.isfinite(states).flatten(1).all(dim=1).tolist()
    if not all(finite):
        which = [card.layer_name(layer) for layer, good in enumerate(finite) if not good]
        raise EncoderError(
            f"{card.name} gives numbers that are not finite for half a second of noise, in layer {', '.join(which)} "
            f"({encoder.precision}). Its weights are damaged or overflow in this format; fetch them again, or use --dtype float32."
        )


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
    extractor, warning = load_preprocessor(spec.target, revision)
    model, found = load_model(spec.target, revision)
    if model.config.model_type == "whisper":
        encoder: Encoder = WhisperFrames(model.to(device), extractor, name=spec.text, revision=found, padded=_padded(spec))
    else:
        encoder = TransformersFrames(model.to(device), extractor, name=spec.text, revision=found)
    encoder.warnings = (warning,) if warning else ()
    return encoder


def _build_random(spec: EncoderSpec, device: torch.device, revision: str | None) -> Encoder:
    from analysis.encoders.bundled import bundled_extractor, bundled_model
    from analysis.encoders.pretrained import TransformersFrames, empty_model, load_preprocessor
    from analysis.encoders.state_dicts import digest
    from analysis.encoders.whisper import WhisperFrames

    inner = parse_spec(spec.target)
    inner.allow("seed", "revision", "padded")
    seed, revision = _seed(inner), inner.option("revision", default=revision)
    if inner.kind == "bundled":
        model, extractor, warning = bundled_model(seed), bundled_extractor(), None
    elif inner.kind == "pretrained":
        extractor, warning = load_preprocessor(inner.target, revision, weights=False)
        model, _ = empty_model(inner.target, revision, seed)
    else:
        raise ConfigurationError(f"Encoder {spec.text!r}: {inner.kind} has no weights to re-initialise.")
    card = {"name": spec.text, "revision": digest(model.state_dict()), "weights": "random"}
    if model.config.model_type == "whisper":
        encoder: Encoder = WhisperFrames(model.to(device), extractor, padded=_padded(inner), **card)
    else:
        encoder = TransformersFrames(model.to(device), extractor, **card)
    encoder.warnings = (warning,) if warning else ()
    return encoder


def _build_spectral(spec: EncoderSpec, device: torch.device, revision: str | None) -> Encoder:
    from analysis.encoders.spectral import SpectralFrames

    spec.allow()
    return SpectralFrames(spec.kind, device)


def _build_features(spec: EncoderSpec, device: torch.device, revision: str | None) -> Encoder:
    from analysis.encoders.precomputed import PrecomputedFrames

    rate, first = _rate_of_features(spec)
    return PrecomputedFrames(Path(spec.target), rate, first=first, name=spec.text, device=device)


def _rate_of_features(spec: EncoderSpec) -> tuple[float, float | None]:
    """Frames per second, and the time of the first frame's centre where it was given, s."""
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
    return numbers


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


def _build_extension(spec: EncoderSpec, device: torch.device, revision: str | None) -> Encoder:
    """An encoder of another package: its options are handed on by name."""
    from analysis.encoders.types import EncoderCard

    name = spec.text.partition("?")[0].partition(":")[0]
    make = load_extension(ENCODERS, name)
    if make is None:
        raise ConfigurationError(f"There is no encoder {name!r}.")
    options = dict(spec.options) | ({"revision": revision} if revision is not None else {})
    try:
        encoder = make(spec.target, device=device, **options)
    except TypeError as error:
        raise ConfigurationError(
            f"Encoder {spec.text!r}: the package that announces {name!r} does not take this ({error})."
        ) from error
    if not (isinstance(getattr(encoder, "card", None), EncoderCard) and callable(getattr(encoder, "encode", None))):
        raise ConfigurationError(
            f"Encoder {spec.text!r}: the package that announces {name!r} gave a {type(encoder).__name__} without an EncoderCard as card "
            "and a method encode(waveforms, layers)."
        )
    return encoder


_BUILDERS = {
    "extension": _build_extension,
    "bundled": _build_bundled,
    "random": _build_random,
    "mfcc": _build_spectral,
    "logmel": _build_spectral,
    "features": _build_features,
    **dict.fromkeys(FRAMEWORKS, _build_checkpoint),
}
