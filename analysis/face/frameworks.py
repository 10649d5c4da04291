"""The six animation frameworks of the published table, one row of data each: how predictions look and how they are measured.

What is inside (encoder, dims, rate, where the semantic vector enters) is stated once, in :mod:`analysis.encoders.frameworks`;
VOCA, whose DeepSpeech logits are made offline, is stated here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from analysis.encoders.frameworks import FRAMEWORKS as ENCODERS

__all__ = ["FRAMEWORKS", "Framework", "find_framework"]


@dataclass(frozen=True)
class Framework:
    """One row of the framework table.

    Attributes
    ----------
    name : str
        As the published table's method, in its usual spelling.
    published_encoder : str
        The audio encoder as the published table names it (the released code may use another: see ``bases``).
    encoder : str
        Key of :data:`analysis.encoders.frameworks.FRAMEWORKS`; empty for VOCA.
    naming : str
        How predictions are named.
    preset : str
        The preset of its own evaluation script, or of the script that its paper follows.
    fps : mapping of str to int
        Frames a second of its predictions, by data set.
    scale : mapping of str to float
        What its predictions are multiplied by, by data set.
    """

    name: str
    published_encoder: str
    encoder: str
    naming: str
    preset: str
    fps: Mapping[str, int]
    scale: Mapping[str, float] = field(default_factory=dict)

    def bases(self) -> dict[str, str]:
        """Pretrained model of the released code, by data set."""
        if not self.encoder:
            return {"vocaset": "DeepSpeech 0.1.0 logits, 29 dims", "biwi": "DeepSpeech 0.1.0 logits, 29 dims"}
        return {row.name: row.base for row in ENCODERS[self.encoder].data}

    def checked(self) -> dict[str, str]:
        """What the frames of its encoder were compared with, and what must be known of them, by data set."""
        if not self.encoder:
            return {"vocaset": "made outside", "biwi": "made outside"}
        return {row.name: row.checked + (f"; {row.note}" if row.note else "") for row in ENCODERS[self.encoder].data}

    def fusion(self) -> str:
        """Where a semantic vector is added."""
        if not self.encoder:
            return "to the 29 logits through a 768 -> 29 linear (the paper's choice is unpublished)"
        return ENCODERS[self.encoder].fusion

    def rates(self) -> dict[str, str]:
        """Frame rates on the way from audio to face, by data set."""
        if not self.encoder:
            return {"vocaset": "50 -> 60 Hz offline, windows of 16", "biwi": "50 -> 60 Hz offline, windows of 16"}
        rates = {}
        for row in ENCODERS[self.encoder].data:
            where = "50 Hz" if row.resample == "none" else f"50 -> {row.rate:g} Hz {row.resample} the Transformer"
            odd = f", an odd frame dropped {row.even} it" if row.even else ""
            rates[row.name] = where + odd + (", frames paired" if row.paired else "")
        return rates


_CONDITIONED = "CLIP_condition_SUBJECT.npy"
_FPS = {"vocaset": 30, "biwi": 25}

#: The animation frameworks whose predictions and checkpoints are read, by name.
FRAMEWORKS: dict[str, Framework] = {
    framework.name: framework
    for framework in (
        Framework("VOCA", "DeepSpeech", "", "CLIP/meshes/00000.obj", "codetalker", {"vocaset": 60, "biwi": 25}),
        Framework("FaceFormer", "Wav2Vec 2.0", "faceformer", _CONDITIONED, "codetalker", _FPS),
        Framework("CodeTalker", "Wav2Vec 2.0", "codetalker", _CONDITIONED, "codetalker", _FPS),
        Framework("UniTalker", "Wav2Vec 2.0", "unitalker", "NAME.npz, entry CLIP.wav", "unitalker", _FPS, {"biwi": 0.2}),
        Framework(
            "FaceDiffuser", "HuBERT", "facediffuser", f"{_CONDITIONED}, CLIP_condition_SUBJECT_K.npy", "facediffuser", _FPS
        ),
        Framework("LG-LDM", "HuBERT", "lgldm", f"VOCASET: {_CONDITIONED}; BIWI: CLIP.npy", "facediffuser", _FPS),
    )
}

_ALIASES = {"facediffuse": "FaceDiffuser", "lgldm": "LG-LDM", "face-diffusion-model": "LG-LDM"}


def find_framework(name: str) -> Framework | None:
    """The framework of that name in any case, with anything after the first plus sign left out; None if it is another method."""
    base = name.split("+")[0].strip().lower()
    base = _ALIASES.get(base, base).lower()
    return next((row for row in FRAMEWORKS.values() if row.name.lower() == base), None)
