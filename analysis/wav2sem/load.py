"""From a name to a source of semantic vectors."""

from __future__ import annotations

from pathlib import Path

from analysis.errors import ConfigurationError
from analysis.wav2sem.types import Semantics

__all__ = ["BUNDLED", "load_semantics"]

BUNDLED = Path(__file__).parent / "bundled"


def load_semantics(spec: str, *, device: str = "auto") -> Semantics:
    """The source of semantic vectors that ``spec`` names.

    Parameters
    ----------
    spec : str
        ``wav2sem``
            the module that comes with the toolkit: audio in, no transcript needed;
        ``oracle:mean``, ``oracle:cls``
            the transcript's own embedding by the packaged MiniLM: an upper reference;
        ``oracle:mean:MODEL``, ``oracle:cls:MODEL``
            the same by another BERT-like model, a hub id or a folder;
        a folder
            written by ``python -m analysis.wav2sem train`` or ``convert``.
    device : str
        ``auto`` takes CUDA where there is one.

    Raises
    ------
    ConfigurationError
        If there is nothing of that name.
    SemanticsError
        If what it names cannot be loaded.
    """
    from analysis.encoders.load import choose_device

    if spec == "oracle" or spec.startswith("oracle:"):
        from analysis.wav2sem.text import POOLINGS, TextModel, TextSemantics

        pooling, _, model = spec.removeprefix("oracle").removeprefix(":").partition(":")
        if pooling not in POOLINGS:
            raise ConfigurationError(f"There is no oracle {spec!r}. Choose oracle:mean, oracle:cls, or oracle:mean:TEXT_MODEL.")
        return TextSemantics(TextModel(model or "minilm", device=str(choose_device(device))), pooling, name=spec)
    folder = BUNDLED if spec == "wav2sem" else Path(spec)
    if not folder.is_dir():
        raise ConfigurationError(
            f"There is no semantic module {spec!r}. Choose wav2sem (bundled), oracle:mean, oracle:cls, or the folder of a module "
            "made by `python -m analysis.wav2sem train` or `convert`."
        )
    from analysis.wav2sem.sources import read_module

    return read_module(folder, device=choose_device(device), name=spec)
