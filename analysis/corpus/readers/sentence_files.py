"""Sentence lists of talking-face corpora: one text file for all speakers, one for each, or one for each recording."""

from __future__ import annotations

import re
from pathlib import Path

from analysis.corpus.recording import read_text, tree

_NUMBERED = re.compile(r"\s*(?:sentence|sent|s)?[ _]*0*(\d+)\s*[.):,;\t ]\s*(\S.*)", re.IGNORECASE)


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
