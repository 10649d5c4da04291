"""Recipes: from sentences or a corpus to a trained module, and from a module to its scores."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.corpus.utterance import Utterance
from analysis.errors import ConfigurationError, Failure, SemanticsError
from analysis.guard import attempt
from analysis.wav2sem.splits import DataParts, keep_data, training_parts
from analysis.wav2sem.text import TextModel, normalized

if TYPE_CHECKING:
    from analysis.wav2sem.frames import FrameCache
    from analysis.wav2sem.types import Semantics

__all__ = ["PRESETS", "Recipe", "evaluate", "run"]

log = logging.getLogger(__name__)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """What is trained, on what, and how.

    Attributes
    ----------
    architecture : str
        ``shared`` (a head on the host's hidden states) or ``reference`` (a wav2vec 2.0 model of its own).
    host : str
        Encoder of a shared module.
    layers : tuple of int
        Its hidden states; none for the middle and the last.
    stride : int
        Host frames averaged into one.
    width, depth, heads, hidden : int
        Of the shared head.
    size : str
        Of the reference: ``base``, ``large``, or a ``config.json`` in transformers' names.
    initialize : str
        ``scratch``, or what training begins with: for a reference a wav2vec 2.0 folder or hub id, for a shared module the folder
        of one that was trained, or ``wav2sem`` for the bundled one. Host, layers and sizes are then those of that module.
    freeze : int
        Layers of the reference that stay as they were, after the convolutions; -1 trains the convolutions too.
    blend : bool
        At the end, mix the weights with those that a shared module began with, if validation likes that better.
    text_model : str
        ``minilm``, hub id or folder.
    passes : int
        Times that every sentence is spoken, each in another voice (sentences only).
    first_pass : int
        Number of the first pass: another number draws other voices and other neighbours for the same sentences.
    clips : int
        Clips per pass at most, the first of a random order; 0 for all.
    splits, data : str
        What of a corpus is used; see :func:`analysis.wav2sem.splits.training_parts`.
    settings : dict
        Of :class:`analysis.wav2sem.training.TrainingSettings`.
    """

    architecture: str = "shared"
    host: str = "bundled"
    layers: tuple[int, ...] = ()
    stride: int = 4
    width: int = 256
    depth: int = 3
    heads: int = 4
    hidden: int = 1024
    size: str = "base"
    initialize: str = "scratch"
    freeze: int = -1
    blend: bool = False
    text_model: str = "minilm"
    passes: int = 1
    first_pass: int = 0
    clips: int = 0
    splits: str = "official"
    data: str = "all"
    settings: dict[str, Any] = field(default_factory=dict)


PRESETS = {
    # The published values; the release differs: rate 1e-5, AdamW, halved every 20 epochs.
    "paper": Recipe(
        architecture="reference",
        text_model="bert-base-uncased",
        settings={
            "loss": "l1",
            "target": "cls",
            "epochs": 200,
            "learning_rate": 1e-4,
            "weight_decay": 0.0,
            "beta2": 0.999,
            "schedule": "step",
            "step_epochs": 200,
            "warmup": 0,
            "batch_size": 1,
            "clip": 0.0,
        },
    ),
    "release": Recipe(
        architecture="reference",
        text_model="bert-base-uncased",
        settings={
            "loss": "l1",
            "target": "cls",
            "epochs": 200,
            "learning_rate": 1e-5,
            "beta2": 0.999,
            "schedule": "step",
            "step_epochs": 20,
            "warmup": 0,
            "batch_size": 1,
            "clip": 0.0,
        },
    ),
    # The module that comes with the toolkit: one laptop, no network, an hour for the speech and half an hour for the training.
    "bundled": Recipe(
        layers=(2, 4),
        settings={
            "loss": "infonce",
            "target": "mean",
            "epochs": 8,
            "learning_rate": 1.5e-3,
            "batch_seconds": 200.0,
            "warmup": 150,
            "ema": 0.998,
            "spelling": 0.3,
            "save_every": 200,
            "validate_every": 200,
        },
    ),
    # Its second stage goes on from the first (--initialize RUN), on the same sentences in other voices and joins, to a rate of nought.
    "bundled-second": Recipe(
        layers=(2, 4),
        initialize="wav2sem",
        blend=True,
        first_pass=1,
        clips=5500,
        settings={
            "loss": "infonce",
            "target": "mean",
            "epochs": 4,
            "learning_rate": 7e-4,
            "batch_seconds": 200.0,
            "warmup": 50,
            "ema": 0.995,
            "save_every": 100,
            "validate_every": 100,
        },
    ),
}


def run(
    recipe: Recipe,
    out: Path,
    *,
    corpus: str | None = None,
    sentences: Path | None = None,
    keep_apart: Sequence[str] = (),
    frames: Path | None = None,
    holdout: int = 300,
    validation: int = 200,
    share: float = 0.05,
    tensorboard: bool = False,
    progress: bool = True,
    stop_at: int | None = None,
) -> dict[str, float]:
    """Train a module, or go on with one; returns its scores on the validation data.

    Parameters
    ----------
    recipe : Recipe
    out : Path
        The run's folder; when training is done it is the module's folder.
    corpus, sentences
        One of the two: recordings with transcripts, or a text file whose sentences a synthesiser speaks.
    keep_apart : sequence of str
        Texts that must not be trained on.
    frames : Path, optional
        Where the host's hidden states are kept; ``out/frames`` by default.
    holdout, validation : int
        Sentences held out for tests and for validation.
    share : float
        Of a corpus' speakers and texts, held out.
    """
    from analysis.wav2sem.training import TrainingSettings, blend, train

    if recipe.blend and (recipe.architecture != "shared" or recipe.initialize == "scratch"):
        raise ConfigurationError("Only a shared module that began with another's weights can be blended with them.")
    if (corpus is None) == (sentences is None):
        raise ConfigurationError("Give either --corpus (recordings) or --sentences (text for the synthesiser), not both or none.")
    try:
        settings = TrainingSettings(**recipe.settings)
    except TypeError as error:
        raise ConfigurationError(f"A recipe has a setting that training does not know: {error}.") from error
    text_model = TextModel(recipe.text_model)
    if recipe.architecture == "shared":
        train_caches, validation_cache = (
            _spoken_frames(recipe, frames or out / "frames", sentences, keep_apart, holdout, validation, progress)
            if sentences is not None
            else _corpus_frames(recipe, frames or out / "frames", _used(recipe, corpus, share, out), progress)
        )
        module, data, check = _shared(recipe, settings, text_model, train_caches, validation_cache)
        save = _save_shared
    elif recipe.architecture == "reference":
        if corpus is None:
            raise ConfigurationError("The reference architecture is trained on recordings: give --corpus.")
        module, data, check = _reference(recipe, _used(recipe, corpus, share, out), text_model)
        target = f"{text_model.card.name}@{text_model.card.revision}:{settings.target}"

        def save(module: Any, folder: Path) -> None:
            module.save(folder, target=target)
    else:
        raise ConfigurationError(f"The architecture is 'shared' or 'reference', not {recipe.architecture!r}.")
    _save_baselines(data, text_model, settings.target, out)
    begun = {name: value.detach().cpu().clone() for name, value in module.state_dict().items()} if recipe.blend else None
    best = train(
        module,
        data,
        check,
        text_model,
        settings,
        out,
        save_module=save,
        tensorboard=tensorboard,
        progress=progress,
        stop_at=stop_at,
    )
    if begun is None or stop_at is not None:
        return best
    return blend(module.cpu(), begun, check, text_model, settings, out, save_module=save)


def _save_shared(module: Any, folder: Path) -> None:
    module.save(folder, half=True)


def _shared(
    recipe: Recipe, settings: Any, text_model: TextModel, caches: list[FrameCache], validation: FrameCache
) -> tuple[Any, Any, Any]:
    import torch

    from analysis.wav2sem.data import FrameData
    from analysis.wav2sem.module import SharedConfig, SharedModule
    from analysis.wav2sem.training import target_norm

    data, check = FrameData(caches, whole=0.5, augment=True), FrameData([validation])
    told = data.settings
    # L1 and L2 learn the length of the vectors; the cosine losses do not, so their outputs get the mean length
    norm = target_norm(text_model, data.texts(), settings.target) if settings.loss in {"infonce", "cosine"} else 0.0
    torch.manual_seed(settings.seed)
    if recipe.initialize != "scratch":
        return _begun(recipe, settings, text_model, told, norm), data, check
    module = SharedModule(
        SharedConfig(
            host=told["host"],
            host_dims=told["dims"],
            layers=tuple(told["layers"]),
            stride=told["stride"],
            dims=text_model.card.dims,
            width=recipe.width,
            depth=recipe.depth,
            heads=recipe.heads,
            hidden=recipe.hidden,
            norm=norm,
            target=f"{text_model.card.name}@{text_model.card.revision}:{settings.target}",
        )
    )
    return module, data, check


def _begun(recipe: Recipe, settings: Any, text_model: TextModel, frames: dict[str, Any], norm: float) -> Any:
    """A trained shared module to go on from, for the frames at hand."""
    from analysis.wav2sem.load import BUNDLED
    from analysis.wav2sem.module import SharedModule

    folder = BUNDLED if recipe.initialize == "wav2sem" else Path(recipe.initialize)
    if not (folder / "config.json").is_file():
        raise SemanticsError(
            f"{folder} holds no module to begin with: there is no config.json. Give the folder of a shared module, or 'scratch'."
        )
    module = SharedModule.load(folder)
    config = module.config
    target = f"{text_model.card.name}@{text_model.card.revision}:{settings.target}"
    asked = (frames["host"], tuple(frames["layers"]), frames["stride"], target)
    if (config.host, config.layers, config.stride, config.target) != asked:
        raise SemanticsError(
            f"The module in {folder} reads layers {list(config.layers)} of {config.host} in steps of {config.stride} and gives "
            f"vectors of {config.target}; this run has layers {frames['layers']} of {frames['host']} in steps of "
            f"{frames['stride']} and the target {target}. Give the same to both, or begin from 'scratch'."
        )
    module.config = replace(config, norm=config.norm if norm else 0.0)
    return module.train()


def _host(recipe: Recipe) -> tuple[Any, tuple[int, ...]]:
    from analysis.encoders import load_encoder

    encoder = load_encoder(recipe.host)
    last = encoder.card.layers - 1
    layers = recipe.layers or (last // 2, last)
    if max(layers) > last or min(layers) < 0:
        raise ConfigurationError(f"The encoder {recipe.host!r} has layers 0 to {last}, not {', '.join(map(str, layers))}.")
    return encoder, tuple(layers)


def _spoken_frames(
    recipe: Recipe, folder: Path, sentences: Path, keep_apart: Sequence[str], holdout: int, validation: int, progress: bool
) -> tuple[list[FrameCache], FrameCache]:
    from analysis.wav2sem.frames import FrameCache, keys, write_frames
    from analysis.wav2sem.speech import Clip, Speaker, plan_clips, read_sentences, split_sentences, spoken

    read = read_sentences(sentences)
    split = split_sentences(read, test=holdout, validation=validation, exclude=keep_apart)
    in_order = {sentence: i for i, sentence in enumerate(read)}
    training = sorted(split["train"], key=in_order.__getitem__)
    plans = {
        "validation-drawn": ([Clip((s,), 1000 + i) for i, s in enumerate(split["validation"])], "drawn"),
        "test-drawn": ([Clip((s,), 1000 + i) for i, s in enumerate(split["test"])], "drawn"),
        "test-plain": ([Clip((s,), 5000 + i) for i, s in enumerate(split["test"])], "plain"),
    }
    names = [f"train-{number}" for number in range(recipe.first_pass, recipe.first_pass + recipe.passes)]
    for number, name in enumerate(names, recipe.first_pass):
        clips = plan_clips(training, seed=number)
        plans[name] = (clips[: recipe.clips or len(clips)], "drawn")
    encoder = speaker = None
    for name, (clips, voices) in plans.items():
        done = keys(folder / name)
        missing = [clip for clip in clips if str(clip.seed) not in done]
        if missing:
            if encoder is None or speaker is None:
                (encoder, layers), speaker = _host(recipe), Speaker()
            some = spoken(speaker, missing, voices)
            write_frames(some, encoder, folder / name, layers=layers, stride=recipe.stride, total=len(missing), progress=progress)
    return [FrameCache(folder / name) for name in names], FrameCache(folder / "validation-drawn")


def _corpus_frames(recipe: Recipe, folder: Path, used: DataParts, progress: bool) -> tuple[list[FrameCache], FrameCache]:
    from analysis.wav2sem.frames import FrameCache, Recorded, keys, write_frames

    parts = {"train": used.train, "validation": used.validation}
    encoder = None
    for name, utterances in parts.items():
        done = keys(folder / name)
        missing = [u for u in utterances if u.id not in done and normalized(u.text)]
        if missing:
            if encoder is None:
                encoder, layers = _host(recipe)
            rate = encoder.card.grid.sampling_rate
            clips = ((Recorded(u.id, (u.text,), ((0.0, u.duration),)), wave) for u, wave in _heard(missing, rate))
            write_frames(
                clips, encoder, folder / name, layers=layers, stride=recipe.stride, total=len(missing), progress=progress
            )
    return [FrameCache(folder / "train")], FrameCache(folder / "validation")


def _heard(utterances: Sequence[Utterance], rate: int) -> Iterator[tuple[Utterance, np.ndarray]]:
    """Utterances with their waveforms; those that cannot be read are logged and left out."""
    from analysis.corpus import read_audio

    for utterance in utterances:
        wave = attempt("semantics", utterance.id, partial(read_audio, utterance, sampling_rate=rate))
        if isinstance(wave, Failure):
            log.warning("left out: %s: %s", wave.item, wave.reason)
        else:
            yield utterance, wave


def _used(recipe: Recipe, corpus: str, share: float, out: Path) -> DataParts:
    """What is trained and validated on, logged and kept beside the module."""
    from analysis.corpus import open_corpus

    used = training_parts(open_corpus(corpus), share=share, splits=recipe.splits, data=recipe.data)
    keep_data(used.card, out)
    log.info("%s", used)
    return used


def _reference(recipe: Recipe, used: DataParts, text_model: TextModel) -> tuple[Any, Any, Any]:
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    from analysis.wav2sem.data import AudioData
    from analysis.wav2sem.module import ReferenceModule

    sizes = {
        "base": Wav2Vec2Config(),
        "large": Wav2Vec2Config(
            hidden_size=1024,
            num_hidden_layers=24,
            num_attention_heads=16,
            intermediate_size=4096,
            conv_bias=True,
            feat_extract_norm="layer",
            do_stable_layer_norm=True,
        ),
        "release-large": Wav2Vec2Config(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096),
    }
    if recipe.size == "large" and recipe.initialize == "scratch":
        log.info(
            "The size large is that of wav2vec 2.0 large: layer norm and bias in the convolutions, norm before each layer. The "
            "release's large has group norm, no bias and norm after each layer: --size release-large."
        )
    torch.manual_seed(recipe.settings.get("seed", 0))
    if recipe.initialize != "scratch":
        try:
            begun = Wav2Vec2Model.from_pretrained(recipe.initialize, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise SemanticsError(
                f"The encoder {recipe.initialize!r} to begin with cannot be loaded: {str(error).strip().splitlines()[0]} "
                "Give a wav2vec 2.0 folder or hub id, or 'scratch'."
            ) from error
        config = begun.config
    elif recipe.size in sizes:
        begun, config = None, sizes[recipe.size]
    elif Path(recipe.size).is_file():
        begun, config = None, Wav2Vec2Config.from_pretrained(recipe.size)
    else:
        raise ConfigurationError(
            f"The size is 'base', 'large', 'release-large' or the path of a config.json, not {recipe.size!r}."
        )
    config.apply_spec_augment = False
    module = ReferenceModule(config, text_model.card.dims)
    if begun is not None:
        module.wav2vec2.load_state_dict(begun.state_dict(), strict=False)
    if recipe.freeze >= 0:
        module.wav2vec2.feature_extractor._freeze_parameters()
        for layer in module.wav2vec2.encoder.layers[: recipe.freeze]:
            layer.requires_grad_(False)
    return module, AudioData(used.train), AudioData(used.validation)


def _save_baselines(data: Any, text_model: TextModel, pooling: str, out: Path) -> None:
    from analysis.wav2sem.evaluation import Baselines

    seconds, texts = data.said()
    out.mkdir(parents=True, exist_ok=True)
    Baselines.fitted(seconds, text_model.embed(texts, pooling=pooling)).save(out)


def evaluate(
    module: Semantics,
    utterances: Sequence[Utterance],
    *,
    distractors: Sequence[str] = (),
    text_model: TextModel | None = None,
    baselines: Any = None,
) -> list[dict[str, Any]]:
    """Scores of a module on recordings, beside what length alone and the mean vector score.

    Parameters
    ----------
    module : Semantics
    utterances : sequence of Utterance
    distractors : sequence of str
        Texts among which, with the utterances' own, the right one must be found.
    text_model : TextModel, optional
        By default the one that the module was trained on, as its card says.
    baselines : Baselines, optional

    Returns
    -------
    list of dict
        ``name`` and the columns of :func:`analysis.wav2sem.evaluation.scores`, of the utterances that can be used; the others are
        logged.

    Raises
    ------
    SemanticsError
        If a vector holds NaN or infinite values, or no utterance can be used.
    """
    from analysis.wav2sem.vectors import embed, not_finite_vector

    text_model, pooling = text_space(module, text_model)
    found, failures = embed(module, utterances)
    odd = [failure for failure in failures if failure == not_finite_vector(failure.item, module.card.name)]
    if odd:
        raise _not_finite(module.card.name, len(odd), len(utterances))
    for failure in failures:
        log.warning("left out: %s: %s", failure.item, failure.reason)
    if failures and not found.utterances:
        raise SemanticsError(f"No utterance can be used. The first failure, {failures[0].item}: {failures[0].reason}")
    known = set(found.utterances)
    used = [utterance for utterance in utterances if utterance.id in known]
    return score_vectors(
        found.vectors,
        [u.text for u in used],
        [u.duration for u in used],
        name=module.card.name,
        distractors=distractors,
        text_model=text_model,
        pooling=pooling,
        baselines=baselines,
    )


def text_space(module: Semantics, text_model: TextModel | None = None) -> tuple[TextModel, str]:
    """Text model and pooling whose space a module lives in, from its card."""
    model, _, pooling = module.card.target.rpartition(":")
    if not model and text_model is None:
        raise SemanticsError(
            f"The module {module.card.name!r} does not say which text space it was trained on. Give --text-model."
        )
    text_model = text_model or TextModel(model.rpartition("@")[0])
    if text_model.card.dims != module.card.dims:
        raise SemanticsError(
            f"The module {module.card.name!r} has {module.card.dims} dims and the text model {text_model.card.name!r} "
            f"{text_model.card.dims}. Evaluate with the text model that it was trained on: {module.card.target or 'unknown'}."
        )
    return text_model, pooling or "mean"


def score_vectors(
    vectors: np.ndarray,
    texts: Sequence[str],
    seconds: Sequence[float],
    *,
    name: str,
    text_model: TextModel,
    pooling: str,
    distractors: Sequence[str] = (),
    baselines: Any = None,
) -> list[dict[str, Any]]:
    """Scores of vectors that are there already, beside the baselines; see :func:`evaluate`."""
    from analysis.wav2sem.evaluation import scores

    odd = int((~np.isfinite(vectors).all(axis=1)).sum())
    if odd:
        raise _not_finite(name, odd, len(vectors))
    gallery = list(dict.fromkeys([normalized(text) for text in (*texts, *distractors)]))
    where = {text: i for i, text in enumerate(gallery)}
    embedded = text_model.embed(gallery, pooling=pooling)
    right = np.array([where[normalized(text)] for text in texts])
    rows = [{"name": name} | scores(vectors, embedded[right], embedded, right)]
    for baseline in ("mean", "length") if baselines is not None else ():
        made = baselines.vectors(baseline, seconds)
        rows.append({"name": f"baseline: {baseline}"} | scores(made, embedded[right], embedded, right))
    return rows


def _not_finite(name: str, count: int, total: int) -> SemanticsError:
    return SemanticsError(
        f"The module {name} gives vectors with NaN or infinite values for {count} of {total} utterances, so it has no score. Its "
        "training diverged or its weights are damaged: train it again with a lower learning rate, or fetch them again."
    )


def with_settings(recipe: Recipe, given: dict[str, Any]) -> Recipe:
    """The recipe with other values; names are those of :class:`Recipe` or of the training settings."""
    own = {k: v for k, v in given.items() if k in Recipe.__dataclass_fields__ and k != "settings"}
    rest = {k: v for k, v in given.items() if k not in own}
    return replace(recipe, **own, settings=recipe.settings | rest)


def cached_vectors(module: Semantics, folder: Path) -> tuple[np.ndarray, list[str], list[float]]:
    """Vectors, texts and durations (s) of the clips in a cache of frames, whole."""
    from analysis.wav2sem.data import FrameData
    from analysis.wav2sem.frames import FrameCache
    from analysis.wav2sem.sources import SharedSemantics
    from analysis.wav2sem.training import module_vectors

    data = FrameData([FrameCache(folder)])
    told = data.settings
    if not isinstance(module, SharedSemantics):
        raise SemanticsError(f"The module {module.card.name!r} does not sit on a host's frames. Evaluate it with --corpus.")
    config = module.module.config
    if (told["host"], tuple(told["layers"]), told["stride"]) != (config.host, config.layers, config.stride):
        raise SemanticsError(
            f"{folder} holds layers {told['layers']} of {told['host']}; the module {module.card.name!r} reads layers "
            f"{list(config.layers)} of {config.host}."
        )
    vectors, texts, seconds = module_vectors(module.module, data, module.device)
    return vectors, texts, seconds.tolist()
