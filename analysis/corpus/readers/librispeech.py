"""LibriSpeech: ``subset/speaker/chapter/speaker-chapter-number.flac`` beside ``speaker-chapter.trans.txt``.

Works from the whole tree, one or several subsets, one speaker or one chapter; for the same corpus converted to other audio
formats; and for LibriSpeech-like corpora such as MLS-style trees that keep the ``*.trans.txt`` files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from analysis.corpus.audio import is_audio
from analysis.corpus.recording import Recording, composed, in_corpus, read_text, tree
from analysis.errors import Failure

_SUFFIX = ".trans.txt"


def fits(root: Path, sample: Sequence[str]) -> bool:
    """Whether there are ``*.trans.txt`` files."""
    return any(name.endswith(_SUFFIX) for name in sample)


def read(root: Path) -> Iterator[Recording | Failure]:
    """Recordings of every chapter below ``root``; ``extra`` has the subset and the chapter where the folders tell."""
    lost: list[Failure] = []
    for folder, names in tree(root, lost):
        transcripts = [name for name in names if name.endswith(_SUFFIX)]
        if not transcripts:
            continue
        audio = {composed(Path(name).stem): folder / name for name in names if is_audio(name)}
        for transcript in transcripts:
            place = folder / transcript
            speaker, _, chapter = transcript.removesuffix(_SUFFIX).partition("-")
            extra = {"chapter": chapter} if chapter else {}
            if len(folder.parts) > 2 and folder.name == chapter and folder.parent.name == speaker:
                extra["subset"] = folder.parent.parent.name
            lines = in_corpus(str(place), lambda path=place: read_text(path).splitlines())
            if isinstance(lines, Failure):
                yield lines
                continue
            for line in lines:
                if not line.strip():
                    continue
                utterance, *texts = line.split(None, 1)
                utterance, text = composed(utterance), texts[0] if texts else ""
                path = audio.pop(utterance, folder / f"{utterance}.flac")
                yield Recording(utterance, path, text, speaker, extra, transcript=str(place))
        for utterance, path in audio.items():
            yield Recording(utterance, path, None, utterance.partition("-")[0], transcript=str(folder / transcripts[0]))
    yield from lost
