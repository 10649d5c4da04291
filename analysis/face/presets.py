"""Which formula a number was made with: the presets that the field's evaluation scripts define, as data.

Two papers' "LVE" can differ by a root, by how clips of different length are weighted, by a centring of the lips and by the lip
region itself. A preset fixes all of that except the region, which every result carries beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

from analysis.errors import ConfigurationError

__all__ = ["PRESETS", "Preset", "find_preset"]


@dataclass(frozen=True)
class Preset:
    """How lip vertex error, mean vertex error and upper-face dynamics deviation are computed.

    Attributes
    ----------
    name : str
    lve_power : str
        ``squared`` (a squared length) or ``root`` (a length).
    lve_pooling : str
        ``frames``: mean over all frames of all clips, so long clips weigh more; ``clips``: mean per clip, then over clips.
    lips_centred : bool
        Each frame's lips are centred on their own mean first, prediction and truth apart.
    defines : tuple of str
        Metrics that the preset's own script prints. The others are computed as `facediffuser` does and say so.
    source : str
        Whose script this is.
    """

    name: str
    lve_power: str
    lve_pooling: str
    lips_centred: bool
    defines: tuple[str, ...]
    source: str

    def definition(self, metric: str) -> str:
        """Name of the preset whose formula is used for ``metric`` (``lve``, ``mve``, ``fdd``, ``fdd_abs``)."""
        return self.name if metric in self.defines else "facediffuser"


#: By name. Every preset takes MVE as the mean over frames and vertices of the distance, and FDD per clip, then over clips.
PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset("codetalker", "squared", "frames", False, ("lve", "fdd"), "CodeTalker main/cal_metric.py"),
        Preset(
            "facediffuser",
            "squared",
            "frames",
            False,
            ("lve", "mve", "fdd", "fdd_abs"),
            "FaceDiffuser evaluation/compute_objective_metrics.py; LG-LDM computer_metrix.py is the same",
        ),
        Preset("unitalker", "squared", "clips", False, ("lve", "lve_root"), "UniTalker loss/loss.py, mouth_metric"),
        Preset("diffspeaker", "squared", "clips", False, ("lve", "fdd"), "DiffSpeaker alm/models/modeltype/diffusion_bias.py"),
        Preset("meshtalk", "root", "frames", True, ("lve",), "MeshTalk (Richard et al. 2021), as later papers compute it"),
    )
}


def find_preset(preset: str | Preset) -> Preset:
    """The preset of that name.

    Raises
    ------
    ConfigurationError
        If there is none; the message lists those that exist.
    """
    if isinstance(preset, Preset):
        return preset
    if preset not in PRESETS:
        raise ConfigurationError(f"There is no preset {preset!r}. Choose one of: {', '.join(PRESETS)}.")
    return PRESETS[preset]
