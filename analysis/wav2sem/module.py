"""The two architectures of Wav2Sem as torch modules: one beside the host encoder, one on top of it.

Both turn a batch of utterances into ``(B, dims)`` and give an utterance the same vector whatever lies beside it in the batch.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import reduce
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from analysis.errors import CheckpointError, SemanticsError

__all__ = ["ReferenceModule", "SharedConfig", "SharedModule", "averaged", "load_strictly", "masked_mean", "named"]


@dataclass(frozen=True)
class SharedConfig:
    """Everything that makes a shared module what it is.

    Attributes
    ----------
    host : str
        Encoder whose hidden states it reads, ``name@revision``.
    host_dims : int
    layers : tuple of int
        Hidden states of the host that are mixed.
    stride : int
        Host frames averaged into one.
    dims : int
        Of the output: those of the text space.
    width, depth, heads, hidden : int
        Of the Transformer.
    queries : int
        Attention-pooling queries.
    dropout : float
    norm : float
        Norm of every output vector: the mean norm of the target vectors. 0 leaves the output as it comes.
    max_seconds : float
        Longest utterance.
    target : str
        Text model and pooling.
    """

    host: str
    host_dims: int
    layers: tuple[int, ...]
    stride: int = 4
    dims: int = 384
    width: int = 256
    depth: int = 3
    heads: int = 4
    hidden: int = 1024
    queries: int = 4
    dropout: float = 0.1
    norm: float = 0.0
    max_seconds: float = 40.0
    target: str = ""

    @classmethod
    def from_dict(cls, values: dict) -> SharedConfig:
        """Configuration from its JSON form; unknown keys are refused by name."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise CheckpointError(f"A shared module has no setting {', '.join(unknown)}. Known: {', '.join(sorted(known))}.")
        return cls(**{**values, "layers": tuple(values["layers"])})


def averaged(layers: Sequence[torch.Tensor] | torch.Tensor, stride: int) -> torch.Tensor:
    """Means of ``stride`` frames in a row: ``(frames, dims)`` of each layer to ``(layers, ceil(frames / stride), dims)``.

    The last mean is over the frames that are left.
    """
    frames, dims = layers[0].shape
    whole = frames // stride
    means = layers[0].new_empty(-(-frames // stride), len(layers), dims)  # a frame's layers side by side
    for i, layer in enumerate(layers):
        rows = layer[: whole * stride].reshape(whole, stride, dims).unbind(1)
        means[:whole, i] = reduce(torch.add, rows) / stride  # a third quicker than mean(1), where so few are added
        if frames % stride:
            means[whole, i] = layer[whole * stride :].mean(0)
    return means.transpose(0, 1)


def masked_mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over time of the frames that exist: ``(B, T, D)`` and ``(B, T)`` to ``(B, D)``."""
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)


def _mask(lengths: torch.Tensor, longest: int) -> torch.Tensor:
    return torch.arange(longest, device=lengths.device) < lengths[:, None]


class _Block(nn.Module):
    """Transformer layer, normalised before each part."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.attention_norm, self.feed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed_in, self.activation, self.feed_out = nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        batch, time, width = x.shape
        parts = self.qkv(self.attention_norm(x)).view(batch, time, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        drop = self.dropout if self.training else 0.0
        attended = functional.scaled_dot_product_attention(
            q, k, v, attn_mask=None if mask is None else mask[:, None, None, :], dropout_p=drop
        )
        x = x + functional.dropout(self.out(attended.transpose(1, 2).reshape(batch, time, width)), drop, self.training)
        hidden = self.activation(self.feed_in(self.feed_norm(x)))
        return x + functional.dropout(self.feed_out(hidden), drop, self.training)


class SharedModule(nn.Module):
    """Semantic head on the hidden states of the host encoder: layer mix, a small Transformer, attention pooling.

    Costs a few percent of the encoder, where the reference architecture costs a second encoder.
    """

    def __init__(self, config: SharedConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.layer_norms = nn.ModuleList(nn.LayerNorm(config.host_dims) for _ in config.layers)
        self.layer_maps = nn.ModuleList(nn.Linear(config.host_dims, width, bias=False) for _ in config.layers)
        self.neighbours = nn.Conv1d(width, width, 5, padding=2, groups=8)
        self.blocks = nn.ModuleList(_Block(width, config.heads, config.hidden, config.dropout) for _ in range(config.depth))
        self.pool_norm = nn.LayerNorm(width)
        self.pool_queries = nn.Linear(width, config.queries)
        self.pool_out = nn.Linear(width * config.queries, config.dims)

    def frames(self, states: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Transformer outputs ``(B, T, width)`` and the mask of real frames ``(B, T)``."""
        mask = _mask(lengths, states.shape[2])
        mixed = sum(
            project(norm(states[:, i])) for i, (norm, project) in enumerate(zip(self.layer_norms, self.layer_maps, strict=True))
        )
        mixed = mixed * mask.unsqueeze(-1)  # so that the convolution meets the same zeros as at the end of a lone clip
        x = mixed + functional.gelu(self.neighbours(mixed.transpose(1, 2))).transpose(1, 2)
        attend = None if bool(mask.all()) else mask
        for block in self.blocks:
            x = block(x, attend)
        return x, mask

    def pooled(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """One vector per utterance from the Transformer's outputs, ``(B, dims)``."""
        x = self.pool_norm(x)
        weights = self.pool_queries(x).masked_fill(~mask.unsqueeze(-1), float("-inf")).softmax(1)
        vectors = self.pool_out(torch.einsum("btq,btd->bqd", weights, x).flatten(1))
        return functional.normalize(vectors, dim=1) * self.config.norm if self.config.norm else vectors

    def forward(self, states: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Semantic vectors.

        Parameters
        ----------
        states : Tensor, shape (B, layers, T, host_dims)
            Hidden states of ``config.layers``, averaged over ``config.stride`` frames (see :func:`averaged`), padded in time.
        lengths : Tensor of int, shape (B,)

        Returns
        -------
        Tensor, shape (B, dims)
        """
        return self.pooled(*self.frames(states, lengths))

    def save(self, folder: Path, *, half: bool = False) -> None:
        """Write ``config.json`` and ``model.safetensors``, in half precision when ``half``."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        kind = torch.float16 if half else torch.float32
        save_file(
            {k: v.detach().to("cpu", kind).contiguous() for k, v in self.state_dict().items()}, folder / "model.safetensors"
        )
        told = {"architecture": "shared"} | asdict(self.config)
        (folder / "config.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> SharedModule:
        """Read what :meth:`save` wrote; float32, evaluation mode.

        Raises
        ------
        CheckpointError
            If the weights are not those that the configuration describes.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if values.pop("architecture", None) != "shared":
            raise CheckpointError(f"{folder / 'config.json'} does not describe a shared module.")
        model = cls(SharedConfig.from_dict(values))
        try:
            weights = {name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()}
        except (OSError, SafetensorError) as error:
            raise CheckpointError(
                f"{folder / 'model.safetensors'} cannot be read: {error}. Train or download it again."
            ) from error
        load_strictly(model, weights, folder / "model.safetensors")
        return model.eval()


def load_strictly(model: nn.Module, weights: dict[str, torch.Tensor], where: Path | str) -> None:
    """Load weights into the model, refusing missing, unexpected and ill-shaped entries by name."""
    expected = model.state_dict()
    missing, unexpected = sorted(expected.keys() - weights.keys()), sorted(weights.keys() - expected.keys())
    shaped = [k for k in sorted(expected.keys() & weights.keys()) if expected[k].shape != weights[k].shape]
    if missing or unexpected or shaped:
        told = []
        if missing:
            told.append(f"missing: {named(missing)}")
        if unexpected:
            told.append(f"unexpected: {named(unexpected)}")
        if shaped:
            told.append(
                "of another shape: " + named([f"{k} {tuple(weights[k].shape)} for {tuple(expected[k].shape)}" for k in shaped])
            )
        raise CheckpointError(
            f"{where} does not fit {type(model).__name__}: {'; '.join(told)}. It is a checkpoint of something else, or its "
            "configuration is another one. Give the weights and the configuration that were written together."
        )
    model.load_state_dict(weights)


def named(names: Sequence[str], most: int = 6) -> str:
    """The first names for an error message, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


class ReferenceModule(nn.Module):
    """Wav2Sem as published: a wav2vec 2.0 model of its own, the mean of its last hidden states over time, optionally projected.

    Parameters
    ----------
    config : transformers Wav2Vec2Config
        Base, large or any other size.
    dims : int, optional
        Of the text space; without it, or when it equals the hidden size, there is no projection, as in the release.

    Notes
    -----
    The convolutions run clip by clip: base models normalise over time in the first one, so that padding would change every
    frame. The Transformer then runs on the batch with a mask. A vector does not depend on its neighbours in the batch.
    """

    def __init__(self, config, dims: int | None = None) -> None:
        from transformers import Wav2Vec2Model

        super().__init__()
        self.wav2vec2 = Wav2Vec2Model(config)
        self.projection = nn.Linear(config.hidden_size, dims) if dims not in (None, config.hidden_size) else None
        self.dims = dims or config.hidden_size

    @property
    def shortest(self) -> int:
        """Samples that give one frame."""
        samples = 1
        for kernel, stride in zip(
            reversed(self.wav2vec2.config.conv_kernel), reversed(self.wav2vec2.config.conv_stride), strict=True
        ):
            samples = (samples - 1) * stride + kernel
        return samples

    def frames(self, waveforms: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Last hidden states ``(B, T, hidden)`` and the mask of real frames ``(B, T)``.

        Parameters
        ----------
        waveforms : sequence of Tensor, shape (samples,)
            At 16 kHz, each with zero mean and unit variance.
        """
        for waveform in waveforms:
            if len(waveform) < self.shortest:
                raise SemanticsError(
                    f"A clip of {len(waveform)} samples gives no frame: the model needs at least {self.shortest} "
                    f"({1000 * self.shortest / 16000:g} ms at 16 kHz). Leave it out or join it to its neighbour."
                )
        model = self.wav2vec2
        features = [model.feature_extractor(waveform[None])[0].T for waveform in waveforms]
        lengths = torch.tensor([len(feature) for feature in features], device=features[0].device)
        padded = nn.utils.rnn.pad_sequence(features, batch_first=True)
        mask = _mask(lengths, padded.shape[1])
        states, _ = model.feature_projection(padded)
        states = model.encoder(states, attention_mask=None if bool(mask.all()) else mask).last_hidden_state
        return states, mask

    def pooled(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """One vector per utterance from the last hidden states, ``(B, dims)``."""
        vectors = masked_mean(x, mask)
        return self.projection(vectors) if self.projection is not None else vectors

    def forward(self, waveforms: Sequence[torch.Tensor]) -> torch.Tensor:
        """Semantic vectors, ``(B, dims)``."""
        return self.pooled(*self.frames(waveforms))

    def save(self, folder: Path, *, target: str = "", max_seconds: float = 60.0) -> None:
        """Write a folder that ``Wav2Vec2Model.from_pretrained`` reads, and beside it ``wav2sem.json`` and the projection."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        self.wav2vec2.save_pretrained(folder)
        if self.projection is not None:
            save_file(
                {k: v.detach().cpu().contiguous() for k, v in self.projection.state_dict().items()},
                folder / "projection.safetensors",
            )
        told = {"architecture": "reference", "dims": self.dims, "target": target, "max_seconds": max_seconds}
        (folder / "wav2sem.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> ReferenceModule:
        """Read what :meth:`save` or ``convert`` wrote; float32, evaluation mode."""
        from safetensors.torch import load_file
        from transformers import Wav2Vec2Config

        told_path = folder / "wav2sem.json"
        told = json.loads(told_path.read_text(encoding="utf-8")) if told_path.exists() else {}
        model = cls(Wav2Vec2Config.from_pretrained(folder), told.get("dims"))
        weights = folder / "model.safetensors"
        if not weights.exists():
            raise CheckpointError(f"{folder} holds no model.safetensors. Make it with `python -m analysis.wav2sem convert`.")
        tensors = load_file(weights)
        own = model.wav2vec2.state_dict()
        if "masked_spec_embed" in own:  # a parameter of stock models that is not used here and that the release leaves out
            tensors.setdefault("masked_spec_embed", own["masked_spec_embed"])
        load_strictly(model.wav2vec2, tensors, weights)
        if model.projection is not None:
            path = folder / "projection.safetensors"
            if not path.exists():
                raise CheckpointError(
                    f"{folder}: the model has {model.wav2vec2.config.hidden_size} dims and its text space {model.dims}, but "
                    "there is no projection.safetensors between them. Train with this --text-model, or convert without it."
                )
            load_strictly(model.projection, load_file(path), path)
        return model.eval()


def normalized_waveform(waveform: np.ndarray) -> torch.Tensor:
    """Zero mean and unit variance, as Wav2Sem and wav2vec2-base expect; float32 tensor of shape ``(samples,)``."""
    samples = torch.as_tensor(np.asarray(waveform, np.float32))
    return (samples - samples.mean()) / torch.sqrt(samples.var(unbiased=False) + 1e-7)
