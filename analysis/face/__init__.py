"""Faces: lip vertex error, mean vertex error and upper-face dynamics of predicted vertices, and the framework table.

The public names load their modules when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

# name -> module that defines it
_PUBLIC = {
    "DATASETS": "analysis.face.datasets",
    "FRAMEWORKS": "analysis.face.frameworks",
    "FaceTable": "analysis.face.table",
    "Measure": "analysis.face.evaluation",
    "PRESETS": "analysis.face.presets",
    "Region": "analysis.face.regions",
    "Run": "analysis.face.evaluation",
    "RunMeasures": "analysis.face.evaluation",
    "Truth": "analysis.face.datasets",
    "build_table": "analysis.face.table",
    "evaluate": "analysis.face.evaluation",
    "lip_errors": "analysis.face.metrics",
    "lip_vertex_error": "analysis.face.metrics",
    "load_pickle": "analysis.face.restricted_pickle",
    "mean_vertex_error": "analysis.face.metrics",
    "near_homophone_error": "analysis.face.homophones",
    "read_region": "analysis.face.regions",
    "require_comparable": "analysis.face.evaluation",
    "upper_face_dynamics_deviation": "analysis.face.metrics",
}

__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'analysis.face' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
