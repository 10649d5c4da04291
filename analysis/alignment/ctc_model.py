"""CTC models of transformers: loading, batches without padding effects, log probabilities, and where their frames lie.

Waveforms are never padded before a convolution, because group norm over time would see the padding: convolutions run clip by
clip, and only what follows runs in batches, under a mask.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.alignment.ctc_vocabulary import Vocabulary
from analysis.errors import AnalysisError, ConfigurationError
from analysis.model_files import config_fault, folder_fault, unlike_a_model
from analysis.timebase import FrameGrid

if TYPE_CHECKING:
    import torch

__all__ = ["CtcModel"]

# Families whose Transformer takes a padded batch under a mask and gives each clip what it gives alone: they zero the padding
# before the positional convolution, and nothing but attention mixes frames after it. The others run one clip at a time.
_BATCHED = frozenset(("wav2vec2", "hubert", "unispeech", "unispeech-sat"))
# Families whose frames come out of unpadded convolutions over samples, so that kernels and strides say where they lie.
_CONVOLUTIONAL = _BATCHED | {"wavlm", "data2vec-audio", "wav2vec2-conformer"}


class CtcModel:
    """A model that ``transformers.AutoModelForCTC`` loads, with its own preprocessor and vocabulary.

    Parameters
    ----------
    target : str
        Hub id or folder.
    revision : str, optional
    vocabulary : {'auto', 'characters', 'phones'}
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``.

    Attributes
    ----------
    name : str
        Id, or the folder's name.
    revision : str
        Hub commit, or sha256 over the folder's files.
    vocabulary : Vocabulary
    sampling_rate : int
        Hz.
    takes_batches : bool

    Raises
    ------
    ConfigurationError
        If it cannot be loaded, has no CTC head, or says not which token is the blank.
    """

    def __init__(self, target: str, *, revision: str | None = None, vocabulary: str = "auto", device: str = "auto") -> None:
        self._device = _device(device)
        self._model, self._extractor, ids, delimiter, self.revision = _loaded(target, revision)
        config = self._model.config
        # transformers trains with the padding token as the blank; models that came from elsewhere may name theirs
        blank = ids.get("<blank>", config.pad_token_id)
        beyond = sorted((number, token) for token, number in ids.items() if not 0 <= number < config.vocab_size)
        if beyond:
            raise ConfigurationError(
                f"The vocabulary of {target} does not fit its CTC head: vocab.json gives {beyond[0][1]!r} the number {beyond[0][0]}, and "
                f"the head has {config.vocab_size} outputs. Take both from the same model."
            )
        if blank is None or not 0 <= blank < config.vocab_size:
            raise ConfigurationError(
                f"{target} does not say which token is the CTC blank: pad_token_id in its config.json is {config.pad_token_id}, and "
                f"the vocabulary has {config.vocab_size} tokens. Set it to the id of the padding token of vocab.json."
            )
        self.name = Path(target).name if Path(target).is_dir() else target
        self.vocabulary = Vocabulary.of(ids, blank, delimiter, vocabulary)
        self.sampling_rate = int(self._extractor.sampling_rate)
        adapts = getattr(config, "add_adapter", False)  # further convolutions behind the Transformer
        self.takes_batches = config.model_type in _BATCHED and not adapts
        self._on_grid = config.model_type in _CONVOLUTIONAL and not adapts
        self._clips = _run_clip_by_clip(self._model) if self.takes_batches else None
        self._model.to(self._device)

    def log_probs(self, waveforms: Sequence[np.ndarray]) -> tuple[torch.Tensor, list[int]]:
        """Log probabilities of several clips, in one batch where the model takes batches.

        Parameters
        ----------
        waveforms : sequence of ndarray
            ``(samples,)`` float32 at the model's sampling rate.

        Returns
        -------
        log_probs : Tensor
            ``(clips, frames, vocabulary)`` float32, on the model's device; what lies beyond a clip's frames means nothing.
        frames : list of int
            Of each clip. A clip gets what it gets alone.
        """
        import torch

        features = [self._extractor(samples, sampling_rate=self.sampling_rate, return_tensors="pt") for samples in waveforms]
        with torch.inference_mode():
            if self._clips is None:
                alone = [
                    self._model(**{name: value.to(self._device) for name, value in one.items()}).logits[0] for one in features
                ]
                logits = torch.nn.utils.rnn.pad_sequence(alone, batch_first=True)
                return logits.float().log_softmax(dim=-1), [len(one) for one in alone]
            clips = [feature[self._model.main_input_name][0] for feature in features]
            lengths = [len(clip) for clip in clips]
            padded = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True).to(self._device)
            present = torch.arange(padded.shape[1])[None] < torch.tensor(lengths)[:, None]
            with self._clips(lengths):
                logits = self._model(padded, attention_mask=present.long().to(self._device)).logits
            frames = [int(self._model._get_feat_extract_output_lengths(length)) for length in lengths]
        return logits.float().log_softmax(dim=-1), frames

    def edges(self, n_frames: int, n_samples: int) -> np.ndarray:
        """Where each frame begins and the last one ends, s, ``(n_frames + 1,)``: half-way between the frames' centres."""
        config = self._model.config
        if not self._on_grid:  # other front ends pad their input, so that the frames divide it
            return np.linspace(0.0, n_samples / self.sampling_rate, n_frames + 1)
        field, hop = 1, 1
        for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
            field += (kernel - 1) * hop
            hop *= stride
        grid = FrameGrid(hop, field // 2, self.sampling_rate)
        return grid.centers(n_frames + 1) - 0.5 / grid.rate


def _run_clip_by_clip(model: Any) -> Any:
    """Let the convolutions run on each clip of a padded batch alone; returns the context that says how long the clips are."""
    import torch

    inner = getattr(model, model.base_model_prefix)
    convolutions = inner.feature_extractor
    lengths: list[int] = []

    class ClipByClip(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolutions = convolutions

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            clips = [self.convolutions(batch[i : i + 1, :length])[0].T for i, length in enumerate(lengths)]
            return torch.nn.utils.rnn.pad_sequence(clips, batch_first=True).transpose(1, 2)

    inner.feature_extractor = ClipByClip()

    @contextmanager
    def clips_of(samples: Sequence[int]) -> Iterator[None]:
        lengths[:] = samples
        yield
        lengths.clear()

    return clips_of


def _loaded(model: str, revision: str | None) -> tuple[Any, Any, dict[str, int], str | None, str]:
    """Model in evaluation mode, feature extractor, token ids, word delimiter, and what identifies the weights."""
    import torch
    import transformers
    from transformers.utils import cached_file

    def vocabulary() -> dict[str, Any]:
        return json.loads(Path(cached_file(model, "vocab.json", revision=revision)).read_text(encoding="utf-8"))

    def settings() -> dict[str, Any]:
        path = cached_file(model, "tokenizer_config.json", revision=revision, _raise_exceptions_for_missing_entries=False)
        return json.loads(Path(path).read_text(encoding="utf-8")) if path else {}

    if os.path.isdir(model):
        if fault := folder_fault(Path(model)):
            raise ConfigurationError(fault)
        if (Path(model) / "adapter_config.json").is_file():
            raise ConfigurationError(
                f"{model} holds an adapter of peft (adapter_config.json) beside its weights, which would be left out. Merge it where peft "
                f"is installed: PeftModel.from_pretrained(model, FOLDER).merge_and_unload().save_pretrained(OTHER)"
            )
        for name in ("vocab.json", "preprocessor_config.json"):
            if not (Path(model) / name).is_file():
                raise ConfigurationError(_unloadable(model, f"it holds no {name}."))
    elif os.path.isfile(model):
        raise ConfigurationError(unlike_a_model(Path(model)))
    before, bars = transformers.logging.get_verbosity(), transformers.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        config = transformers.AutoConfig.from_pretrained(model, revision=revision, trust_remote_code=False)
        if type(config) not in transformers.AutoModelForCTC._model_mapping:
            raise ConfigurationError(
                f"{model} is of the family {config.model_type!r}, which has no CTC model in transformers {transformers.__version__}. "
                f"Choose a model made for CTC, such as facebook/wav2vec2-base-960h."
            )
        if fault := config_fault(model, config.to_dict()):
            raise ConfigurationError(fault)
        # half precision is for keeping: a processor computes in it slowly, and the front end gives float32
        loaded, report = transformers.AutoModelForCTC.from_pretrained(
            model,
            revision=revision,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, by name
        )
        extractor = transformers.AutoFeatureExtractor.from_pretrained(model, revision=revision, trust_remote_code=False)
        ids, tokenizer = vocabulary(), settings()
    except AnalysisError:
        raise
    except pickle.UnpicklingError as error:
        raise ConfigurationError(
            f"The weights of {model} were refused: they are a pickle of more than plain tensors, and loading it would run code from "
            f"the file. If you trust it, load it where it was made and write it again: model.save_pretrained(folder)"
        ) from error
    except (OSError, ValueError) as error:
        raise ConfigurationError(_unloadable(model, _first_line(error))) from error
    except Exception as error:  # settings that no model can be built from raise what the model's code raises
        raise ConfigurationError(_unloadable(model, f"{type(error).__name__}: {_first_line(error)}.")) from error
    finally:
        transformers.logging.set_verbosity(before)
        if bars:
            transformers.logging.enable_progress_bar()
    missing = sorted(key for key in report["missing_keys"] if not key.endswith("masked_spec_embed"))
    if missing:
        raise ConfigurationError(
            f"{model} lacks {len(missing)} weights of a CTC model, the first {missing[0]}: it is an encoder without a CTC head, or its "
            f"config.json belongs to another model. Choose a model that was trained with CTC."
        )
    if report["mismatched_keys"]:
        key, here, there = min(report["mismatched_keys"])
        raise ConfigurationError(
            f"The weights of {model} do not fit its config.json: {key} has the shape {tuple(here)}, and by config.json it has "
            f"{tuple(there)}. Take both from the same model; vocab_size is the number of outputs of the CTC head."
        )
    if not ids or not all(isinstance(number, int | dict) for number in ids.values()):
        raise ConfigurationError(
            f"The vocab.json of {model} does not give each token its number. Copy that of the model's tokenizer."
        )
    if any(isinstance(number, dict) for number in ids.values()):
        raise ConfigurationError(
            f"The vocabulary of {model} holds one of {len(ids)} languages each ({', '.join(list(ids)[:3])}, ...). Save it for one "
            f"language: load its processor with target_lang, then save_pretrained."
        )
    commit = getattr(config, "_commit_hash", None) or _digest(Path(model))
    return loaded.eval().requires_grad_(False), extractor, ids, tokenizer.get("word_delimiter_token", "|"), commit


def _digest(folder: Path) -> str:
    """sha256 over the files of a model folder."""
    total = hashlib.sha256()
    for path in sorted(folder.glob("*")):
        if path.suffix in (".json", ".safetensors", ".bin"):
            total.update(path.name.encode())
            with path.open("rb") as stream:
                while block := stream.read(1 << 20):
                    total.update(block)
    return total.hexdigest()


def _unloadable(model: str, reason: str) -> str:
    if Path(model).is_dir():
        return (
            f"The folder {model} cannot be loaded as a CTC model: {reason} It must hold config.json, preprocessor_config.json, "
            f"vocab.json and model.safetensors, as save_pretrained of model, feature extractor and tokenizer writes them."
        )
    return (
        f"The CTC model {model} is neither a folder nor could it be fetched from the hub: {reason} Offline, fetch it on another "
        f"machine with `hf download {model}` and give the folder."
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no reason given."])[0]


def _device(name: str) -> str:
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigurationError(
            f"The ctc aligner was asked to run on {name}, and torch {torch.__version__} sees no CUDA device."
        )
    return name
