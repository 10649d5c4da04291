"""Pickles from strangers, read without running them.

The field hands out templates and masks as pickles. A pickle is a program, so only what such files need is allowed: NumPy arrays
and scalars, dictionaries, lists, tuples, strings, bytes and numbers, also as Python 2 wrote them; on request CPU tensors, whose
storages are read by ``torch.load(weights_only=True)``. Every other name is refused before it is looked up, so nothing of a
payload runs.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from analysis.errors import FaceError

__all__ = ["load_pickle", "loads_pickle"]


def _reconstruct(subtype: type, shape: tuple[int, ...], typecode: Any) -> np.ndarray:
    """An empty array for the pickle machinery to fill; of no subclass."""
    if subtype is not np.ndarray:
        raise pickle.UnpicklingError(f"an array of the class {subtype!r}")
    return np.ndarray.__new__(np.ndarray, shape, "b")


def _scalar(dtype: np.dtype, data: Any = b"") -> np.generic:
    if dtype.hasobject:
        raise pickle.UnpicklingError("a NumPy scalar that holds a Python object")
    return np.frombuffer(data.encode("latin1") if isinstance(data, str) else data, dtype=dtype, count=1)[0]


def _frombuffer(data: Any, dtype: np.dtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    if dtype.hasobject:
        raise pickle.UnpicklingError("a buffer of Python objects")
    return np.frombuffer(data, dtype=dtype).reshape(shape, order=order)


def _latin1_bytes(text: str, encoding: str) -> bytes:
    """What Python 3 writes for bytes in protocol 2; any other codec is refused."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"the codec {encoding!r}")
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _latin1_bytes,
} | {
    (f"numpy.{core}.{module}", name): function
    for core in ("core", "_core")
    for module, name, function in (
        ("multiarray", "_reconstruct", _reconstruct),
        ("multiarray", "scalar", _scalar),
        ("numeric", "_frombuffer", _frombuffer),
    )
}


def _tensor_storage(data: bytes) -> Any:
    import torch

    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def _tensor(*arguments: Any) -> Any:
    from torch._utils import _rebuild_tensor_v2

    return _rebuild_tensor_v2(*arguments)


_TENSORS: dict[tuple[str, str], Callable[..., Any]] = {
    ("torch.storage", "_load_from_bytes"): _tensor_storage,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
}


class _Restricted(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, allowed: dict[tuple[str, str], Any]) -> None:
        super().__init__(stream, encoding="latin1")
        self._allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._allowed:
            raise pickle.UnpicklingError(f"the name {module}.{name}")
        return self._allowed[module, name]


def loads_pickle(data: bytes, *, source: str = "the pickle", tensors: bool = False) -> Any:
    """The value in ``data``, if it is made of arrays, dictionaries, lists, tuples, strings and numbers only.

    Parameters
    ----------
    data : bytes
    source : str
        Named in errors.
    tensors : bool
        Also allow CPU tensors; they come back as tensors.

    Raises
    ------
    FaceError
        If it asks for anything else, or is damaged.
    """
    try:
        return _Restricted(io.BytesIO(data), _ALLOWED | _TENSORS if tensors else _ALLOWED).load()
    except pickle.UnpicklingError as error:
        cause = str(error)
        if cause.startswith(("the name", "an array of", "a NumPy scalar", "a buffer", "the codec")):
            raise FaceError(
                f"{source} asks for {cause}, which could run code. Only NumPy arrays, dictionaries, lists, strings and "
                "numbers are "
                f"read, so nothing of it was run. If you trust the file, open it yourself and save its arrays with numpy.savez."
            ) from None
        raise FaceError(f"{source} is no readable pickle ({cause}). Was the download complete?") from None
    except Exception as error:  # damaged pickles raise nearly anything: EOFError, KeyError, IndexError, ValueError, MemoryError
        raise FaceError(f"{source} is no readable pickle ({type(error).__name__}: {error}). Was the download complete?") from None


def load_pickle(path: str | Path, *, tensors: bool = False) -> Any:
    """The value in a pickle file, by :func:`loads_pickle`."""
    path = Path(path)
    if not path.is_file():
        raise FaceError(f"There is no file {path}.")
    return loads_pickle(path.read_bytes(), source=str(path), tensors=tensors)
