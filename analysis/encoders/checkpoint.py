"""The speech encoder inside an animation framework's checkpoint, taken out and run as the framework runs it.

``faceformer:/path/vocaset.pth?base=facebook/wav2vec2-base-960h&data=vocaset&view=framework``

The base model says what the checkpoint's tensors are named and how large they are; the framework's row in
:data:`analysis.encoders.frameworks.FRAMEWORKS` says where they are kept, which of them training left alone, and what happens to
the frames.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from analysis.encoders.frameworks import FRAMEWORKS, Framework, FrameworkData
from analysis.encoders.packing import PerClip
from analysis.encoders.precision import autocast
from analysis.encoders.pretrained import TransformersFrames, empty_model, load_model, load_preprocessor
from analysis.encoders.specification import EncoderSpec
from analysis.encoders.state_dicts import digest, load_strictly, read_weights
from analysis.errors import CheckpointError, ConfigurationError
from analysis.timebase import FrameGrid

__all__ = ["VIEWS", "CheckpointFrames", "CheckpointReport", "find_encoder", "load_checkpoint_encoder", "paired", "resampled"]

_log = logging.getLogger(__name__)

#: What can be taken from a checkpoint.
VIEWS = {
    "native": "the encoder's own frames",
    "framework": "frames at the framework's rate, resampled, trimmed and paired as the framework does",
    "projected": "the framework's frames of the last layer after its projection layer",
}

_MARK = "feature_extractor.conv_layers.0.conv.weight"
_CONTAINERS = ("state_dict", "model", "model_state_dict", "net", "network", "ema")
# Half precision rounds to three digits: a checkpoint saved so is still the same weights.
_SAME = 2e-3


@dataclass(frozen=True)
class CheckpointReport:
    """What was found in a checkpoint.

    Attributes
    ----------
    framework, data, view : str
    container : tuple of str
        Keys gone through to reach the state dict.
    prefix : str
        What stood before the encoder's keys.
    as_described : bool
        Whether container and prefix are those of the framework's table.
    family, base, base_revision : str
    dims, layers : int
        Of the encoder inside.
    differences : mapping of str to float
        Largest relative difference from the base model of any tensor under each prefix that the framework keeps frozen.
    untouched : bool
        Whether all of those equal the base model's, to rounding.
    """

    framework: str
    data: str
    view: str
    container: tuple[str, ...]
    prefix: str
    as_described: bool
    family: str
    base: str
    base_revision: str
    dims: int
    layers: int
    differences: Mapping[str, float]
    untouched: bool

    def __str__(self) -> str:
        place = " -> ".join([*self.container, f"{self.prefix}*"])
        frozen = ", ".join(f"{name}* differs by {value:.1e}" for name, value in self.differences.items())
        verdict = "untouched" if self.untouched else "CHANGED: it was trained although the framework freezes it"
        return (
            f"{self.framework} on {self.data}: {self.family} of {self.layers} layers, {self.dims} dims at {place}"
            f"{'' if self.as_described else ' (not where the table expects it)'}; base {self.base} at {self.base_revision[:12]}; "
            f"frozen part {verdict} ({frozen})"
        )


class CheckpointFrames(TransformersFrames):
    """The encoder inside a checkpoint, in one of the :data:`VIEWS`.

    Parameters
    ----------
    model, extractor
        As for :class:`TransformersFrames`.
    report : CheckpointReport
    row : FrameworkData
        What the framework does with the frames.
    projection : nn.Module, optional
        For the view ``projected``.
    script : str
        ``test`` or ``predict``, where the framework's scripts differ in the number of faces; otherwise empty.
    name, revision : str
        For the card.
    """

    def __init__(
        self,
        model: nn.Module,
        extractor: Any,
        report: CheckpointReport,
        row: FrameworkData,
        projection: nn.Module | None,
        *,
        script: str = "",
        name: str,
        revision: str,
    ) -> None:
        super().__init__(model, extractor, name=name, revision=revision)
        self.report, self.row, self.projection, self.script = report, row, projection, script
        self._native = self.card
        if report.view == "native":
            return
        if row.resample == "before" or row.even == "before":
            inner = model.feature_extractor.module if self.packs else model.feature_extractor
            stepped = _FeaturesAtRate(inner, self._native.grid.rate, row)
            model.feature_extractor = PerClip(stepped, unit="samples", time=1, joined=2) if self.packs else stepped
        grid = _at_rate(self._native.grid, row.rate) if row.resample != "none" else self._native.grid
        dims = self._native.dims
        if row.paired:
            grid, dims = _paired_grid(grid), 2 * dims
        meaning = self._native.layer_meaning
        if self._native.final:
            meaning += " to the framework"
        layers = self._native.layers
        if projection is not None:
            dims, layers = _outputs(projection), 1
            meaning = f"layer 0 is the encoder's last hidden state after {row.projection}"
        how = [f"brought to {row.rate:g} frames per second {row.resample} the Transformer"] if row.resample != "none" else []
        how += [f"an odd last frame dropped {row.even} the Transformer"] if row.even else []
        how += ["neighbouring frames concatenated in pairs"] if row.paired else []
        how += [f"as many as its {script} script asks for"] if script else []
        self.card = replace(
            self._native,
            dims=dims,
            layers=layers,
            grid=grid,
            receptive_field=self._shortest(),
            layer_meaning=f"{meaning}; frames as {report.framework} has them on {row.name}: {', '.join(how) or 'unchanged'}",
            input_rate=self._native.grid.sampling_rate,
            final=self._native.final and projection is None,
        )

    def _shortest(self) -> int:
        """Samples of the shortest clip that leaves a frame."""
        native = self._native
        return next(
            samples
            for samples in range(native.receptive_field, native.receptive_field + 100 * native.grid.hop, native.grid.hop)
            if self._counts(samples)[2] > 0
        )

    def _counts(self, samples: int) -> tuple[int, int, int]:
        """Frames of the convolutions, after the rate step, and at the end, of a clip of ``samples``."""
        native, row, clock = super().frames(samples), self.row, self._native.grid.sampling_rate
        faces = max(int(samples / clock * row.fps) - (self.script == "predict"), 0)
        if row.resample == "none":
            count = native
        elif row.count == "round":
            count = round(samples / clock * row.rate)
        elif row.count == "video":
            count = 2 * faces
        else:
            count = int(native / self._native.grid.rate * row.rate)
        if row.even or row.paired:
            count -= count % 2
        final = count // 2 if row.paired else count
        return native, count, min(final, faces) if self.script else final

    def frames(self, samples: int) -> int:
        """Frames that the Transformer sees of a clip of ``samples``."""
        if self.report.view == "native" or "before" not in (self.row.resample, self.row.even):
            return super().frames(samples)
        return self._counts(samples)[1]

    def clip_grid(self, samples: int) -> FrameGrid:
        """Where the frames of a clip of ``samples`` lie.

        Interpolation from the first frame to the last (``align_corners``) spreads the frames evenly between the centres of both,
        so their spacing is a little over the nominal one and differs from clip to clip.
        """
        grid = self._native.grid
        if self.report.view == "native":
            return grid
        native, count, _ = self._counts(samples)
        if self.row.resample != "none" and count > 1:
            grid = FrameGrid(grid.hop * (native - 1), grid.first_center * (count - 1), grid.sampling_rate * (count - 1))
        return _paired_grid(grid) if self.row.paired else grid

    def encode(self, waveforms: Sequence[np.ndarray], layers: Sequence[int] | None = None) -> list[torch.Tensor]:
        """One tensor ``(len(layers), frames, dims)`` per waveform; see :class:`analysis.encoders.types.Encoder`."""
        with torch.inference_mode():
            clips = super().encode(waveforms, layers)
            if self.report.view == "native":
                return clips
            return [self._finished(states, len(waveform)) for states, waveform in zip(clips, waveforms, strict=True)]

    def _states(self, values: torch.Tensor, layers: tuple[int, ...]) -> torch.Tensor:
        if self.projection is None:
            return super()._states(values, layers)
        with autocast(self.device, self.precision):
            return self.model(values).last_hidden_state.float()

    def _finished(self, states: torch.Tensor, samples: int) -> torch.Tensor:
        """What the framework does to frames after the Transformer, of a clip of ``samples``."""
        row = self.row
        _, count, final = self._counts(samples)
        if row.resample == "after":
            states = resampled(states, count)
        if row.even or row.paired:
            states = states[:, : states.shape[1] - states.shape[1] % 2]
        if row.paired:
            states = paired(states)
        states = states[:, :final]
        return states if self.projection is None else self.projection(states)


class _FeaturesAtRate(nn.Module):
    """A convolution stack whose output is brought to a framework's rate before the Transformer sees it."""

    def __init__(self, stack: nn.Module, rate: float, row: FrameworkData) -> None:
        super().__init__()
        self.stack, self.rate, self.row = stack, rate, row

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """``(1, samples)`` to ``(1, channels, frames)``."""
        features = self.stack(waveform)
        if self.row.resample == "before":
            count = int(features.shape[2] / self.rate * self.row.rate)
            features = resampled(features.transpose(1, 2), count).transpose(1, 2)
        if self.row.even == "before":
            features = features[:, :, : features.shape[2] - features.shape[2] % 2]
        return features


def resampled(states: torch.Tensor, count: int) -> torch.Tensor:
    """``(layers, frames, dims)`` interpolated linearly to ``count`` frames, first and last frame kept."""
    moved = nn.functional.interpolate(states.transpose(1, 2), size=count, mode="linear", align_corners=True)
    return moved.transpose(1, 2)


def paired(states: torch.Tensor) -> torch.Tensor:
    """``(layers, frames, dims)`` with an even number of frames as ``(layers, frames / 2, 2 dims)``."""
    return states.reshape(states.shape[0], states.shape[1] // 2, 2 * states.shape[2])


def _at_rate(grid: FrameGrid, rate: float) -> FrameGrid:
    """The same first centre with ``rate`` frames per second, on a clock that makes the hop whole."""
    hop = Fraction(grid.sampling_rate) / Fraction(rate).limit_denominator(1000)
    return FrameGrid(hop.numerator, grid.first_center * hop.denominator, grid.sampling_rate * hop.denominator)


def _paired_grid(grid: FrameGrid) -> FrameGrid:
    """Pairs lie midway between their frames; the clock is doubled so that this is a whole sample."""
    return FrameGrid(4 * grid.hop, 2 * grid.first_center + grid.hop, 2 * grid.sampling_rate)


def find_encoder(contents: Any, framework: Framework, where: str) -> tuple[tuple[str, ...], str, Mapping[str, torch.Tensor]]:
    """Container, prefix and whole state dict in what a checkpoint file holds.

    The table's own place is tried first, then other usual containers and any prefix; ``module.`` of data-parallel training is
    part of the prefix.

    Raises
    ------
    CheckpointError
        If no encoder, or more than one, is found.
    """
    places: list[tuple[tuple[str, ...], Mapping[str, Any]]] = []
    if isinstance(contents, Mapping):
        places.append(((), contents))
        places += [((key,), contents[key]) for key in _CONTAINERS if isinstance(contents.get(key), Mapping)]
        places += [
            ((key,), value)
            for key, value in contents.items()
            if isinstance(value, Mapping) and key not in _CONTAINERS and isinstance(key, str)
        ]
    found = [
        (container, key.removesuffix(_MARK), state)
        for container, state in places
        for key in state
        if isinstance(key, str) and key.endswith(_MARK) and isinstance(state[key], torch.Tensor)
    ]
    expected = [one for one in found if one[0] == framework.container and one[1].removeprefix("module.") == framework.prefix]
    chosen = expected or found
    if len(chosen) == 1:
        return chosen[0]
    table = " -> ".join([*framework.container, f"{framework.prefix}{_MARK}"])
    if not chosen:
        top = sorted({str(key).split(".")[0] for key in contents}) if isinstance(contents, Mapping) else [type(contents).__name__]
        raise CheckpointError(
            f"{where} holds no speech encoder: {framework.title} keeps one at {table}, and no other key ends in {_MARK}. "
            f"At its top level are: {', '.join(top[:10])}. Is it a checkpoint of {framework.title}?"
        )
    places_found = ", ".join(" -> ".join([*container, prefix or "(no prefix)"]) for container, prefix, _ in chosen)
    raise CheckpointError(
        f"{where} holds {len(chosen)} speech encoders ({places_found}), none where {framework.title} keeps it ({table}). "
        f"Save the one you mean alone."
    )


def load_checkpoint_encoder(spec: EncoderSpec, device: torch.device, revision: str | None = None) -> CheckpointFrames:
    """The encoder that ``spec`` names.

    Options: ``base`` (hub id or folder; by default the framework's), ``revision`` of the base, ``data`` (``vocaset`` or
    ``biwi``), ``view`` (a key of :data:`VIEWS`), ``frozen=any`` to accept a frozen part that differs from the base, and ``script``
    (``test`` or ``predict``) where the framework's scripts ask for different numbers of faces.

    Raises
    ------
    CheckpointError
        If the file cannot be read, holds no encoder, one of another size or family than the base, or not exactly its keys.
    EncoderError
        If the base model cannot be found.
    """
    framework = FRAMEWORKS[spec.kind]
    differ = any(one.scripts for one in framework.data)
    spec.allow("base", "revision", "data", "view", "frozen", *(("script",) if differ else ()))
    view = spec.option("view", tuple(VIEWS), "native")
    row = framework.for_data(spec.option("data", tuple(one.name for one in framework.data), framework.data[0].name))
    script = spec.option("script", row.scripts, row.scripts[0]) if row.scripts else ""
    path = Path(spec.target)
    contents = read_weights(path)
    container, prefix, whole = find_encoder(contents, framework, str(path))
    state = {key.removeprefix(prefix): value for key, value in whole.items() if key.startswith(prefix)}
    dims, layers = _size(state, str(path))
    base = spec.option("base", default=row.large_base if row.large_base and dims == 1024 else row.base)
    revision = spec.option("revision", default=revision)

    original, base_revision = load_model(base, revision)
    config = original.config
    if config.model_type == "whisper" or (config.hidden_size, config.num_hidden_layers) != (dims, layers):
        raise CheckpointError(
            f"{path} holds an encoder of {layers} layers and {dims} dims; its base {base} is a {config.model_type}"
            f"{_size_text(config)}. Name the model that it was trained from with ?base=."
        )
    family = _family(state)
    if (family == "wavlm") != (config.model_type == "wavlm"):
        raise CheckpointError(
            f"{path} holds a {family} encoder (by its relative position parameters); its base {base} is a {config.model_type}. "
            f"Name the model that it was trained from with ?base=."
        )
    model, _ = empty_model(base, revision)
    load_strictly(model, state, str(path))
    differences = _differences(model, original, framework.frozen)
    untouched = all(value <= _SAME for value in differences.values())
    if differences["feature_extractor."] > _SAME and spec.option("frozen", ("any", "check"), "check") == "check":
        raise CheckpointError(
            f"The convolutions in {path} are not those of {base}: they differ by {differences['feature_extractor.']:.2g} of "
            f"their size, and {framework.title} keeps them frozen. wav2vec 2.0 and HuBERT have the same keys, so the base is "
            f"probably of the other family or another model: name it with ?base=. If the convolutions were trained on purpose, "
            f"add frozen=any."
        )
    report = CheckpointReport(
        framework=framework.title,
        data=row.name,
        view=view,
        container=container,
        prefix=prefix,
        as_described=(container, prefix.removeprefix("module.")) == (framework.container, framework.prefix),
        family=config.model_type,
        base=base,
        base_revision=base_revision,
        dims=dims,
        layers=layers,
        differences=differences,
        untouched=untouched,
    )
    _log.info("%s", report)
    projection = _projection(whole, framework, row, prefix, str(path), dims) if view == "projected" else None
    extractor, warning = load_preprocessor(base, revision)
    encoder = CheckpointFrames(
        model.to(device),
        extractor,
        report,
        row,
        projection.to(device) if projection is not None else None,
        script=script if view != "native" else "",
        name=spec.text,
        revision=digest(model.state_dict()),
    )
    encoder.warnings = (warning,) if warning else ()
    return encoder


def _size(state: Mapping[str, torch.Tensor], where: str) -> tuple[int, int]:
    """Dims and number of Transformer layers, from the tensors themselves."""
    weight = state.get("feature_projection.projection.weight")
    layers = {key.split(".")[2] for key in state if key.startswith("encoder.layers.")}
    if weight is None or not layers:
        raise CheckpointError(
            f"{where}: beside its convolutions there is no "
            f"{'feature_projection.projection.weight' if weight is None else 'encoder.layers.0'}. The checkpoint is not whole."
        )
    return int(weight.shape[0]), len(layers)


def _size_text(config: Any) -> str:
    return "" if config.model_type == "whisper" else f" of {config.num_hidden_layers} layers and {config.hidden_size} dims"


def _family(state: Mapping[str, torch.Tensor]) -> str:
    return "wavlm" if any("rel_attn_embed" in key or "gru_rel_pos" in key for key in state) else "wav2vec2 or hubert"


def _differences(model: nn.Module, original: nn.Module, prefixes: Sequence[str]) -> dict[str, float]:
    """Largest relative difference of any tensor under each prefix."""
    ours, theirs = model.state_dict(), original.state_dict()
    found = {}
    for prefix in prefixes:
        worst = 0.0
        for key in ours:
            if key.startswith(prefix):
                size = theirs[key].double().norm()
                gap = (ours[key].double() - theirs[key].double()).norm()
                worst = max(worst, float(gap / size) if size > 0 else float(gap))
        found[prefix] = worst
    return found


def _projection(
    whole: Mapping[str, torch.Tensor], framework: Framework, row: FrameworkData, prefix: str, where: str, dims: int
) -> nn.Module:
    """What the encoder's output passes through next: a linear layer, or linear, Mish, linear."""
    if not row.projection:
        raise ConfigurationError(f"{framework.title} has no projection layer behind its encoder. Use view=framework.")
    outer = prefix.removesuffix("audio_encoder.") + row.projection
    width = dims * (2 if row.paired else 1)
    if f"{outer}.0.weight" in whole:
        first = _linear(whole, f"{outer}.0", width, where)
        return nn.Sequential(first, nn.Mish(), _linear(whole, f"{outer}.2", first.out_features, where))
    return _linear(whole, outer, width, where)


def _linear(whole: Mapping[str, torch.Tensor], name: str, width: int, where: str) -> nn.Linear:
    weight, bias = whole.get(f"{name}.weight"), whole.get(f"{name}.bias")
    if weight is None or bias is None or weight.ndim != 2 or weight.shape[1] != width or bias.shape != weight.shape[:1]:
        shape = "missing" if weight is None or bias is None else f"of shape {tuple(weight.shape)}"
        raise CheckpointError(f"{where}: {name}.weight and .bias are {shape}; a layer of {width} inputs is needed.")
    layer = nn.Linear(width, weight.shape[0])
    layer.load_state_dict({"weight": weight.float(), "bias": bias.float()})
    return layer.eval().requires_grad_(False)


def _outputs(projection: nn.Module) -> int:
    """Dims that a projection gives."""
    return (projection[-1] if isinstance(projection, nn.Sequential) else projection).out_features
