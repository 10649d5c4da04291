"""L2-ARCTIC: ``ABA/wav/arctic_a0001.wav`` with ``ABA/transcript/arctic_a0001.txt`` and ``ABA/textgrid/arctic_a0001.TextGrid``.

Opens the folder of one speaker or one that holds several, and corpora with ``audio/`` or ``flac/`` beside ``txt/`` or ``text/``
too. All speakers read the same sentences, so ids are ``<speaker>_<sentence>``. The TextGrids are kept as the recordings'
alignments; those of ``annotation/``, with the errors that annotators marked, as ``extra["annotation"]``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from analysis.corpus.audio import is_audio
from analysis.corpus.recording import Recording, composed, read_text
from analysis.errors import Failure

_AUDIO = ("wav", "wavs", "audio", "flac")
_TEXTS = ("transcript", "transcripts", "txt", "text")
_GRIDS = (("textgrid", "alignment"), ("annotation", "annotation"))


def fits(root: Path, sample: Sequence[str]) -> bool:
    """Whether a folder of audio lies beside one of transcripts."""
    folders = [name.removesuffix("/").rpartition("/") for name in sample if name.endswith("/")]
    audio = {above for above, _, name in folders if name.lower() in _AUDIO}
    return any(above in audio for above, _, name in folders if name.lower() in _TEXTS)


def read(root: Path) -> Iterator[Recording | Failure]:
    """Recordings speaker by speaker, in the order of their names."""
    for speaker in [root, *sorted(path for path in root.rglob("*") if path.is_dir() and not path.name.startswith("."))]:
        inside = {path.name.lower(): path for path in sorted(speaker.iterdir()) if path.is_dir()}
        texts = next((inside[name] for name in _TEXTS if name in inside), None)
        if texts is None:
            continue
        files = {composed(path.stem): path for path in sorted(texts.glob("*")) if path.suffix.lower() in (".txt", ".lab")}
        grids = {
            key: {composed(path.stem): path for path in inside[name].glob("*") if path.suffix.lower() == ".textgrid"}
            for name, key in _GRIDS
            if name in inside
        }
        for name in filter(inside.__contains__, _AUDIO):
            for path in sorted(inside[name].glob("*")):
                if not is_audio(path):
                    continue
                stem = composed(path.stem)
                extra = {"sentence": stem} | {key: str(found[stem]) for key, found in grids.items() if stem in found}
                text = read_text(files[stem]) if stem in files else None
                place = files.get(stem, texts / f"{path.stem}.txt")
                yield Recording(f"{speaker.name}_{stem}", path, text, speaker.name, extra, transcript=str(place))
