"""Talking-face corpora: audio named after subject and sentence; sentences in one text file, one a speaker, or one a recording."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from analysis.corpus.audio import is_audio
from analysis.corpus.recording import Recording, in_corpus, read_text, tree
from analysis.errors import Failure

_NUMBERED = re.compile(r"\s*(?:sentence|sent|s)?[ _]*0*(\d+)\s*[.):,;\t ]\s*(\S.*)", re.IGNORECASE)


def numbered_recordings(
    root: Path, pattern: re.Pattern[str], named: Callable[[re.Match[str]], tuple[str, Mapping[str, str]]]
) -> Iterator[Recording | Failure]:
    """Recordings by subject, then sentence; audio below ``root`` of another name is passed over.

    Parameters
    ----------
    pattern : re.Pattern
        What a path without its ending matches, with groups ``subject`` and ``number``.
    named : callable
        The match to the utterance's id and what is noted beside its sentence's number.
    """
    sentences = SentenceFiles(root)
    lost: list[Failure] = []
    for folder, names in tree(root, lost):
        for name in filter(is_audio, names):
            path = folder / name
            match = pattern.fullmatch(path.with_suffix("").as_posix())
            if match is None:
                continue
            subject, number = match["subject"], int(match["number"])
            utterance, extra = named(match)
            found = in_corpus(utterance, partial(sentences.find, path, subject, number))
            if isinstance(found, Failure):
                yield found
                continue
            text, place = found
            yield Recording(utterance, path, text, subject, {"sentence": str(number), **extra}, transcript=str(place))
    yield from lost


class SentenceFiles:
    """Looks up what was said by number, in the text files below a folder (or beside it, when there are none below).

    Looked for in this order: ``<recording>.txt`` beside the audio; ``<speaker>.txt`` or a file in a folder of that name;
    ``sentences.txt`` or another file whose name has ``sentence`` or ``text`` in it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._files = [folder / name for folder, names in tree(root) for name in names if name.lower().endswith(".txt")]
        if not self._files:
            self._files = sorted(root.parent.glob("*[sS]entence*.txt"))
        self._lists: dict[Path, dict[int, str]] = {}

    def find(self, audio: Path, speaker: str, number: int) -> tuple[str | None, Path]:
        """The sentence, or None, and the file where it stands or should stand."""
        beside = audio.with_suffix(".txt")
        if beside in self._files:
            return read_text(beside), beside
        of_speaker = [path for path in self._files if path.stem.lower() == speaker.lower()]
        in_folder = [
            path
            for path in self._files
            if path.parent.name.lower() == speaker.lower()
            and (found := re.search(r"(\d+)$", path.stem))
            and int(found[1]) == number
        ]
        if in_folder and not of_speaker:
            return read_text(in_folder[0]), in_folder[0]
        shared = [path for path in self._files if re.search("sentence|text", path.stem, re.IGNORECASE)]
        # A list for all speakers has no speaker's or sentence's number in its name.
        shared = [path for path in shared if not re.search(r"\d", path.stem)]
        for path in [*of_speaker, *shared]:
            if path not in self._lists:
                self._lists[path] = _numbered(read_text(path))
            if number in self._lists[path]:
                return self._lists[path][number], path
        return None, (of_speaker or shared or [self.root / "sentences.txt"])[0]


def _numbered(text: str) -> dict[int, str]:
    """Sentences by number: as written before each, or by line when not every line has one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    matches = [_NUMBERED.fullmatch(line) for line in lines]
    if lines and all(matches):
        return {int(match[1]): match[2].strip() for match in matches if match}
    return dict(enumerate(lines, start=1))
