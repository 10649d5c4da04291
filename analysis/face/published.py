"""The published table: with and without Wav2Sem, six methods, two data sets, in the units it is printed in."""

from __future__ import annotations

__all__ = ["PUBLISHED", "published_value"]

#: Method -> data set -> metric -> (without, with). LVE is a squared length, MVE a length; the exponents are those of
#: :data:`analysis.face.datasets.DATASETS`.
PUBLISHED: dict[str, dict[str, dict[str, tuple[float, float]]]] = {
    "VOCA": {
        "vocaset": {"lve": (4.9245, 4.8915), "mve": (6.1571, 6.0015), "fdd": (4.8447, 4.7814)},
        "biwi": {"lve": (6.7158, 6.6821), "mve": (8.3606, 8.3175), "fdd": (7.5320, 7.3571)},
    },
    "FaceFormer": {
        "vocaset": {"lve": (4.1090, 3.9891), "mve": (5.1558, 5.0962), "fdd": (4.6675, 4.5317)},
        "biwi": {"lve": (4.9847, 4.9571), "mve": (7.1658, 7.0956), "fdd": (5.0972, 4.9157)},
    },
    "CodeTalker": {
        "vocaset": {"lve": (3.9445, 3.8838), "mve": (4.6132, 4.5762), "fdd": (4.4522, 4.3654)},
        "biwi": {"lve": (4.7914, 4.7751), "mve": (7.3980, 7.2519), "fdd": (4.1170, 3.9181)},
    },
    "UniTalker": {
        "vocaset": {"lve": (3.5416, 3.1476), "mve": (4.1271, 4.0973), "fdd": (4.7125, 4.5174)},
        "biwi": {"lve": (4.0213, 3.9112), "mve": (6.6104, 6.5101), "fdd": (4.1296, 4.0214)},
    },
    "FaceDiffuser": {
        "vocaset": {"lve": (3.7924, 3.7739), "mve": (4.3651, 4.3493), "fdd": (4.2647, 4.2523)},
        "biwi": {"lve": (4.2985, 4.2521), "mve": (6.8088, 6.5725), "fdd": (3.9101, 3.8635)},
    },
    "LG-LDM": {
        "vocaset": {"lve": (3.7925, 3.7863), "mve": (3.7162, 3.7042), "fdd": (3.9154, 3.9014)},
        "biwi": {"lve": (4.9869, 4.9258), "mve": (7.7298, 7.6952), "fdd": (4.3637, 4.3121)},
    },
}


def published_value(method: str, dataset: str, metric: str, *, with_module: bool) -> float | None:
    """The printed value, in the printed unit; None where there is none."""
    values = PUBLISHED.get(method, {}).get(dataset, {}).get(metric)
    return None if values is None else values[with_module]
