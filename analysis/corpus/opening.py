"""From what the user named to a corpus: which layout it is, and its utterances."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from analysis.corpus.audio import is_audio
from analysis.corpus.recording import Recording, is_folder, validated
from analysis.corpus.speakers import SpeakerRule
from analysis.corpus.utterance import Corpus, Utterance
from analysis.errors import CorpusError, Failure

__all__ = ["LAYOUTS", "Layout", "iter_corpus", "known_layouts", "locate", "open_corpus"]


@dataclass(frozen=True)
class Layout:
    """One way in which corpora lie on disk.

    Attributes
    ----------
    name : str
        For ``name:path``, which forces it.
    looks : str
        What its files look like, for messages.
    module : str
        Has ``fits(root, sample) -> bool`` and ``read(root) -> iterator of Recording or Failure``.
    speakers : str
        Where its speakers' names come from, in words.
    """

    name: str
    looks: str
    module: str
    speakers: str = "the layout's own names"

    def fits(self, root: Path, sample: Sequence[str]) -> bool:
        """Whether ``root``, of which ``sample`` names some files, has this layout."""
        return import_module(self.module).fits(root, sample)

    def read(self, root: Path) -> Iterator[Recording | Failure]:
        """Recordings below ``root``, unchecked, in a fixed order."""
        return import_module(self.module).read(root)


_READERS = "analysis.corpus.readers."
#: In the order in which they are tried: the telling ones first, the folder of anything with transcripts last.
LAYOUTS = (
    Layout(
        "librispeech",
        "*.trans.txt beside the audio of each chapter",
        _READERS + "librispeech",
        "the number that starts the name of each *.trans.txt",
    ),
    Layout("common_voice", "clips/ beside validated.tsv, or such a table", _READERS + "common_voice", "the column client_id"),
    Layout(
        "lhotse",
        "cuts.jsonl.gz, or recordings.jsonl.gz and supervisions.jsonl.gz",
        _READERS + "lhotse_cuts",
        "the speaker of each supervision",
    ),
    Layout(
        "manifest",
        "a CSV, TSV, JSONL or Parquet file with columns path, transcript, speaker",
        "analysis.corpus.manifest",
        "the manifest's column speaker; without one all are `unknown`",
    ),
    Layout(
        "ljspeech", "wavs/ and metadata.csv with `id|text|text` lines", _READERS + "ljspeech", "the corpus, which is one voice"
    ),
    Layout("vctk", "wav48*/SPEAKER/*.flac and txt/SPEAKER/*.txt", _READERS + "vctk", "the folder that holds each recording"),
    Layout("timit", "DIALECT/SPEAKER/*.WAV with .TXT, .WRD and .PHN", _READERS + "timit", "the folder that holds each recording"),
    Layout(
        "buckeye", "s01/s0101a.wav with .words and .phones", _READERS + "buckeye", "s and two digits at the start of each name"
    ),
    Layout(
        "arctic", "wav/, lab/ and etc/txt.done.data of CMU Arctic voices", _READERS + "arctic", "the name of each voice's folder"
    ),
    Layout(
        "l2_arctic", "SPEAKER/wav/*.wav and SPEAKER/transcript/*.txt (L2-ARCTIC)", _READERS + "l2_arctic", "the folder above wav/"
    ),
    Layout("vocaset", "FaceTalk_*_TA/sentence01.wav and sentence lists", _READERS + "vocaset", "the subject in each name"),
    Layout("biwi", "F1_01.wav, F1_e01.wav, ... and sentence lists", _READERS + "biwi", "the subject in each name"),
    Layout(
        "folder",
        "audio beside .lab, .txt or .TextGrid files of the same name (MFA corpora)",
        _READERS + "folder",
        "the turns of conversations, else the folder that holds each recording; above one called wav or audio",
    ),
)


def open_corpus(spec: str | Path, *, speaker_level: int | None = None, speaker_pattern: str | None = None) -> Corpus:
    """The corpus that ``spec`` names, with its failures.

    Parameters
    ----------
    spec : str or path
        ``demo``; a folder in one of the known layouts; a manifest file; or ``layout:path`` to force a layout
        (``librispeech:/data/LibriSpeech``).
    speaker_level, speaker_pattern : int, str, optional
        Who speaks, where the layout does not say it as it is meant: see :class:`analysis.corpus.speakers.SpeakerRule`.

    Raises
    ------
    ConfigurationError
        If level and pattern contradict each other or themselves.
    CorpusError
        If there is no such file or folder, no layout fits, or not one utterance can be used.
    """
    rule = SpeakerRule(speaker_level, speaker_pattern)
    layout, root = locate(spec)
    if layout is None:
        from analysis.corpus.demo import demo_corpus

        return demo_corpus()
    utterances: list[Utterance] = []
    failures: list[Failure] = []
    for item in validated(rule.applied(layout.read(root), root, by_folder=layout.name == "folder")):
        if isinstance(item, Failure):
            failures.append(item)
        else:
            utterances.append(item)
    if not utterances:
        raise CorpusError(_nothing_usable(layout, root, failures))
    found = str(rule) or layout.speakers
    return Corpus(name=_name(root), utterances=tuple(utterances), failures=tuple(failures), root=root, speakers_from=found)


def iter_corpus(
    spec: str | Path, *, speaker_level: int | None = None, speaker_pattern: str | None = None
) -> Iterator[Utterance | Failure]:
    """Utterances and failures of the corpus that ``spec`` names, one at a time, in flat memory.

    Takes what :func:`open_corpus` takes. A corpus that cannot be located raises at once, before the first item.
    """
    rule = SpeakerRule(speaker_level, speaker_pattern)
    layout, root = locate(spec)
    if layout is None:
        from analysis.corpus.demo import demo_corpus

        return iter(demo_corpus())
    return validated(rule.applied(layout.read(root), root, by_folder=layout.name == "folder"))


def locate(spec: str | Path) -> tuple[Layout | None, Path]:
    """Layout and place of the corpus that ``spec`` names; None for a layout stands for the demo.

    Raises
    ------
    CorpusError
        If there is no such file or folder, or no layout fits it.
    """
    text = str(spec)
    if text == "demo":
        return None, Path()
    name, colon, rest = text.partition(":")
    forced = next((layout for layout in LAYOUTS if colon and layout.name == name), None)
    root = Path(rest if forced else text).expanduser()
    if not root.exists():
        if colon and not forced and Path(rest).exists():
            raise CorpusError(f"There is no corpus layout {name!r}. Known layouts:\n{known_layouts()}")
        raise CorpusError(
            f"There is no corpus at {root} (looked in {Path.cwd()}). "
            f"Give `demo`, a folder, a manifest file, or `layout:path` with one of these layouts:\n{known_layouts()}"
        )
    # absolute, but with links kept: names of a linked corpus are the user's own
    root = Path(os.path.abspath(root))
    if forced:
        return forced, root
    if is_audio(root):
        raise CorpusError(
            f"{root} is one recording, not a corpus. Give the folder that holds it with its transcript "
            f"({root.with_suffix('.lab').name} or {root.with_suffix('.txt').name}), or a manifest."
        )
    sample = _sample(root) if root.is_dir() else [root.name]
    for layout in LAYOUTS:
        if layout.fits(root, sample):
            return layout, root
    if root.is_dir():
        audio = sum(map(is_audio, sample))
        seen = f"it holds audio ({next(filter(is_audio, sample))}) but no transcripts" if audio else "it seems to hold no audio"
    else:
        seen = "it is a file of none of the kinds that manifests have"
    raise CorpusError(
        f"{root} is no corpus of a known layout: {seen}. Known layouts, any of which `layout:path` forces:\n{known_layouts()}"
    )


def known_layouts() -> str:
    """Names of all layouts and what their files look like, one a line."""
    width = max(len(layout.name) for layout in LAYOUTS)
    return "\n".join(f"  {layout.name:{width}}  {layout.looks}" for layout in LAYOUTS)


def _sample(root: Path, *, depth: int = 6, folders: int = 4, files: int = 200) -> list[str]:
    """Some paths below ``root``: a few folders of each folder, down to ``depth``, and the first files of each."""
    found: list[str] = []

    def visit(folder: Path, prefix: str, level: int) -> None:
        try:
            with os.scandir(folder) as entries:
                listed = sorted((entry.name, is_folder(entry)) for entry in entries if not entry.name.startswith("."))
        except OSError:
            if level == 1:
                raise
            return  # the reader lists folders that cannot be read
        found.extend(prefix + name + "/" for name, is_folder in listed if is_folder)
        found.extend([prefix + name for name, is_folder in listed if not is_folder][:files])
        if level < depth:
            for name in [name for name, is_folder in listed if is_folder][:folders]:
                visit(folder / name, f"{prefix}{name}/", level + 1)

    visit(root, "", 1)
    return found


def _name(root: Path) -> str:
    """Name of the report folder: of the corpus folder, or of the manifest unless that is called ``manifest``."""
    name = root.name if root.is_dir() else root.stem
    if root.is_file() and name.lower() in ("manifest", "metadata"):
        name = root.parent.name
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "corpus"


def _nothing_usable(layout: Layout, root: Path, failures: Sequence[Failure]) -> str:
    failures = [failure for failure in failures if failure.severity == "error"]
    if not failures:
        return f"{root}, read as {layout.name}, holds no recordings. Expected: {layout.looks}."
    first = failures[0]
    return (
        f"Not one of the {len(failures)} recordings of {root}, read as {layout.name}, can be used. "
        f"The first, {first.item}: {first.reason} {first.remedy}"
    )
