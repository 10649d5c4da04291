"""A folder of audio files, each beside a file of the same name with its words: the layout of MFA corpora.

The words stand in ``.lab``, ``.normalized.txt`` (LibriTTS), ``.txt`` or ``.TextGrid`` files. The folder that holds a recording
is its speaker. A TextGrid with word intervals is kept as the recording's alignment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from analysis.corpus.audio import is_audio, is_other_audio
from analysis.corpus.labels import transcript_of_textgrid
from analysis.corpus.recording import Recording, corpus_failure, failure_of, in_corpus, read_text, stems_are_unique, tree
from analysis.errors import CorpusError, Failure

#: In the order in which they are looked for, lower case.
TRANSCRIPT_SUFFIXES = (".lab", ".normalized.txt", ".txt", ".textgrid")
# Label files of Festival and HTS share the ending .lab with transcripts, but hold times and phones.
_LABELS = re.compile(r"\s*(?:[\w ]*\n)?#\s*\n\s*\d|\s*\d+\s+\d+\s+\S+\s*(?:\n|$)")


def fits(root: Path, sample: Sequence[str]) -> bool:
    """Whether a recording lies beside a transcript of the same name."""
    names = {name.lower() for name in sample}
    stems = (str(PurePosixPath(name).with_suffix("")).lower() for name in sample if is_audio(name) or is_other_audio(name))
    return any(stem + suffix in names for stem in stems for suffix in TRANSCRIPT_SUFFIXES)


def read(root: Path) -> Iterator[Recording | Failure]:
    """Recordings of all folders below ``root``.

    Ids are file names without ending; where two recordings share one, all ids are paths below ``root`` joined by ``-``. A
    recording with a transcript in a format that cannot be read is a failure.
    """
    short = stems_are_unique(folder / name for folder, names in tree(root) for name in names)
    lost: list[Failure] = []
    for folder, names in tree(root, lost):
        present = {name.lower(): name for name in names}
        for name in names:
            path = folder / name
            if not is_audio(name):
                if is_other_audio(name) and any(path.stem.lower() + suffix in present for suffix in TRANSCRIPT_SUFFIXES):
                    yield corpus_failure(
                        path.stem,
                        f"{path} is of a format that libsndfile does not read ({path.suffix.lower()}).",
                        f"Convert it, with ffmpeg -i {path.name} {path.stem}.wav for example.",
                    )
                continue
            utterance = path.stem if short else "-".join(path.relative_to(root).with_suffix("").parts)
            yield in_corpus(utterance, partial(_recording, utterance, path, present))
    yield from lost


def _recording(utterance: str, path: Path, present: dict[str, str]) -> Recording | Failure:
    extra: dict[str, str] = {}
    text = None
    stem = path.stem.lower()
    wanted = path.with_suffix(".lab")
    grid = present.get(stem + ".textgrid")
    if grid is not None:
        try:
            words, aligned = transcript_of_textgrid(path.with_name(grid))
        except CorpusError as error:
            if not any(stem + suffix in present for suffix in TRANSCRIPT_SUFFIXES[:-1]):
                return failure_of(utterance, error)
            words, aligned = None, False
        text = words
        wanted = path.with_name(grid)
        if aligned:
            extra["alignment"] = str(path.with_name(grid))
    for suffix in TRANSCRIPT_SUFFIXES[:-1]:
        if stem + suffix in present:
            found = path.with_name(present[stem + suffix])
            content = read_text(found)
            if suffix == ".lab" and _LABELS.match(content):
                extra["labels"] = str(found)
                continue
            text, wanted = content, found
            break
    return Recording(utterance, path, text, path.parent.name, extra, transcript=str(wanted))
