"""LJSpeech: ``wavs/LJ001-0001.wav`` and ``metadata.csv`` with ``id|text as printed|text as spoken`` a line.

The transcript is the text as spoken, with numbers and abbreviations written out; the printed one is kept in
``extra["printed"]`` where they differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from analysis.corpus.audio import is_audio
from analysis.corpus.recording import Recording, composed, corpus_failure, read_text
from analysis.errors import CorpusError, Failure


def fits(root: Path, sample: Sequence[str]) -> bool:
    """Whether ``wavs/`` lies beside a ``metadata.csv`` with bars."""
    if "wavs/" not in sample or "metadata.csv" not in sample:
        return False
    with (root / "metadata.csv").open("rb") as file:
        return b"|" in file.readline()


def read(root: Path) -> Iterator[Recording | Failure]:
    """Recordings in the order of ``metadata.csv``, then those in ``wavs/`` that it does not name."""
    table = root / "metadata.csv"
    if not table.is_file():
        raise CorpusError(f"{root} has no metadata.csv. Give the folder that holds it and wavs/ (LJSpeech-1.1).")
    audio = {composed(path.stem): path for path in sorted((root / "wavs").glob("*")) if is_audio(path)}
    # the same voice throughout: LJSpeech, or what the folder is called in corpora of the same layout
    speaker = "LJ" if root.name.lower().startswith("ljspeech") else root.name
    for number, line in enumerate(read_text(table).splitlines(), start=1):
        if not line.strip():
            continue
        name, *texts = line.split("|")
        name = composed(name)
        place = f"line {number} of {table}"
        if not texts:
            yield corpus_failure(name, f"There is no bar in {place}.", "Write `id|text`.")
            continue
        printed, spoken = texts[0], texts[-1]
        extra = {"printed": printed} if printed != spoken else {}
        path = audio.pop(name, root / "wavs" / f"{name}.wav")
        yield Recording(name, path, spoken or printed, speaker, extra, transcript=place)
    for name, path in audio.items():
        yield Recording(name, path, None, speaker, transcript=str(table))
