"""VOCASET: ``audio/FaceTalk_170725_00137_TA/sentence01.wav`` and sentence lists.

``wav/FaceTalk_170725_00137_TA_sentence01.wav``, as talking-face projects rename the audio, is read too. Ids are
``<subject>_sentence<number>``, as the vertex sequences are called. The corpus was published with its sentences in files of their
own; where they lie, see :class:`~analysis.corpus.readers.sentence_files.SentenceFiles`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from analysis.corpus.audio import is_audio
from analysis.corpus.readers.sentence_files import numbered_recordings
from analysis.corpus.recording import Recording
from analysis.errors import Failure

_NAME = re.compile(r"(?:.*/)?(?P<subject>FaceTalk_\d+_\d+_TA)[/_]sentence(?P<number>\d+)")


def fits(root: Path, sample: Sequence[str]) -> bool:
    """Whether there is audio named after subjects of VOCASET."""
    return any(is_audio(name) and _NAME.fullmatch(f"{root.name}/{name.rpartition('.')[0]}") for name in sample)


def read(root: Path) -> Iterator[Recording | Failure]:
    """Recordings by subject, then sentence; other audio below ``root`` is passed over."""
    return numbered_recordings(root, _NAME, lambda match: (f"{match['subject']}_sentence{int(match['number']):02d}", {}))
