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
from analysis.corpus.readers.sentence_files import SentenceFiles
from analysis.corpus.recording import Recording, tree
from analysis.errors import Failure

_NAME = re.compile(r"(?:.*/)?(?P<subject>FaceTalk_\d+_\d+_TA)[/_]sentence(?P<number>\d+)")


def fits(root: Path, sample: Sequence[str]) -> bool:
    """Whether there is audio named after subjects of VOCASET."""
    return any(is_audio(name) and _NAME.fullmatch(f"{root.name}/{name.rpartition('.')[0]}") for name in sample)


def read(root: Path) -> Iterator[Recording | Failure]:
    """Recordings by subject, then sentence; other audio below ``root`` is passed over."""
    sentences = SentenceFiles(root)
    for folder, names in tree(root):
        for name in filter(is_audio, names):
            path = folder / name
            match = _NAME.fullmatch(path.with_suffix("").as_posix())
            if match is None:
                continue
            subject, number = match["subject"], int(match["number"])
            text, place = sentences.find(path, subject, number)
            extra = {"sentence": str(number)}
            yield Recording(f"{subject}_sentence{number:02d}", path, text, subject, extra, transcript=str(place))
