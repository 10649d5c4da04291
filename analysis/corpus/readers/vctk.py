"""VCTK: ``wav48*/p225/p225_001*.flac`` and ``txt/p225/p225_001.txt``, versions 0.80 to 0.92.

Version 0.92 has two microphones: the first is used, the second where the first is missing. Age, sex and accent come from
``speaker-info.txt``. Speaker p315 has no transcripts in 0.92: its recordings are listed as failures.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from analysis.corpus.audio import is_audio
from analysis.corpus.recording import Recording, in_corpus, read_text, tree
from analysis.errors import CorpusError, Failure

_MICROPHONE = re.compile(r"_mic\d$")
_AUDIO_FOLDERS = ("wav48_silence_trimmed", "wav48", "wav22", "wav16")


def fits(root: Path, sample: Sequence[str]) -> bool:
    """Whether ``txt/`` lies beside ``wav48/`` or ``wav48_silence_trimmed/``."""
    return "txt/" in sample and any(f"{name}/" in sample for name in _AUDIO_FOLDERS)


def read(root: Path) -> Iterator[Recording | Failure]:
    """Recordings by speaker, then number."""
    folder = next((root / name for name in _AUDIO_FOLDERS if (root / name).is_dir()), None)
    if folder is None:
        raise CorpusError(f"{root} has none of the folders {', '.join(_AUDIO_FOLDERS)}. Give the folder of VCTK that holds txt/.")
    about = _speakers(root / "speaker-info.txt")
    lost: list[Failure] = []
    for place, names in tree(folder, lost):
        chosen: dict[str, Path] = {}
        for name in names:  # sorted, so mic1 comes before mic2
            if is_audio(name):
                chosen.setdefault(_MICROPHONE.sub("", Path(name).stem), place / name)
        for utterance, path in chosen.items():
            speaker = place.name
            transcript = root / "txt" / speaker / f"{utterance}.txt"
            text = in_corpus(utterance, lambda path=transcript: read_text(path) if path.is_file() else None)
            if isinstance(text, Failure):
                yield text
                continue
            yield Recording(utterance, path, text, speaker, about.get(speaker, {}), transcript=str(transcript))
    yield from lost


def _speakers(path: Path) -> dict[str, dict[str, str]]:
    if not path.is_file():
        return {}
    about = {}
    for line in read_text(path).splitlines()[1:]:
        fields = line.split()
        if len(fields) >= 3:
            # 0.80 leaves the p out of the names
            name = fields[0] if not fields[0].isdigit() else f"p{fields[0]}"
            about[name] = dict(zip(("age", "sex", "accent"), fields[1:4], strict=False))
    return about
