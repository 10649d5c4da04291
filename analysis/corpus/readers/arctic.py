"""CMU Arctic and other Festival voices: ``etc/txt.done.data``, ``wav/`` and phones in ``lab/``.

Opens one voice or a folder of several. The label files are kept as ``extra["phone_labels"]``;
:func:`analysis.corpus.labels.read_festival` reads them. All voices read the same sentences, so ids are ``<voice>_<sentence>``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from analysis.corpus.audio import is_audio
from analysis.corpus.recording import Recording, composed, corpus_failure, read_text
from analysis.errors import CorpusError, Failure

_TRANSCRIPTS = Path("etc/txt.done.data")
_ENTRY = re.compile(r'\(\s*(\S+)\s+"(.*)"\s*\)\s*$')
_VOICE = re.compile(r"cmu_us_(\w+?)_arctic")


def fits(root: Path, sample: Sequence[str]) -> bool:
    """Whether there is an ``etc/txt.done.data``."""
    return any(name.endswith(_TRANSCRIPTS.as_posix()) for name in sample)


def read(root: Path) -> Iterator[Recording | Failure]:
    """Recordings voice by voice, in the order of their transcripts."""
    voices = [root] if (root / _TRANSCRIPTS).is_file() else sorted(path.parent.parent for path in root.glob(f"*/{_TRANSCRIPTS}"))
    if not voices:
        raise CorpusError(
            f"{root} has no {_TRANSCRIPTS}. Give the folder of one voice (cmu_us_bdl_arctic) or one that holds several."
        )
    for voice in voices:
        found = _VOICE.match(voice.name)
        speaker = found.group(1) if found else voice.name
        audio = {composed(path.stem): path for path in sorted((voice / "wav").glob("*")) if is_audio(path)}
        for number, line in enumerate(read_text(voice / _TRANSCRIPTS).splitlines(), start=1):
            if not line.strip():
                continue
            place = f"line {number} of {voice / _TRANSCRIPTS}"
            entry = _ENTRY.match(line.strip())
            if entry is None:
                yield corpus_failure(place, f"It is {line.strip()!r}.", 'Write `( id "text" )`.')
                continue
            name, text = composed(entry[1]), entry[2]
            labels = voice / "lab" / f"{name}.lab"
            extra = {"sentence": name} | ({"phone_labels": str(labels)} if labels.is_file() else {})
            path = audio.pop(name, voice / "wav" / f"{name}.wav")
            yield Recording(f"{speaker}_{name}", path, text.replace('\\"', '"'), speaker, extra, transcript=place)
        for name, path in audio.items():
            yield Recording(f"{speaker}_{name}", path, None, speaker, transcript=str(voice / _TRANSCRIPTS))
