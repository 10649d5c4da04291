"""Where each animation framework keeps its speech encoder, and what it does to the frames: one table, read by name.

Nothing here was read out of a checkpoint: prefixes and containers are deduced from the frameworks' released module names and
save code, and the loader says so when a checkpoint does not agree. Frames are those of the released forward passes; ``checked``
says of each row what its frames were compared with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["FRAMEWORKS", "Framework", "FrameworkData"]


@dataclass(frozen=True)
class FrameworkData:
    """What one framework does with one data set.

    Attributes
    ----------
    name : str
        ``vocaset`` or ``biwi``.
    base : str
        Hub id of the pretrained model that the encoder was started from.
    fps : float
        Frame rate of the face.
    resample : str
        Where frames are brought to the framework's rate by linear interpolation (``align_corners=True``): ``before`` the
        Transformer, ``after`` it, or ``none``.
    rate : float
        Frames per second after resampling (50 where there is none).
    count : str
        How many frames resampling makes: ``features``, ``int(frames / 50 * rate)`` of the convolutions' frames; ``round``,
        ``round(samples / 16000 * rate)``; ``video``, two for each of ``int(samples / 16000 * fps)`` faces.
    paired : bool
        Two neighbouring frames are concatenated into one of twice the dims.
    even : str
        Where a last odd frame is dropped: ``before`` the Transformer, ``after`` it, or empty.
    projection : str
        Module that the encoder's output passes through next (a linear layer, or linear, Mish, linear), empty where there is none.
    scripts : tuple of str
        Where the framework's scripts ask for different numbers of faces: ``test``, as above, and ``predict``, one face less.
    checked : str
        What the frames were compared with beside the tests' reference: ``released class``, the framework's own modules with random
        weights (40 clips of 0.5 to 12 s, equal to 6e-7 of the clip's size).
    note : str
        What a user must know of this row.
    large_base : str
        Base of the framework's larger variant (1024 dims), empty where there is none.
    """

    name: str
    base: str
    fps: float
    resample: str
    rate: float
    count: str = "features"
    paired: bool = False
    even: str = ""
    projection: str = ""
    scripts: tuple[str, ...] = ()
    checked: str = "released class"
    note: str = ""
    large_base: str = ""


@dataclass(frozen=True)
class Framework:
    """One animation framework.

    Attributes
    ----------
    name, title : str
        As used in encoder names; as written in its paper.
    container : tuple of str
        Keys to go through in the saved file to reach the state dict; empty for a bare state dict.
    prefix : str
        What stands before the encoder's own keys in the state dict.
    frozen : tuple of str
        Prefixes of the base model's parameters that training leaves untouched.
    data : tuple of FrameworkData
    fusion : str
        Where a semantic vector is added.
    """

    name: str
    title: str
    container: tuple[str, ...]
    prefix: str
    frozen: tuple[str, ...]
    data: tuple[FrameworkData, ...]
    fusion: str

    def for_data(self, name: str) -> FrameworkData:
        """The row of one data set; KeyError with the known names otherwise."""
        for row in self.data:
            if row.name == name:
                return row
        raise KeyError(f"{self.title} is described for {', '.join(row.name for row in self.data)}, not for {name!r}")


_WAV2VEC2 = "facebook/wav2vec2-base-960h"
_XLSR = "facebook/wav2vec2-large-xlsr-53"
_XLSR_ENGLISH = "jonatasgrosman/wav2vec2-large-xlsr-53-english"
_HUBERT = "facebook/hubert-base-ls960"
_ENCODER_CLASS = "released encoder class"
_CONVOLUTIONS = ("feature_extractor.",)
_FIRST_LAYERS = (*_CONVOLUTIONS, "feature_projection.", "encoder.layers.0.", "encoder.layers.1.")

_TABLE = (
    Framework(
        "faceformer",
        "FaceFormer",
        (),
        "audio_encoder.",
        _CONVOLUTIONS,
        (
            FrameworkData("vocaset", _WAV2VEC2, 30.0, "before", 30.0, projection="audio_feature_map", checked=_ENCODER_CLASS),
            FrameworkData(
                "biwi", _WAV2VEC2, 25.0, "none", 50.0, even="before", projection="audio_feature_map", checked=_ENCODER_CLASS
            ),
        ),
        "after the encoder, before audio_feature_map",
    ),
    Framework(
        "codetalker",
        "CodeTalker",
        ("state_dict",),
        "audio_encoder.",
        _CONVOLUTIONS,
        (
            FrameworkData("vocaset", _WAV2VEC2, 30.0, "before", 30.0, projection="audio_feature_map", checked=_ENCODER_CLASS),
            FrameworkData(
                "biwi", _WAV2VEC2, 25.0, "none", 50.0, even="before", projection="audio_feature_map", checked=_ENCODER_CLASS
            ),
        ),
        "after the encoder, before audio_feature_map",
    ),
    Framework(
        "unitalker",
        "UniTalker",
        (),
        "audio_encoder.",
        _CONVOLUTIONS,
        tuple(
            FrameworkData(
                data,
                "microsoft/wavlm-base-plus",
                fps,
                "after",
                fps,
                count="round",
                projection="decoder.audio_feature_map",
                large_base=_XLSR,
            )
            for data, fps in (("vocaset", 30.0), ("biwi", 25.0))
        ),
        "before the decoder (the large model, from facebook/wav2vec2-large-xlsr-53, needs a 768 -> 1024 linear)",
    ),
    Framework(
        "facediffuser",
        "FaceDiffuser",
        (),
        "audio_encoder.",
        _FIRST_LAYERS,
        (
            FrameworkData(
                "vocaset",
                _HUBERT,
                30.0,
                "after",
                60.0,
                count="video",
                paired=True,
                projection="cond_projection",
                scripts=("test", "predict"),
            ),
            FrameworkData(
                "biwi",
                _HUBERT,
                25.0,
                "none",
                50.0,
                paired=True,
                even="after",
                projection="cond_projection",
                scripts=("test", "predict"),
            ),
        ),
        "after the encoder, before the frames are paired",
    ),
    Framework(
        "lgldm",
        "LG-LDM",
        ("model",),
        "denoise_fn.audio_encoder.",
        _CONVOLUTIONS,
        (
            FrameworkData(
                "vocaset",
                "facebook/hubert-large-ls960-ft",
                30.0,
                "none",
                50.0,
                even="before",
                projection="audio_extract",
                checked="released encoder class, called without the data set's name",
                note="the released forward pass fails (it gives the data set's name as attention mask), so these frames cannot be "
                "verified: they are those of the same code without the name",
            ),
            FrameworkData("biwi", _WAV2VEC2, 25.0, "none", 50.0, paired=True, even="before", projection="audio_extract"),
        ),
        "after the last hidden state",
    ),
    Framework(
        "diffspeaker",
        "DiffSpeaker",
        ("state_dict",),
        "audio_encoder.",
        _CONVOLUTIONS,
        (
            FrameworkData(
                "vocaset",
                _WAV2VEC2,
                30.0,
                "after",
                30.0,
                projection="denoiser.audio_feature_map",
                note="its configuration called hubert starts from wav2vec 2.0 on VOCASET too",
            ),
            FrameworkData("biwi", _WAV2VEC2, 25.0, "after", 25.0, projection="denoiser.audio_feature_map"),
        ),
        "after the encoder, before the frames are resampled",
    ),
    Framework(
        "facexhubert",
        "FaceXHuBERT",
        (),
        "audio_encoder.",
        _FIRST_LAYERS,
        (FrameworkData("biwi", _HUBERT, 25.0, "none", 50.0, paired=True, even="after"),),
        "after the encoder, before the frames are paired",
    ),
    Framework(
        "selftalk",
        "SelfTalk",
        (),
        "audio_encoder.",
        _CONVOLUTIONS,
        (
            FrameworkData("vocaset", _XLSR_ENGLISH, 30.0, "before", 30.0, projection="audio_feature_map", checked=_ENCODER_CLASS),
            FrameworkData("biwi", _XLSR_ENGLISH, 25.0, "none", 50.0, paired=True, even="after", projection="audio_feature_map"),
        ),
        "after the encoder (1024 dims: needs a 768 -> 1024 linear)",
    ),
)

#: Frameworks with an encoder inside, by the name used in encoder specifications. VOCA has none: its DeepSpeech logits are made
#: offline and come in through ``features:DIR``.
FRAMEWORKS: Mapping[str, Framework] = MappingProxyType({framework.name: framework for framework in _TABLE})
