"""Buckeye: ``s01/s0101a.wav`` (or ``s01/s0101a/s0101a.wav``) with ``.words`` and ``.phones`` of the same name.

A recording is one track of an interview, several minutes long, and its transcript the words of the speaker in the ``.words``
file. A track of more than half a minute is divided at pauses: its utterances are parts of it. The label files are kept as ``extra["word_labels"]`` and ``extra["phone_labels"]``;
:func:`analysis.corpus.labels.read_buckeye` reads them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from analysis.corpus.audio import is_audio
from analysis.corpus.conversations import recordings_of, turns_at_pauses
from analysis.corpus.labels import read_buckeye
from analysis.corpus.recording import Recording, in_corpus, tree
from analysis.errors import Failure

# A track whose words end later is divided, s.
_LONG = 30.0
_SPEAKER = re.compile(r"s\d{2}")


def fits(root: Path, sample: Sequence[str]) -> bool:
    """Whether there are ``.phones`` and ``.words`` files."""
    suffixes = {Path(name).suffix.lower() for name in sample}
    return {".phones", ".words"} <= suffixes


def read(root: Path) -> Iterator[Recording | Failure]:
    """Tracks of all speakers below ``root``."""
    lost: list[Failure] = []
    for folder, names in tree(root, lost):
        present = {name.lower(): folder / name for name in names}
        for name in filter(is_audio, names):
            path = folder / name
            stem = path.stem
            extra = {
                key: str(present[f"{stem.lower()}{suffix}"])
                for key, suffix in (("phone_labels", ".phones"), ("word_labels", ".words"))
                if f"{stem.lower()}{suffix}" in present
            }
            found = _SPEAKER.match(stem.lower())
            text = None
            speaker = found.group() if found else folder.name
            if "word_labels" in extra:
                words = in_corpus(stem, lambda path=extra["word_labels"]: read_buckeye(path))
                if isinstance(words, Failure):
                    yield words
                    continue
                if words and words[-1].end > _LONG:
                    source = Path(extra["word_labels"])
                    yield from recordings_of(turns_at_pauses(words, words[-1].end), stem, path, speaker, source, extra)
                    continue
                text = " ".join(one.label for one in words)
            yield Recording(stem, path, text, speaker, extra, transcript=str(folder / f"{stem}.words"))
    yield from lost
