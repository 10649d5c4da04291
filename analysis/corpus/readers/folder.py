"""A folder of audio files, each beside a file of the same name with its words: the layout of MFA corpora.

The words stand in ``.lab``, ``.normalized.txt`` (LibriTTS), ``.txt`` or ``.TextGrid`` files. The folder that holds a recording
is its speaker; of one called ``wav`` or ``audio``, the folder above. A TextGrid with word intervals is kept as the recording's
alignment, and a ``.lab`` file with times (Festival, HTK) as its labels: of words where they are those of the transcript.

A TextGrid with several speakers or utterances, or a table of turns (CORAAL, FAVE, Audacity) in a ``.txt`` file, gives utterances
that are parts of the recording: see :mod:`analysis.corpus.conversations`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from analysis.corpus.audio import is_audio, is_other_audio
from analysis.corpus.conversations import Turn, recordings_of, turns_of_table, turns_of_textgrid
from analysis.corpus.labels import read_labels, transcript_of_textgrid
from analysis.corpus.recording import (
    Recording,
    composed,
    corpus_failure,
    failure_of,
    in_corpus,
    read_text,
    stems_are_unique,
    tree,
)
from analysis.corpus.speakers import speaker_folder
from analysis.errors import CorpusError, Failure
from analysis.spelling import plain_word

#: In the order in which they are looked for, lower case.
TRANSCRIPT_SUFFIXES = (".lab", ".normalized.txt", ".txt", ".textgrid")
# Label files share the endings of transcripts, but hold times: Festival's and xlabel's below a line `#`, HTK's and HTS's in
# units of 100 ns, those of Audacity and WaveSurfer in seconds.
_XLABEL = re.compile(r"(?:[^\n]{0,80}\n){0,8}?\s*#\s*\n\s*\d")
_HTK = re.compile(r"\s*\d+\s+\d{4,}\s+\S")
_SECONDS = re.compile(r"\s*\d+\.\d+\s+\d+\.\d+\s+\S")
# Label files of programs whose own export gives what is read here.
_OTHER_LABELS = (
    ("_annot.json", "an annotation of EMU", "Export TextGrids with export_TextGridCollection() of emuR"),
    (".eaf", "an annotation of ELAN", "Export it in ELAN with File > Export As > Praat TextGrid"),
    (".rec", "a label file of HTK", "Convert it to a TextGrid"),
    (".mlf", "a label file of HTK", "Convert it to a TextGrid"),
    (".ctm", "a CTM file", "Convert it to a TextGrid"),
    (".json", "a JSON file", "Where MFA wrote it, run MFA with --output_format long_textgrid"),
    (".csv", "a CSV file", "Where MFA wrote it, run MFA with --output_format long_textgrid"),
)


def fits(root: Path, sample: Sequence[str]) -> bool:
    """Whether a recording lies beside a transcript of the same name."""
    names = {composed(name.lower()) for name in sample}
    stems = (
        composed(str(PurePosixPath(name).with_suffix("")).lower()) for name in sample if is_audio(name) or is_other_audio(name)
    )
    return any(stem + suffix in names for stem in stems for suffix in TRANSCRIPT_SUFFIXES)


def read(root: Path) -> Iterator[Recording | Failure]:
    """Recordings of all folders below ``root``.

    Ids are file names without ending; where two recordings share one, all ids are paths below ``root`` joined by ``-``. A
    recording with a transcript in a format that cannot be read is a failure.
    """
    short = stems_are_unique(folder / name for folder, names in tree(root) for name in names)
    lost: list[Failure] = []
    for folder, names in tree(root, lost):
        present = {composed(name.lower()): name for name in names}
        for name in names:
            path = folder / name
            if not is_audio(name):
                if is_other_audio(name) and any(
                    composed(path.stem.lower()) + suffix in present for suffix in TRANSCRIPT_SUFFIXES
                ):
                    yield corpus_failure(
                        path.stem,
                        f"{path} is of a format that libsndfile does not read ({path.suffix.lower()}).",
                        f"Convert it, with ffmpeg -i {path.name} {path.stem}.wav for example.",
                    )
                continue
            utterance = path.stem if short else "-".join(path.relative_to(root).with_suffix("").parts)
            speaker = speaker_folder(folder, root).name
            turns = in_corpus(utterance, partial(_turns, path, present))
            if isinstance(turns, Failure):
                yield turns
            elif turns is not None:
                found, source, extra = turns
                yield from recordings_of(found, utterance, path, speaker, source, extra)
            else:
                yield in_corpus(utterance, partial(_recording, utterance, path, present, speaker))
    yield from lost


def _turns(path: Path, present: dict[str, str]) -> tuple[list[Turn], Path, dict[str, str]] | None:
    """Turns of a recording, the file that lists them, and columns that all of them have; None where it is one utterance."""
    stem = composed(path.stem.lower())
    table, grid = present.get(stem + ".txt"), present.get(stem + ".textgrid")
    if table is not None and (turns := turns_of_table(read_text(path.with_name(table)))):
        return turns, path.with_name(table), {}
    if grid is None or any(stem + suffix in present for suffix in TRANSCRIPT_SUFFIXES[:-1]):
        return None
    source = path.with_name(grid)
    found = turns_of_textgrid(source)
    if found is None:
        return None
    turns, aligned = found
    return turns, source, {"alignment": str(source)} if aligned else {}


def _recording(utterance: str, path: Path, present: dict[str, str], speaker: str) -> Recording | Failure:
    extra: dict[str, str] = {}
    text, labels, readable = None, None, False
    stem = composed(path.stem.lower())
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
            in_seconds = _every_line(_SECONDS, content)
            if in_seconds or (suffix == ".lab" and (_XLABEL.match(content) or _every_line(_HTK, content))):
                labels, readable = found, not in_seconds
                continue
            text, wanted = content, found
            break
    if labels is not None and text is not None and readable and (key := _key_of(labels, text)):
        extra[key] = str(labels)
    if text is None and (named := _named(path, labels, present)):
        return corpus_failure(utterance, f"{path} has no transcript, but {named[0]}", named[1])
    return Recording(utterance, path, text, speaker, extra, transcript=str(wanted))


def _every_line(pattern: re.Pattern[str], content: str) -> bool:
    lines = [line for line in content.splitlines() if line.strip()]
    return bool(lines) and all(map(pattern.match, lines))


def _key_of(labels: Path, text: str) -> str | None:
    """Whether a label file holds the words of the transcript, or phones; None where it cannot be read."""
    try:
        found = [plain_word(interval.label) for interval in read_labels(labels)]
    except CorpusError:
        return None
    words = {plain_word(word) for word in text.split()}
    return "word_labels" if 2 * sum(label in words for label in found) > len(found) else "phone_labels"


def _named(path: Path, labels: Path | None, present: dict[str, str]) -> tuple[str, str] | None:
    """What lies beside a recording without a transcript, and how its words get out of it without harm to the file."""
    stem = composed(path.stem.lower())
    if labels is not None:
        free = path.with_suffix(".txt" if labels.suffix.lower() == ".lab" else ".lab").name
        return f"{labels.name} holds labels with times.", f"Write the words into {free} beside it; leave {labels.name} as it is."
    for suffix, what, remedy in _OTHER_LABELS:
        if stem + suffix in present:
            found = present[stem + suffix]
            return f"{found} is {what}.", f"{remedy}, or write the words into {path.with_suffix('.txt').name} beside it."
    return None
