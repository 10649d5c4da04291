"""Every setting of a run. The command line, YAML files and notebooks all set these fields: names are flags, docs are the help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import PurePath
from typing import Any, Literal, TypedDict, get_args, get_origin, get_type_hints

from analysis.config import check_kinds, content_hash, settings_from
from analysis.errors import ConfigurationError
from analysis.separation.settings import SeparationSettings

__all__ = ["WITHOUT_INFLUENCE", "DecoupleConfig", "ProjectionSettings", "Settings"]

#: Settings that set no number: where things lie, how fast they go, what is only looked at.
WITHOUT_INFLUENCE = frozenset(
    {"corpus", "alignments", "vectors", "trust_store", "device", "workers", "out", "audio", "strict", "projection"}
)


@dataclass(frozen=True)
class ProjectionSettings:
    """The map of syllables: for looking, never for claims.

    Parameters
    ----------
    method : str
        How vectors are laid out in the plane.
    n_neighbors : int
        Neighbours that UMAP keeps close.
    min_dist : float
        How tightly UMAP packs points.
    max_points : int
        Tokens on the map; more are sampled per type, with the run's seed.
    max_pairs : int
        Near-homophone pairs on the map, those with most tokens first.
    """

    method: Literal["umap", "tsne", "pca", "pacmap"] = "umap"
    n_neighbors: int = 15
    min_dist: float = 0.1
    max_points: int = 2000
    max_pairs: int = 40

    def __post_init__(self) -> None:
        check_kinds(self, "projection: ")
        for name, low, high in (("n_neighbors", 2, 10**6), ("min_dist", 0, 1), ("max_points", 0, 10**9), ("max_pairs", 0, 10**9)):
            if not low <= getattr(self, name) <= high:
                raise ConfigurationError(f"projection: {name} must lie in [{low}, {high}], not {getattr(self, name)!r}.")


@dataclass(frozen=True)
class DecoupleConfig:
    """What to analyse and how.

    Parameters
    ----------
    corpus : str
        `demo`, a LibriSpeech tree, a folder of audio and transcripts, or a manifest (path, transcript, speaker).
    speaker_level : int, optional
        The folder that names the speaker, where the layout's own rule is not meant: 1 is the one just inside the corpus, -1 the one
        that holds the recording.
    speaker_pattern : str, optional
        Regular expression that finds the speaker in each path below the corpus, such as `(spk[0-9]+)_`.
    alignments : str, optional
        Folder of TextGrids to read instead of aligning.
    vectors : str, optional
        Folder that `python -m analysis.embeddings` wrote of this corpus, on a cluster say: its tokens and vectors are scored,
        nothing is aligned or encoded.
    trust_store : bool
        Score `vectors` without comparing each file with the hash that was noted when it was written.
    aligner : str
        What finds words and phones where no alignments are given: `pocketsphinx`, `mfa`, `ctc`, `labels` (reads those that the corpus
        brings: TIMIT, Buckeye), `textgrid` (reads `alignments`), or one that an installed package announces.
    aligner_options : dict
        Further options of the aligner, by name: `--aligner_options.model facebook/wav2vec2-base-960h`.
    encoder : list of str
        Speech encoders, one --encoder each: `bundled`, a hub id, a local folder, `mfcc`, `logmel`, `random:ID`, ...
    revision : str, optional
        Revision of hub encoders.
    wav2sem : str
        Semantic module: `bundled`, the folder of one that was trained or converted, or `none`.
    oracle : str
        Upper reference, the transcript's own embedding by the packaged text model: its token mean, its CLS token, or none.
    fusion : str
        How the semantic vector enters a frame. `linear` and `paper` need --fusion_weights, and score the layer that those are for.
    fusion_weights : str, optional
        Folder that `python -m analysis.wav2sem fusion` wrote.
    share : float
        Mean size of the added vector, over utterances, as a share of the mean frame norm of the layer.
    scale : str
        `share` sizes the vectors by --share; `as_is` adds them unscaled, as the released module does.
    unit : str
        What a token is.
    layers : str
        `all`, `last`, or numbers such as `0,6,12`. Layer 0 is the input of the first Transformer layer. `final`, alone or among
        numbers, is the state after the norm that ends large wav2vec 2.0, HuBERT and WavLM; it is their last layer.
    pooling : str
        How the frames of a token become one vector.
    slicing : str
        `feature` encodes the whole utterance and cuts frames; `audio` cuts the token out first. They give different science.
    dtw : bool
        Also take ABX errors of frames aligned by dynamic time warping (distance `dtw_angular`), as zero-resource scores are
        published. Encodes their utterances a second time. The demo takes 20 seconds more a layer for 667 tokens, other corpora by
        the square of their tokens of near-homophones, of which separation.max_tokens_scale_free is the most.
    lexicon : str
        Pronunciations, for aligners and for stress: `cmudict`, a name in lexicons/ such as `mandarin`, or a dictionary file.
    inventory : str, optional
        Phones of the lexicon and of the alignments: a name (`arpabet`, `ipa`, `mandarin`, ...) or a file; by default the lexicon's.
    pairs : str, optional
        List of pairs to score, a file or a name in lexicons/pairs; by default they are mined from the corpus.
    pairs_of : str, optional
        Token pairs scored as near-homophones, several with commas between: `content` (stressed syllables of content words of
        different lemmas: `whole_word` and `word_part`), `unstressed`, `function_word`, `inflection`, `all`. The others are shown as
        relations of their own; two forms of one word are never near-homophones. By default `content`, or `all` where that leaves
        fewer pairs than an interval needs, which the report then says; of a list (--pairs) `all`.
    threshold : float
        Near-homophones have a phone distance (edits over the longer length) in (0, threshold].
    min_tokens : int, optional
        Pairs with fewer tokens of either type are left out; by default 4, or the largest number that leaves as many pairs as an
        interval needs, which the report then says.
    max_pairs : int
        Near-homophone pairs scored at most, those with most tokens first; 0 for no limit.
    keep_marked : bool
        Keep utterances whose alignment is beyond the quality limits.
    device : str
        Where encoders run.
    dtype : str
        Precision in which encoders run.
    workers : int
        Processes for aligning and, on a CPU, encoding; 0 for one a core.
    out : str, optional
        Where the report goes; reports/CORPUS NAME by default.
    audio : bool
        Put the recordings into the report, so that a click plays a syllable.
    seed : int
        Of every draw: nulls, bootstrap, sampling, map.
    strict : bool
        Stop at the first failure instead of listing it.
    separation : SeparationSettings
        Distances, nulls and intervals; seed, share and fusion follow those of the run.
    projection : ProjectionSettings
        The map.

    Examples
    --------
    >>> DecoupleConfig(corpus="speech/", layers="0,6,12").layer_numbers()
    [0, 6, 12]
    """

    corpus: str = "demo"
    speaker_level: int | None = None
    speaker_pattern: str | None = None
    alignments: str | None = None
    vectors: str | None = None
    trust_store: bool = False
    aligner: str = "pocketsphinx"
    aligner_options: dict[str, Any] = field(default_factory=dict)
    encoder: list[str] = field(default_factory=lambda: ["bundled"])
    revision: str | None = None
    wav2sem: str = "bundled"
    oracle: Literal["mean", "cls", "none"] = "mean"
    fusion: Literal["add", "linear", "paper", "concat"] = "add"
    fusion_weights: str | None = None
    share: float = 0.5
    scale: Literal["share", "as_is"] = "share"
    unit: Literal["syllable", "word"] = "syllable"
    layers: str = "all"
    pooling: Literal["mean", "center", "middle", "parts", "max", "medoid"] = "mean"
    slicing: Literal["feature", "audio"] = "feature"
    dtw: bool = False
    lexicon: str = "cmudict"
    inventory: str | None = None
    pairs: str | None = None
    pairs_of: str | None = None
    threshold: float = 0.4
    min_tokens: int | None = None
    max_pairs: int = 200
    keep_marked: bool = False
    device: str = "auto"
    dtype: Literal["float32", "bfloat16", "float16", "int8", "fastest"] = "float32"
    workers: int = 0
    out: str | None = None
    audio: bool = True
    seed: int = 0
    strict: bool = False
    separation: SeparationSettings = field(default_factory=SeparationSettings)
    projection: ProjectionSettings = field(default_factory=ProjectionSettings)

    def __post_init__(self) -> None:
        self._accept_what_notebooks_write()
        for item in fields(self):
            valid = _VALID.get(item.name, ())
            if valid and getattr(self, item.name) not in valid:
                raise ConfigurationError(f"--{item.name} takes {', '.join(valid)}, not {getattr(self, item.name)!r}.")
        if not self.encoder:
            raise ConfigurationError("Name at least one encoder, for example --encoder bundled.")
        if len(set(self.encoder)) != len(self.encoder):
            raise ConfigurationError(f"An encoder is named twice: {', '.join(self.encoder)}.")
        self.classes_of_pairs()
        if not 0 < self.threshold < 1:
            raise ConfigurationError(f"--threshold must lie between 0 and 1, not {self.threshold}; the usual value is 0.4.")
        if not 0 < self.share <= 10:
            raise ConfigurationError(f"--share must be positive (at most 10), not {self.share}; the usual value is 0.5.")
        if not 0 <= self.seed < 2**32:
            raise ConfigurationError(f"--seed must be a whole number from 0 to {2**32 - 1}, not {self.seed}.")
        if self.min_tokens is not None and self.min_tokens < 1:
            raise ConfigurationError(f"--min_tokens must be at least 1, not {self.min_tokens}.")
        for name in ("max_pairs", "workers"):
            if getattr(self, name) < 0:
                raise ConfigurationError(f"--{name} must be 0 or more, not {getattr(self, name)}.")
        self._check_aligner()
        if self.aligner == "textgrid" and not self.alignments:
            raise ConfigurationError("--aligner textgrid reads existing files: name their folder with --alignments DIR.")
        self.layer_numbers()
        settings = replace(
            self.separation,
            seed=self.seed,
            share=self.share,
            scale=self.scale,
            fusion=self.fusion,
            fusion_weights=self.fusion_weights or self.separation.fusion_weights,
        )
        object.__setattr__(self, "separation", settings)
        if self.dtw:
            self._check_dtw()

    def _accept_what_notebooks_write(self) -> None:
        """One encoder as a string, layers as numbers, paths as such, settings as dicts; then the kind of every value."""
        if isinstance(self.encoder, str | PurePath):
            object.__setattr__(self, "encoder", [str(self.encoder)])
        if isinstance(self.layers, int | list | tuple) and not isinstance(self.layers, bool):
            numbers = [self.layers] if isinstance(self.layers, int) else self.layers
            object.__setattr__(self, "layers", ",".join(map(str, numbers)))
        for item in fields(self):
            if isinstance(value := getattr(self, item.name), PurePath):
                object.__setattr__(self, item.name, str(value))
        asked: Any = self.separation
        for name in ("seed", "share", "scale", "fusion") if isinstance(asked, Mapping) else ():
            given = asked.get(name, getattr(self, name))
            if given != getattr(self, name):
                raise ConfigurationError(
                    f"separation takes {name} from the run, where it is {getattr(self, name)!r}: give {name}={given!r} beside separation, "
                    "not inside it."
                )
        for name, kind in (("separation", SeparationSettings), ("projection", ProjectionSettings)):
            object.__setattr__(self, name, settings_from(kind, getattr(self, name), name))
        check_kinds(self)

    def _check_aligner(self) -> None:
        from analysis.alignment.choice import aligner_names

        if self.aligner not in (names := aligner_names()):
            raise ConfigurationError(f"--aligner takes {', '.join(names)}, not {self.aligner!r}.")

    def _check_dtw(self) -> None:
        if self.vectors:
            raise ConfigurationError(
                f"--dtw aligns the frames of tokens, and {self.vectors} holds one pooled vector a token. Leave --vectors out, so that "
                "the corpus is aligned and encoded here, or leave --dtw out."
            )
        if self.pooling == "parts":
            raise ConfigurationError(
                "--dtw adds semantic vectors to frames, and --pooling parts has three times their dimensions. Use --pooling mean, or "
                "leave --dtw out."
            )
        asked = self.separation
        if "abx_error" not in asked.scale_free or not asked.abx or "raw" not in asked.vectors:
            raise ConfigurationError(
                "--dtw takes ABX errors of warped frames, but these settings take none: abx_error must be among "
                "--separation.scale_free, a condition in --separation.abx and raw among --separation.vectors."
            )

    def layer_numbers(self, n_layers: int | None = None) -> list[int | str] | None:
        """The layers asked for, by number or ``final``; None for all of them.

        Parameters
        ----------
        n_layers : int, optional
            How many hidden states the encoder has; needed to name the last.
        """
        if self.layers == "all":
            return None if n_layers is None else list(range(n_layers))
        if self.layers == "last":
            return None if n_layers is None else [n_layers - 1]
        parts = {part.strip() for part in str(self.layers).split(",")}
        named: list[int | str] = ["final"] if "final" in parts else []
        try:
            numbers = sorted({int(part) for part in parts - {"final"}})
        except ValueError:
            raise ConfigurationError(
                f"--layers takes `all`, `last`, `final` or numbers such as 0,6,12, not {self.layers!r}."
            ) from None
        if not numbers:
            return named
        if numbers[0] < 0 or (n_layers is not None and numbers[-1] >= n_layers):
            limit = "" if n_layers is None else f"; this encoder has layers 0 to {n_layers - 1}"
            raise ConfigurationError(f"--layers {self.layers} asks for layers that do not exist{limit}.")
        return numbers + named

    def classes_of_pairs(self) -> tuple[str, ...] | None:
        """The classes of token pairs that were asked for, or None for the default."""
        from analysis.phonology.composition import PAIRS_OF, pairs_of

        if self.pairs_of is not None:
            return pairs_of(self.pairs_of)
        return PAIRS_OF["all"] if self.pairs else None

    def as_dict(self) -> dict[str, Any]:
        """Every setting, as it stands in the report."""
        return asdict(self)

    def hash(self) -> str:
        """Hash of the settings that set numbers: reports with different ones are not comparable."""
        settings = {name: value for name, value in self.as_dict().items() if name not in WITHOUT_INFLUENCE}
        if self.fusion not in ("linear", "paper"):
            for place in (settings, settings["separation"]):
                place.pop("fusion_weights")
        # reports from before there were these settings stay comparable
        for name, usual in (("inventory", None), ("dtw", False), ("speaker_level", None), ("speaker_pattern", None)):
            if settings[name] == usual:
                settings.pop(name)
        return content_hash(settings)


class Settings(TypedDict, total=False):
    """The keywords of :func:`analysis.run`, for editors and type checkers: the fields of :class:`DecoupleConfig`."""

    corpus: str | PurePath
    speaker_level: int | None
    speaker_pattern: str | None
    alignments: str | PurePath | None
    vectors: str | PurePath | None
    trust_store: bool
    aligner: str
    aligner_options: dict[str, Any]
    encoder: str | list[str]
    revision: str | None
    wav2sem: str
    oracle: Literal["mean", "cls", "none"]
    fusion: Literal["add", "linear", "paper", "concat"]
    fusion_weights: str | PurePath | None
    share: float
    scale: Literal["share", "as_is"]
    unit: Literal["syllable", "word"]
    layers: str | int | list[int]
    pooling: Literal["mean", "center", "middle", "parts", "max", "medoid"]
    slicing: Literal["feature", "audio"]
    dtw: bool
    lexicon: str | PurePath
    inventory: str | PurePath | None
    pairs: str | PurePath | None
    pairs_of: str | None
    threshold: float
    min_tokens: int | None
    max_pairs: int
    keep_marked: bool
    device: str
    dtype: Literal["float32", "bfloat16", "float16", "int8", "fastest"]
    workers: int
    out: str | PurePath | None
    audio: bool
    seed: int
    strict: bool
    separation: SeparationSettings | dict[str, Any]
    projection: ProjectionSettings | dict[str, Any]


# What each closed setting takes: command lines are checked by their parser, notebooks here.
_VALID = {name: get_args(hint) for name, hint in get_type_hints(DecoupleConfig).items() if get_origin(hint) is Literal}
