"""BIWI 3D Audiovisual Corpus (B3D(AC)^2): ``wav/F1_01.wav`` and ``F1_e01.wav`` (or ``F1/01.wav``), and sentence lists.

Sentences 01 to 40 are spoken neutrally and again with emotion (``e01``). Ids are ``<subject>_<number>``, as the vertex sequences
are called. Where sentence lists may lie, see :class:`~analysis.corpus.readers.sentence_files.SentenceFiles`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from analysis.corpus.audio import is_audio
from analysis.corpus.readers.sentence_files import numbered_recordings
from analysis.corpus.recording import Recording
from analysis.errors import Failure

_NAME = re.compile(r"(?:.*/)?(?P<subject>[FM]\d{1,2})[/_](?P<emotion>e?)(?P<number>\d{2})(?:_cut)?")


def fits(root: Path, sample: Sequence[str]) -> bool:
    """Whether the audio is named after subjects of BIWI (F1 to F8, M1 to M6) and sentences."""
    names = [f"{root.name}/{name.rpartition('.')[0]}" for name in sample if is_audio(name)]
    return bool(names) and all(_NAME.fullmatch(name) for name in names)


def read(root: Path) -> Iterator[Recording | Failure]:
    """Recordings by subject, then sentence; other audio below ``root`` is passed over."""
    return numbered_recordings(root, _NAME, _named)


def _named(match: re.Match[str]) -> tuple[str, dict[str, str]]:
    emotion = "emotional" if match["emotion"] else "neutral"
    return f"{match['subject']}_{match['emotion']}{int(match['number']):02d}", {"emotion": emotion}
