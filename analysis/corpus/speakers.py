"""Who speaks where the layout of a corpus does not say it as its user means it: a level of folders, or a pattern in paths."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from analysis.corpus.recording import Recording, corpus_failure
from analysis.errors import ConfigurationError, Failure

__all__ = ["AUDIO_FOLDERS", "SpeakerRule", "speaker_folder"]

#: Folders that hold the recordings of the speaker after whom the folder above is named.
AUDIO_FOLDERS = frozenset("wav wavs audio flac mp3 ogg clips recordings speech sound sounds wav16 wav22 wav44 wav48".split())


@dataclass(frozen=True)
class SpeakerRule:
    """How speakers are found in the paths of recordings; with neither setting, as the layout has them.

    Parameters
    ----------
    level : int, optional
        Which folder names the speaker: 1 is the one just inside the corpus, 2 the next; -1 is the one that holds the recording,
        -2 the one above.
    pattern : str, optional
        Regular expression that is searched in the path below the corpus, with ``/`` between folders; its group ``speaker``, else
        its first group, else the whole match is the speaker.

    Raises
    ------
    ConfigurationError
        If both are given, the level is 0, or the pattern is no regular expression.

    Examples
    --------
    >>> SpeakerRule(level=1).find(Path("/ann/session1/r1.wav"), Path("/"))
    'ann'
    >>> SpeakerRule(pattern="(spk[0-9]+)_").find(Path("/spk07_r1.wav"), Path("/"))
    'spk07'
    """

    level: int | None = None
    pattern: str | None = None

    def __post_init__(self) -> None:
        if self.level is not None and self.pattern is not None:
            raise ConfigurationError("Give a speaker level or a speaker pattern, not both.")
        if self.level == 0:
            raise ConfigurationError(
                "The speaker level is 1 for the folder just inside the corpus, -1 for the one that holds the recording; it cannot be 0."
            )
        if self.pattern is not None:
            try:
                re.compile(self.pattern)
            except re.error as error:
                raise ConfigurationError(
                    f"The speaker pattern {self.pattern!r} is no regular expression: {error}. Write one such as '(spk[0-9]+)_'."
                ) from None

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern or "")

    def __str__(self) -> str:
        """The rule in words; empty where the layout decides."""
        if self.pattern is not None:
            return f"what the pattern {self.pattern} finds in each path"
        if self.level is None:
            return ""
        if self.level < 0:
            above = {-1: "that holds each recording", -2: "above the one that holds each recording"}
            return f"the folder {above.get(self.level, f'{-self.level - 1} above the one that holds each recording')}"
        return f"folders of level {self.level} inside the corpus"

    def find(self, audio: Path, root: Path) -> str | None:
        """The speaker of a recording of the corpus at ``root``; None where its path has none."""
        path = Path(os.path.relpath(audio, root if root.is_dir() else root.parent))
        if self.pattern is not None:
            found = self._compiled.search(path.as_posix())
            if found is None:
                return None
            return (
                found["speaker"] if "speaker" in self._compiled.groupindex else found[1 if self._compiled.groups else 0]
            ) or None
        folders = path.parts[:-1]
        place = self.level - 1 if self.level > 0 else self.level
        return folders[place] if -len(folders) <= place < len(folders) else None

    def applied(
        self, recordings: Iterable[Recording | Failure], root: Path, *, by_folder: bool = False
    ) -> Iterator[Recording | Failure]:
        """The recordings with their speakers by this rule; failures where a path has none.

        Without a rule, and where the layout names speakers by folder, a warning for each name that several folders have.
        """
        homes: dict[str, list[Path]] = {}
        for item in recordings:
            if isinstance(item, Failure):
                yield item
            elif self.level is None and self.pattern is None:
                home = speaker_folder(item.audio.parent, root)
                if by_folder and home.name == item.speaker and home not in (known := homes.setdefault(item.speaker, [])):
                    known.append(home)
                yield item
            else:
                yield self._spoken(item, root)
        yield from (_joined(name, known, root) for name, known in homes.items() if len(known) > 1)

    def _spoken(self, recording: Recording, root: Path) -> Recording | Failure:
        speaker = self.find(recording.audio, root)
        if speaker is not None:
            return replace(recording, speaker=speaker)
        what = f"the speaker pattern {self.pattern}" if self.pattern is not None else f"the speaker level {self.level}"
        return corpus_failure(
            recording.id or str(recording.audio),
            f"{recording.audio} has no speaker by {what}.",
            "Change the level or pattern so that it fits every recording, or leave this one out.",
        )


def _joined(name: str, homes: list[Path], root: Path) -> Failure:
    """The row that says that folders of one name count as one speaker, and how to tell them apart."""
    first, second = (Path(os.path.relpath(home, root)) for home in homes[:2])
    level = next((place for place, (a, b) in enumerate(zip(first.parts, second.parts, strict=False), start=1) if a != b), 1)
    return Failure(
        "corpus",
        f"speaker {name}",
        f"{len(homes)} folders called {name} count as one speaker, such as {first.as_posix()} and {second.as_posix()}.",
        f"If they are of several people, give --speaker-level {level}, or --speaker-pattern.",
        "warning",
    )


def speaker_folder(folder: Path, root: Path) -> Path:
    """The folder after which the recordings in ``folder`` are filed: itself, or the one above it where it is called ``wav``."""
    return folder.parent if folder.name.lower() in AUDIO_FOLDERS and folder != root else folder
