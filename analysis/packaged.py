"""Models that come as Python packages, and where else the same weights are: the hub, by id and sha256.

A package can vanish from its index, and a machine may reach the hub alone. Whichever source gives the file, its hash decides
whether it is the file that this toolkit knows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from analysis.errors import AnalysisError

__all__ = ["PackagedModel", "sha256_of"]


@dataclass(frozen=True)
class PackagedModel:
    """One model with its two sources.

    Attributes
    ----------
    title : str
        As messages name it.
    package : str
        Name and version on the Python package index.
    installed : callable
        Gives the folder inside the installed package; raises ImportError where it is not installed.
    repository : str
        Hub id.
    file : str
        The weights, in the package's folder and, unless ``hub_file`` says otherwise, in the repository.
    sha256 : str
        Of the weights.
    beside : tuple of str
        Further files of the repository that are needed with them.
    by_hash : bool
        The repository keeps the weights under a name that is looked up by their hash.
    error : type
        Of the errors raised.
    """

    title: str
    package: str
    installed: Callable[[], Path | str]
    repository: str
    file: str
    sha256: str
    beside: tuple[str, ...] = ()
    by_hash: bool = False
    error: type[AnalysisError] = AnalysisError

    def weights(self) -> Path:
        """The file of weights, from the package or from the hub; what else is needed lies beside it.

        Raises
        ------
        AnalysisError
            If neither source has the weights, or what they have is another file. The message names both.
        """
        try:
            path = Path(self.installed()) / self.file
        except ImportError:
            lack = f"its package {self.package} is not installed"
        else:
            lack = self._lack_of(path)
            if not lack:
                return path
        try:
            path = self._from_hub()
            other = self._lack_of(path)
        except Exception as error:  # the hub's client raises what its many layers raise
            other = f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no reason given'])[0]}"
        if not other:
            return path
        raise self.error(
            f"{self.title} cannot be had: {lack}, and {self.repository} on the hub gives no such file ({other}). Either is enough:\n"
            f"    pip install --force-reinstall {self.package}\n"
            f"    hf download {self.repository}   (on a machine with access to the hub; copy its cache here)"
        )

    def _lack_of(self, path: Path) -> str:
        """Why ``path`` is not the file, or nothing."""
        if not path.is_file():
            return f"there is no {path}"
        found = sha256_of(path)
        return "" if found == self.sha256 else f"{path} has the sha256 {found}, not {self.sha256}"

    def _from_hub(self) -> Path:
        from huggingface_hub import HfApi, hf_hub_download

        name = self.file
        if self.by_hash:
            files = HfApi().model_info(self.repository, files_metadata=True).siblings or []
            found = [file.rfilename for file in files if file.lfs is not None and file.lfs.sha256 == self.sha256]
            if not found:
                raise FileNotFoundError(f"none of its {len(files)} files has the sha256 {self.sha256}")
            name = found[0]
        for other in self.beside:
            hf_hub_download(self.repository, other)
        return Path(hf_hub_download(self.repository, name))


def sha256_of(path: Path) -> str:
    """sha256 of a file; read once while it does not change."""
    state = path.stat()
    return _digest(str(path), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=16)
def _digest(path: str, size: int, changed: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
