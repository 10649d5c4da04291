"""Alignments in a folder, whatever program wrote them: which of its files they are, and the tiers in one of them.

TextGrids come first: where a folder has one, its other files are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from analysis.alignment.mfa_files import read_content as read_mfa
from analysis.alignment.parts import without_gaps
from analysis.alignment.tiers import TextGridContent, Tier, read_tiers
from analysis.errors import AlignmentError, ConfigurationError

__all__ = ["read_contents", "suffix_of"]

_EMU = "_annot.json"
# Files that hold alignments in forms that are not read from a folder: what they are, and what to do.
_OTHERS = {
    _EMU: ("annotations of EMU", "Export TextGrids with export_TextGridCollection() of emuR."),
    ".lab": ("label files of HTK or Festival", "Put them beside the recordings and take --aligner labels."),
    ".phn": ("label files of TIMIT", "Name the folder that holds the recordings too as the corpus and take --aligner labels."),
    ".phones": (
        "label files of Buckeye",
        "Name the folder that holds the recordings too as the corpus and take --aligner labels.",
    ),
    ".ctm": ("CTM files", "Convert them to TextGrids."),
    ".mlf": ("master label files of HTK", "Convert them to TextGrids."),
    ".rec": ("label files of HTK", "Convert them to TextGrids."),
    ".textgrids": ("files whose ending is .TextGrids", "Rename them to .TextGrid."),
}


def suffix_of(folder: Path) -> str:
    """Ending, in lower case, of the alignments below a folder: ``.textgrid``, else MFA's ``.json`` or ``.csv``, else ``.eaf``.

    Raises
    ------
    ConfigurationError
        If there are only files of a kind that is not read here; the message names the kind and what to do.
    """
    first: dict[str, Path] = {}
    numbers: dict[str, int] = {}
    for path in _files(folder):
        ending = _EMU if path.name.lower().endswith(_EMU) else path.suffix.lower()
        if ending == ".textgrid":
            return ending
        first[ending] = min(path, first.get(ending, path))
        numbers[ending] = numbers.get(ending, 0) + 1
    for ending, holds in ((".json", '"tiers"'), (".csv", "Begin,End,Label,Type,Speaker"), (".eaf", "<ANNOTATION_DOCUMENT")):
        if ending in first and holds in _start(first[ending]):
            return ending
    for ending, (kind, remedy) in _OTHERS.items():
        if ending in first:
            raise ConfigurationError(
                f"{folder} holds no TextGrid, but {kind} ({numbers[ending]}, {first[ending].name}). {remedy}"
            )
    return ".textgrid"


def read_contents(path: Path) -> TextGridContent:
    """The tiers of an alignment file, by its ending: TextGrid, JSON and CSV of MFA, ELAN.

    Raises
    ------
    AlignmentError
        If the file is not what its ending says.
    """
    suffix = path.suffix.lower()
    if suffix == ".eaf":
        return _read_elan(path)
    found = read_tiers(path) if suffix not in (".json", ".csv") else read_mfa(path)
    if found is None:
        raise AlignmentError(f"There is no file {path}.")
    return found


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if not path.name.startswith("."))


def _start(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(4096).decode("utf-8-sig", "replace")
    except OSError:
        return ""


def _read_elan(path: Path) -> TextGridContent:
    from pympi.Elan import Eaf

    try:
        document = Eaf(str(path))
        tiers = {
            name: sorted(
                (start / 1000, end / 1000, label) for start, end, label, *_ in document.get_annotation_data_for_tier(name)
            )
            for name in document.get_tier_names()
        }
    except Exception as error:  # whatever the library raises at a file that is none of ELAN's
        raise AlignmentError(f"{path} is no annotation of ELAN: {type(error).__name__}: {error}.") from error
    end = max((entry[1] for entries in tiers.values() for entry in entries), default=0.0)
    return TextGridContent(
        0.0, end, tuple(without_gaps(Tier(name, True, tuple(entries)), end) for name, entries in tiers.items()), "elan"
    )
