"""TIMIT: ``TRAIN/DR1/FCJF0/SA1.WAV`` with ``.TXT``, ``.WRD`` and ``.PHN`` of the same name, in capitals or not.

The label files are kept as ``extra["word_labels"]`` and ``extra["phone_labels"]``; :func:`analysis.corpus.labels.read_timit`
reads them. All speakers read SA1 and SA2, so ids are ``<speaker>_<sentence>``. Copies that were converted to RIFF beside the
originals (``SA1.WAV.wav``) give one recording, the converted one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from analysis.corpus.audio import is_audio
from analysis.corpus.recording import Recording, in_corpus, read_text, tree
from analysis.errors import Failure


def fits(root: Path, sample: Sequence[str]) -> bool:
    """Whether there are ``.PHN`` files."""
    return any(name.lower().endswith(".phn") for name in sample)


def read(root: Path) -> Iterator[Recording | Failure]:
    """Recordings of all speakers below ``root``; ``extra`` has split and dialect region where the folders tell."""
    lost: list[Failure] = []
    for folder, names in tree(root, lost):
        present = {name.lower(): folder / name for name in names}
        audio: dict[str, Path] = {}
        for name in names:
            if is_audio(name):
                stem = Path(name).stem
                audio[Path(stem).stem if is_audio(stem) else stem] = folder / name
        for stem, path in audio.items():
            transcript = present.get(f"{stem.lower()}.txt")
            extra = {"sentence": stem.upper(), "sex": "F" if folder.name[:1].upper() == "F" else "M"}
            if folder.parent.name.upper().startswith("DR"):
                extra |= {"dialect": folder.parent.name.upper(), "split": folder.parent.parent.name.lower()}
            for key, suffix in (("phone_labels", ".phn"), ("word_labels", ".wrd")):
                if f"{stem.lower()}{suffix}" in present:
                    extra[key] = str(present[f"{stem.lower()}{suffix}"])
            utterance = f"{folder.name.upper()}_{stem.upper()}"
            text = None if transcript is None else in_corpus(utterance, lambda path=transcript: _spoken(read_text(path)))
            if isinstance(text, Failure):
                yield text
                continue
            yield Recording(
                utterance,
                path,
                text,
                folder.name.upper(),
                extra,
                transcript=str(transcript or folder / f"{stem}.TXT"),
            )
    yield from lost


def _spoken(line: str) -> str:
    """Words of ``first_sample last_sample words``; files of other corpora in this layout may hold the words alone."""
    fields = line.split(None, 2)
    return fields[2] if len(fields) == 3 and fields[0].isdigit() and fields[1].isdigit() else line
