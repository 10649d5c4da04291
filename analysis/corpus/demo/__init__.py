"""The demo corpus: our sentences, spoken by a synthesiser on first use and kept in the user's cache folder."""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from analysis.corpus.audio import read_header
from analysis.corpus.demo.recipe import DemoUtterance, plan, recipe, sentences, word_pairs
from analysis.corpus.utterance import Corpus, Utterance
from analysis.errors import CorpusError

__all__ = ["demo_corpus", "demo_folder", "plan", "sentences", "word_pairs"]

_CHECKSUMS = "SHA256SUMS"
_README = """This speech is synthetic: no person spoke it.

{sentences} sentences with {pairs} near-homophone pairs, spoken by the text-to-speech voice "heart" of hibari-tts (Apache-2.0) and
changed into {speakers} pseudo-speakers with the WORLD vocoder. It can be deleted at any time and is made again when needed.
Check the files with `sha256sum -c SHA256SUMS`. manifest.csv lists path, transcript and speaker of each.
"""
_log = logging.getLogger(__name__)


def demo_folder() -> Path:
    """Where the demo corpus of this recipe lies; texts, speakers or synthesiser of another version have another folder."""
    from analysis.config import cache_folder, content_hash

    return cache_folder("demo", content_hash(recipe()))


def demo_corpus(folder: str | Path | None = None, *, workers: int | None = None, progress: bool | None = None) -> Corpus:
    """The demo corpus, spoken now where it is missing or damaged.

    Every file is checked against its sha256 first; an interrupted synthesis goes on where it stopped. On one machine the
    same recipe gives the same bits.

    Parameters
    ----------
    folder : path, optional
        Where the audio lies; the user's cache folder by default.
    workers : int, optional
        Processes that speak side by side; one per core, eight at most, by default. 1 speaks in this process.
    progress : bool, optional
        Show a progress bar; by default only on a terminal.

    Returns
    -------
    Corpus
        256 utterances of 192 sentences by 8 pseudo-speakers, ``synthetic=True``.

    Raises
    ------
    CorpusError
        If the synthesiser is not installed or fails.
    """
    from filelock import FileLock

    folder = demo_folder() if folder is None else Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    planned = plan()
    sums = _read_checksums(folder)
    if not all(_intact(folder, utterance, sums) for utterance in planned):
        # Whoever comes second waits and finds the work done.
        with FileLock(folder / ".lock"):
            sums = _read_checksums(folder)
            missing = [utterance for utterance in planned if not _intact(folder, utterance, sums)]
            _log.info("speaking %d of the %d utterances of the demo corpus into %s", len(missing), len(planned), folder)
            if missing:
                _speak_all(missing, folder, sums, workers=workers, progress=progress)
    _complete(folder, planned, sums)
    utterances = tuple(_utterance(folder, spoken) for spoken in planned)
    return Corpus(name="demo", utterances=utterances, synthetic=True, root=folder, speakers_from="the demo's voices")


def _utterance(folder: Path, spoken: DemoUtterance) -> Utterance:
    path = folder / f"{spoken.id}.flac"
    header = read_header(path)
    extra = {
        "sentence": spoken.sentence.id,
        "pair": f"{spoken.sentence.word_a}/{spoken.sentence.word_b}",
        "synthetic": "yes",
        "speed": f"{spoken.speaker.speed:g}",
        "pitch": f"{spoken.speaker.pitch:g}",
        "tract": f"{spoken.speaker.tract:g}",
    }
    return Utterance(
        id=spoken.id,
        audio=path,
        text=spoken.sentence.text,
        speaker=spoken.speaker.name,
        duration=header.duration,
        sampling_rate=header.sampling_rate,
        extra=extra,
    )


def _read_checksums(folder: Path) -> dict[str, str]:
    """File name to sha256, from the format of ``sha256sum``; a line cut off by an interruption does not count."""
    path = folder / _CHECKSUMS
    if not path.exists():
        return {}
    sums = {}
    for line in path.read_text(encoding="ascii", errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        if len(digest) == 64 and name:
            sums[name] = digest
    return sums


def _intact(folder: Path, utterance: DemoUtterance, sums: dict[str, str]) -> bool:
    name = f"{utterance.id}.flac"
    try:
        return hashlib.sha256((folder / name).read_bytes()).hexdigest() == sums.get(name)
    except OSError:
        return False


def _speak_all(
    missing: Sequence[DemoUtterance], folder: Path, sums: dict[str, str], *, workers: int | None, progress: bool | None
) -> None:
    from tqdm import tqdm

    if workers is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        workers = min(8, cores)
    # A process takes about a second to load the voice: not worth it for a handful of sentences.
    workers = max(1, min(workers, len(missing) // 8))
    spoken = _here(missing, folder) if workers == 1 else _side_by_side(missing, folder, workers)
    disable = None if progress is None else not progress
    with (folder / _CHECKSUMS).open("a", encoding="ascii") as file:
        file.write("\n")  # ends a line that an interruption cut off
        for digest, name in tqdm(spoken, total=len(missing), desc="speaking the demo corpus", unit="utt", disable=disable):
            sums[name] = digest
            file.write(f"{digest}  {name}\n")
            file.flush()


def _here(missing: Sequence[DemoUtterance], folder: Path) -> Iterator[tuple[str, str]]:
    from analysis.corpus.demo.synthesis import load_voice, write_utterance

    voice = load_voice()
    for utterance in missing:
        yield write_utterance(utterance, voice, folder), f"{utterance.id}.flac"


def _side_by_side(missing: Sequence[DemoUtterance], folder: Path, workers: int) -> Iterator[tuple[str, str]]:
    """Digests and names from ``workers`` child processes, in the order in which files are finished."""
    environment = dict(os.environ, OMP_NUM_THREADS="1", PYTHONIOENCODING="utf-8")
    package_root = str(Path(__file__).resolve().parents[3])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [package_root, environment.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "analysis.corpus.demo.synthesis", str(folder)]
    lines: queue.Queue[str | None] = queue.Queue()

    def forward(stream: io.TextIOBase) -> None:
        for line in stream:
            lines.put(line)
        lines.put(None)

    children: list[tuple[subprocess.Popen, io.IOBase]] = []
    try:
        for number in range(workers):
            errors = tempfile.TemporaryFile(mode="w+", encoding="utf-8")  # noqa: SIM115 - closed below
            child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=environment, text=True
            )
            children.append((child, errors))
            threading.Thread(target=forward, args=(child.stdout,), daemon=True).start()
            jobs = "".join(f"{utterance.id}\n" for utterance in missing[number::workers])
            threading.Thread(target=_feed, args=(child.stdin, jobs), daemon=True).start()
        running = workers
        while running:
            line = lines.get()
            if line is None:
                running -= 1
            else:
                digest, _, name = line.rstrip("\n").partition("  ")
                yield digest, name
        for child, errors in children:
            if child.wait() != 0:
                errors.seek(0)
                tail = "\n".join(errors.read().strip().splitlines()[-5:])
                raise CorpusError(
                    f"Speaking the demo corpus failed (exit code {child.returncode}); what was finished is kept in {folder}.\n"
                    f"{tail}\nRun it again to go on, or delete that folder to start afresh."
                )
    finally:
        for child, errors in children:
            if child.poll() is None:
                child.terminate()
                child.wait()
            child.stdout.close()
            errors.close()


def _feed(stream: io.TextIOBase, text: str) -> None:
    try:
        with stream:
            stream.write(text)
    except (BrokenPipeError, OSError):
        pass  # the child has ended; its exit code tells why


def _complete(folder: Path, planned: Sequence[DemoUtterance], sums: dict[str, str]) -> None:
    """Write the sorted checksums, the manifest and the note beside the audio, unless they are there already."""
    names = [f"{utterance.id}.flac" for utterance in planned]
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["id", "path", "transcript", "speaker", "sentence", "pair"])
    for utterance in planned:
        sentence = utterance.sentence
        pair = f"{sentence.word_a}/{sentence.word_b}"
        writer.writerow([utterance.id, f"{utterance.id}.flac", sentence.text, utterance.speaker.name, sentence.id, pair])
    note = _README.format(
        sentences=len(sentences()), pairs=len(word_pairs()), speakers=len({utterance.speaker.name for utterance in planned})
    )
    contents = {
        _CHECKSUMS: "".join(f"{sums[name]}  {name}\n" for name in names),
        "manifest.csv": table.getvalue(),
        "README.txt": note,
    }
    for name, text in contents.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            part = folder / f".{name}.{os.getpid()}.part"
            part.write_text(text, encoding="utf-8")
            os.replace(part, path)
