"""Trained modules as sources of semantic vectors: waveforms or host frames in, one vector per utterance out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from analysis.corpus.utterance import Utterance
from analysis.errors import CheckpointError, SemanticsError
from analysis.wav2sem.module import ReferenceModule, SharedModule, averaged, normalized_waveform
from analysis.wav2sem.types import SemanticsCard

if TYPE_CHECKING:
    from analysis.encoders.types import Encoder
    from analysis.wav2sem.quick import QuickModule

__all__ = ["ReferenceSemantics", "SharedSemantics", "read_module"]

RATE = 16000


def read_module(
    folder: Path, *, device: torch.device | str = "cpu", name: str | None = None
) -> SharedSemantics | ReferenceSemantics:
    """The trained module in a folder, as a source of semantic vectors.

    Raises
    ------
    SemanticsError
        If the folder holds no module.
    CheckpointError
        If its weights are not those its configuration describes.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise SemanticsError(
            f"{folder} holds no semantic module: {path.name} cannot be read ({error}). Give a folder made by "
            "`python -m analysis.wav2sem train` or `convert`."
        ) from error
    name = name or str(folder)
    if config.get("architecture") == "shared":
        return SharedSemantics(SharedModule.load(folder), name=name, revision=_revision(folder), device=device)
    if config.get("model_type") == "wav2vec2":
        told = folder / "wav2sem.json"
        extra = json.loads(told.read_text(encoding="utf-8")) if told.exists() else {}
        return ReferenceSemantics(
            ReferenceModule.load(folder),
            name=name,
            revision=_revision(folder),
            device=device,
            target=extra.get("target", ""),
            max_seconds=extra.get("max_seconds", 60.0),
        )
    raise CheckpointError(
        f"{path} describes a {config.get('model_type', 'model of unknown type')!r}, not a semantic module. Give a folder made by "
        "`python -m analysis.wav2sem train` or `convert`."
    )


def _revision(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class _Module:
    """What both architectures share: frozen weights that follow a device, waveforms read from utterances, a limit on length."""

    card: SemanticsCard
    max_seconds: float

    def __init__(self, module: torch.nn.Module, device: torch.device | str) -> None:
        self.module = module.eval().requires_grad_(False).to(device)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.module.parameters()).device

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> _Module:
        """Move to a device, and to a float type."""
        self.module.to(device, dtype)
        return self

    def semantics(self, utterances: Sequence[Utterance], *, batch: int = 8) -> np.ndarray:
        """Vectors of shape ``(len(utterances), dims)``, float32.

        Raises
        ------
        SemanticsError
            If an utterance is longer than the model takes, or too short to give a frame.
        AudioError
            If a recording cannot be read.
        """
        from analysis.corpus import read_audio

        for utterance in utterances:
            self._check_length(utterance.duration, f"Utterance {utterance.id}")
        rows = []
        for start in range(0, len(utterances), batch):
            waveforms = [read_audio(utterance, sampling_rate=RATE) for utterance in utterances[start : start + batch]]
            rows.append(self.from_waveforms(waveforms).float().cpu().numpy())
        return np.concatenate(rows) if rows else np.zeros((0, self.card.dims), np.float32)

    def from_waveforms(self, waveforms: Sequence[np.ndarray | torch.Tensor]) -> torch.Tensor:
        raise NotImplementedError

    def _check_length(self, seconds: float, what: str) -> None:
        if seconds > self.max_seconds:
            raise SemanticsError(
                f"{what} lasts {seconds:.1f} s; the module {self.card.name!r} takes at most {self.max_seconds:g} s. "
                "Cut the recording into utterances at its pauses."
            )


class SharedSemantics(_Module):
    """A shared module with its host encoder, which is loaded only when no one else runs it.

    Satisfies :class:`analysis.wav2sem.types.Semantics`.
    """

    def __init__(
        self,
        module: SharedModule,
        *,
        name: str,
        revision: str,
        device: torch.device | str = "cpu",
        encoder: Encoder | None = None,
    ) -> None:
        super().__init__(module, device)
        config = module.config
        self.max_seconds = config.max_seconds
        self._encoder = encoder
        self._quick: QuickModule | None = None
        self.card = SemanticsCard(name=name, source="frames", dims=config.dims, revision=revision, target=config.target)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> SharedSemantics:
        """Move to a device, and to a float type; the host encoder is loaded anew there when it is needed."""
        if torch.device(device).type != self.device.type:
            self._encoder = None
        self._quick = None
        super().to(device, dtype)
        return self

    def _quickest(self) -> QuickModule | None:
        """The module with the steps that this processor is quickest with; None where that is the module as it is."""
        if self._quick is None:
            from analysis.encoders.products import prefers_onednn
            from analysis.wav2sem.quick import QuickModule

            weight = self.module.pool_out.weight
            if not prefers_onednn() or weight.device.type != "cpu" or weight.dtype != torch.float32:
                return None
            self._quick = QuickModule(self.module)
        return self._quick

    @property
    def host(self) -> str:
        """The host encoder, ``name@revision``."""
        return self.module.config.host

    @property
    def encoder(self) -> Encoder:
        """The host encoder, loaded on first use.

        Raises
        ------
        SemanticsError
            If the encoder that its name gives now is not the one that the module was trained on.
        """
        if self._encoder is None:
            from analysis.encoders import load_encoder

            name, _, revision = self.host.rpartition("@")
            encoder = load_encoder(name, device=self.device)
            if encoder.card.revision != revision:
                raise SemanticsError(
                    f"The module {self.card.name!r} was trained on the encoder {self.host}; {name!r} is now at revision "
                    f"{encoder.card.revision}, whose hidden states mean something else. Install that revision or train again."
                )
            self._encoder = encoder
        return self._encoder

    def from_states(self, states: torch.Tensor, host: str) -> torch.Tensor | None:
        """Vector ``(dims,)`` of one utterance from all hidden states ``(layers, frames, dims)`` of the encoder ``host``.

        None when the module does not sit on that encoder.
        """
        if host != self.host:
            return None
        config = self.module.config
        if states.ndim != 3 or states.shape[0] <= max(config.layers) or states.shape[2] != config.host_dims:
            raise SemanticsError(
                f"The module {self.card.name!r} reads layers {', '.join(map(str, config.layers))} of {config.host_dims} dims "
                f"from all hidden states of its host; it was given states of shape {tuple(states.shape)}."
            )
        return self._from_layers([states[layer] for layer in config.layers])

    @torch.inference_mode()
    def _from_layers(self, states: Iterable[torch.Tensor]) -> torch.Tensor:
        config, weight = self.module.config, self.module.pool_out.weight
        means = averaged([layer.to(weight.device, weight.dtype) for layer in states], config.stride)
        limit = config.max_seconds * 50 / config.stride + 1
        if means.shape[1] > limit:
            self._check_length(means.shape[1] * config.stride / 50, "The utterance")
        quick = self._quickest()
        if quick is not None:
            return quick(means)
        return self.module(means[None], torch.tensor([means.shape[1]], device=self.device))[0]

    def from_waveforms(self, waveforms: Sequence[np.ndarray | torch.Tensor]) -> torch.Tensor:
        """Vectors ``(B, dims)`` of waveforms at 16 kHz; the host encoder runs here."""
        vectors = []
        for waveform in waveforms:
            samples = np.asarray(torch.as_tensor(waveform).detach().float().cpu())
            self._check_length(len(samples) / RATE, "The clip")
            vectors.append(self._from_layers(self.encoder.encode([samples], layers=self.module.config.layers)[0]))
        return torch.stack(vectors)


class ReferenceSemantics(_Module):
    """A module of the published architecture, which hears the waveform itself.

    Satisfies :class:`analysis.wav2sem.types.Semantics`.
    """

    def __init__(
        self,
        module: ReferenceModule,
        *,
        name: str,
        revision: str,
        device: torch.device | str = "cpu",
        target: str = "",
        max_seconds: float = 60.0,
    ) -> None:
        super().__init__(module, device)
        self.max_seconds = max_seconds
        self.card = SemanticsCard(name=name, source="audio", dims=module.dims, revision=revision, target=target)

    def from_states(self, states: torch.Tensor, host: str) -> torch.Tensor | None:
        """None: it has an encoder of its own."""
        return None

    @torch.inference_mode()
    def from_waveforms(self, waveforms: Sequence[np.ndarray | torch.Tensor]) -> torch.Tensor:
        """Vectors ``(B, dims)`` of waveforms at 16 kHz, which are normalised here."""
        weight = next(self.module.parameters())
        clips = []
        for waveform in waveforms:
            samples = torch.as_tensor(waveform).detach().float().cpu()
            self._check_length(len(samples) / RATE, "The clip")
            clips.append(normalized_waveform(samples.numpy()).to(weight.device, weight.dtype))
        return self.module(clips)
