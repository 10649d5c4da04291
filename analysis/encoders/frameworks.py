"""Where each animation framework keeps its speech encoder, and what it does to the frames: one table, read by name.

Nothing here was read out of a checkpoint: prefixes and containers are deduced from the frameworks' released module names and
save code, and the loader says so when a checkpoint does not agree.
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
    paired : bool
        Two neighbouring frames are concatenated into one of twice the dims.
    even : str
        Where a last odd frame is dropped: ``before`` the Transformer, ``after`` it, or empty.
    projection : str
        Module that the encoder's output passes through next, empty where there is none.
    large_base : str
        Base of the framework's larger variant (1024 dims), empty where there is none.
    """

    name: str
    base: str
    fps: float
    resample: str
    rate: float
    paired: bool = False
    even: str = ""
    projection: str = ""
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
_CONVOLUTIONS = ("feature_extractor.",)

_TABLE = (
    Framework(
        "faceformer",
        "FaceFormer",
        (),
        "audio_encoder.",
        _CONVOLUTIONS,
        (
            FrameworkData("vocaset", _WAV2VEC2, 30.0, "before", 30.0, projection="audio_feature_map"),
            FrameworkData("biwi", _WAV2VEC2, 25.0, "none", 50.0, even="before", projection="audio_feature_map"),
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
            FrameworkData("vocaset", _WAV2VEC2, 30.0, "before", 30.0, projection="audio_feature_map"),
            FrameworkData("biwi", _WAV2VEC2, 25.0, "none", 50.0, even="before", projection="audio_feature_map"),
        ),
        "after the encoder, before audio_feature_map",
    ),
    Framework(
        "unitalker",
        "UniTalker",
        (),
        "audio_encoder.",
        _CONVOLUTIONS,
        (
            FrameworkData("vocaset", "microsoft/wavlm-base-plus", 30.0, "after", 30.0, large_base=_XLSR),
            FrameworkData("biwi", "microsoft/wavlm-base-plus", 25.0, "after", 25.0, large_base=_XLSR),
        ),
        "before the decoder (the large model, from facebook/wav2vec2-large-xlsr-53, needs a 768 -> 1024 linear)",
    ),
    Framework(
        "facediffuser",
        "FaceDiffuser",
        (),
        "audio_encoder.",
        (*_CONVOLUTIONS, "feature_projection.", "encoder.layers.0.", "encoder.layers.1."),
        (
            FrameworkData("vocaset", "facebook/hubert-base-ls960", 30.0, "after", 60.0, paired=True, even="after"),
            FrameworkData("biwi", "facebook/hubert-base-ls960", 25.0, "none", 50.0, paired=True, even="after"),
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
            FrameworkData("vocaset", "facebook/hubert-large-ls960-ft", 30.0, "none", 50.0, even="after"),
            FrameworkData("biwi", _WAV2VEC2, 25.0, "none", 50.0, paired=True, even="after"),
        ),
        "after the last hidden state",
    ),
)

#: Frameworks with an encoder inside, by the name used in encoder specifications. VOCA has none: its DeepSpeech logits are made
#: offline and come in through ``features:DIR``.
FRAMEWORKS: Mapping[str, Framework] = MappingProxyType({framework.name: framework for framework in _TABLE})
