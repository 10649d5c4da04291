"""Which file of a folder is the alignment of a recording: by name, never another speaker's."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from analysis.corpus.audio import AUDIO_SUFFIXES
from analysis.corpus.utterance import Utterance
from analysis.errors import AlignmentError

__all__ = ["AlignmentFiles"]


class AlignmentFiles:
    """The alignments under a folder, by the recording they belong to.

    Parameters
    ----------
    folder : path or None
        Searched with all its subfolders; None holds nothing.
    suffix : str
        Ending of the files, in lower case.

    Notes
    -----
    Names are compared without case and in composed form. In this order:

    1. a file named after the utterance's id, or after speaker and recording (``s1_rec1``, ``s1-rec1``);
    2. a file named as the recording, in a folder that mirrors the recording's own or is named after the speaker;
    3. a file named as the recording anywhere, if no other file and no other recording of the corpus has that name, and its folder
       is not that of another speaker.
    """

    def __init__(self, folder: Path | None, suffix: str = ".textgrid") -> None:
        self.folder, self._suffix = folder, suffix
        self._files: dict[str, list[Path]] | None = None
        self._stems: Counter[str] = Counter()
        self._speakers: set[str] = set()
        self._seen: set[Path] = set()

    def note(self, utterances: Iterable[Utterance]) -> None:
        """Learn which recordings and speakers there are: a name that two recordings have belongs to neither alone."""
        for utterance in utterances:
            if utterance.audio not in self._seen:
                self._seen.add(utterance.audio)
                self._stems[_key(utterance.audio.stem)] += 1
                self._speakers.add(_key(utterance.speaker))

    def find(self, utterance: Utterance) -> Path | None:
        """The file of this recording, or None.

        Raises
        ------
        AlignmentError
            If several files would do, or one file would do for several recordings.
        """
        files = self._index()
        stem, speaker = _key(utterance.audio.stem), _key(utterance.speaker)
        own = {_key(part) for part in utterance.audio.parts[:-1]} | {speaker}
        named = (_key(utterance.id.replace("/", "_")), f"{speaker}_{stem}", f"{speaker}-{stem}")
        for name in dict.fromkeys((*named, _key(Path(utterance.id).name), stem)):
            found = [path for path in files.get(name, ()) if name != stem or not self._foreign(path, utterance, own)]
            if found:
                return self._one(found, name, utterance, own)
        return None

    def _one(self, found: list[Path], name: str, utterance: Utterance, own: set[str]) -> Path:
        """The file whose folders have most in common with the recording's."""
        shared = [sum(_key(part) in own for part in path.relative_to(self.folder).parts[:-1]) for path in found]
        best = [path for path, n in zip(found, shared, strict=True) if n == max(shared)]
        if len(best) > 1:
            raise AlignmentError(f"{len(found)} TextGrids are named {name}: {best[0]} and {best[1]}. Name them by utterance id.")
        stem = _key(utterance.audio.stem)
        if name == stem and not max(shared) and _key(utterance.id) != stem and self._stems[stem] > 1:
            raise AlignmentError(
                f"{self._stems[stem]} recordings are named {utterance.audio.stem}, and {best[0]} does not say whose it is. "
                f"Name it by utterance id ({utterance.id}), or put it into a folder named after the speaker."
            )
        return best[0]

    def _foreign(self, path: Path, utterance: Utterance, own: set[str]) -> bool:
        """Whether a folder of the file is that of another speaker, or holds another recording of this name."""
        parents = utterance.audio.parents
        for part in path.relative_to(self.folder).parts[:-1]:
            if _key(part) in own:
                continue
            if _key(part) in self._speakers:
                return True
            for level in range(min(3, len(parents) - 1)):
                # "s1" beside the recording's own "s2": does it hold a recording of the same name?
                inside = utterance.audio.parent.relative_to(parents[level])
                other = parents[level + 1] / part / inside
                if any((other / (utterance.audio.stem + suffix)).is_file() for suffix in AUDIO_SUFFIXES):
                    return True
        return False

    def _index(self) -> dict[str, list[Path]]:
        if self._files is None:
            self._files = {}
            for path in sorted(self.folder.rglob("*")) if self.folder is not None else ():
                if path.suffix.lower() == self._suffix and not path.name.startswith("."):
                    self._files.setdefault(_key(path.stem), []).append(path)
        return self._files


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
