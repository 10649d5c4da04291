"""Which recordings of a corpus train, which validate and which are left alone: official parts are kept apart.

LibriSpeech, TIMIT, MLS and others name their parts by folders (``train-clean-100``, ``dev-other``, ``test-clean``) or in a column
``split``. A test part that was trained on is no test any more, so it is left alone unless it is asked for.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.errors import ConfigurationError, SemanticsError
from analysis.wav2sem.text import normalized

if TYPE_CHECKING:
    from analysis.corpus.utterance import Corpus, Utterance

__all__ = ["DataParts", "held_out", "keep_data", "last_of_chapters", "official_part", "training_parts"]

log = logging.getLogger(__name__)

_ROLES = {
    "train": "train",
    "training": "train",
    "dev": "validation",
    "devel": "validation",
    "development": "validation",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
}


@dataclass(frozen=True)
class DataParts:
    """What a corpus is used for.

    Attributes
    ----------
    train, validation : list of Utterance
    card : dict
        How they were chosen, and of every part its name, what it was used for, and how much there is; as kept in ``data.json``.
    """

    train: list[Utterance]
    validation: list[Utterance]
    card: dict[str, Any]

    def __str__(self) -> str:
        return "\n".join(
            f"{part['use']}: {part['part']} ({part['utterances']:,} utterances, {part['speakers']:,} speakers, "
            f"{part['hours']:.1f} h){': ' + part['why'] if part['why'] else ''}"
            for part in self.card["parts"]
        )


def official_part(utterance: Utterance, root: Path | None) -> tuple[str, str]:
    """Name and role (``train``, ``validation`` or ``test``) of the official part that an utterance belongs to; both may be empty.

    A column ``split`` decides; without one, the nearest folder above the recording, up to the corpus' own.
    """
    told = utterance.extra.get("split", "")
    if told:
        return told, _role(told)
    folder = utterance.audio.parent
    top = root.parent if root is not None and root.is_file() else root
    for place in (folder, *folder.parents):
        if top is None or not (place == top or top in place.parents):
            break
        if role := _role(place.name):
            return place.name, role
    return "", ""


def _role(name: str) -> str:
    return _ROLES.get(re.split(r"[-_. ]", name.lower())[0], "")


def held_out(utterances: Sequence[Utterance], *, share: float = 0.05) -> dict[str, list[Utterance]]:
    """Utterances to train on and to hold out, by speaker and by text.

    Parameters
    ----------
    utterances : sequence of Utterance
    share : float
        Of speakers, and of texts, that are held out; at least one of each.

    Returns
    -------
    dict
        ``train``; ``speaker``: speakers never trained on; ``text``: texts never trained on, by speakers that were. A hash of the
        name decides, so the split outlives the order of the corpus. Where there is one speaker, none is held out.
    """
    if not 0 < share < 1:
        raise ConfigurationError(f"The share that is held out must lie between 0 and 1, not be {share}.")

    def first(names: set[str]) -> set[str]:
        order = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
        return set(order[: max(1, round(share * len(order)))])

    speakers = {utterance.speaker for utterance in utterances}
    apart = first(speakers) if len(speakers) > 1 else set()
    texts = first({normalized(utterance.text) for utterance in utterances if utterance.speaker not in apart})
    split: dict[str, list[Utterance]] = {"train": [], "speaker": [], "text": []}
    for utterance in utterances:
        if utterance.speaker in apart:
            split["speaker"].append(utterance)
        elif normalized(utterance.text) in texts:
            split["text"].append(utterance)
        else:
            split["train"].append(utterance)
    if not split["train"]:
        raise SemanticsError(f"{len(utterances)} utterances are too few to hold some out and train on the rest.")
    return split


def training_parts(corpus: Corpus, *, share: float = 0.05, splits: str = "official", data: str = "all") -> DataParts:
    """The utterances to train and to validate on.

    Parameters
    ----------
    corpus : Corpus
    share : float
        Of speakers and texts held out for validation, where no official part is for it.
    splits : str
        ``official``: parts called train train, parts called dev or valid validate, parts called test are left alone, and so are
        recordings outside all parts. ``ignore``: everything is trained on but what is held out.
    data : str
        ``all``, or ``release``: of each chapter of LibriSpeech only the last utterance, as the released loader has it.

    Raises
    ------
    ConfigurationError
        If an option is not known, or the corpus has official parts and none of them is for training.
    SemanticsError
        If nothing is left to train on.
    """
    if splits not in ("official", "ignore"):
        raise ConfigurationError(f"--splits is 'official' or 'ignore', not {splits!r}.")
    if data not in ("all", "release"):
        raise ConfigurationError(f"--data is 'all' or 'release', not {data!r}.")
    groups: dict[tuple[str, str], list[Utterance]] = {}
    for utterance in corpus.utterances:
        part = official_part(utterance, corpus.root) if splits == "official" else ("", "")
        groups.setdefault(part, []).append(utterance)
    roles = {role for _, role in groups}
    if roles - {""} and "train" not in roles:
        names = ", ".join(sorted(name for name, role in groups if role))
        raise ConfigurationError(
            f"The corpus {corpus.name} has only the official parts {names}, and none of them is for training. Give a corpus with "
            "its training part, or pass --splits ignore to train on these: they test nothing afterwards."
        )
    labelled = "train" in roles
    used = {"train": [], "validation": []}
    parts = []
    for (name, role), utterances in sorted(groups.items()):
        use = (role or "left out") if labelled else "train"
        use = "left out" if use == "test" else use
        why = "" if use != "left out" else ("an official test part" if role == "test" else "in no official part")
        if use == "train" and data == "release":
            utterances = last_of_chapters(utterances)
        if use in used:
            used[use] += utterances
        parts.append(_described(name or corpus.name, use, utterances, why))
    train, validation = used["train"], used["validation"]
    if not train:
        raise SemanticsError(f"The corpus {corpus.name} has no utterance to train on.")
    if not validation:
        split = held_out(train, share=share)
        train, validation = split["train"], split["speaker"] + split["text"]
        named = ", ".join(part["part"] for part in parts if part["use"] == "train")
        parts = [part for part in parts if part["use"] != "train"]
        parts.append(_described(named, "train", train, "" if labelled else _whole(splits)))
        parts.append(_described(named, "validation", validation, f"{share:.0%} of speakers and of texts held out"))
    order = {"train": 0, "validation": 1, "left out": 2}
    parts.sort(key=lambda part: (order[part["use"]], part["part"]))
    return DataParts(train, validation, {"corpus": corpus.name, "splits": splits, "data": data, "parts": parts})


def _whole(splits: str) -> str:
    return "official parts ignored, as asked" if splits == "ignore" else "the corpus has no official parts"


def _described(name: str, use: str, utterances: Sequence[Utterance], why: str) -> dict[str, Any]:
    return {
        "part": name,
        "use": use,
        "why": why,
        "utterances": len(utterances),
        "speakers": len({utterance.speaker for utterance in utterances}),
        "hours": round(sum(utterance.duration for utterance in utterances) / 3600, 3),
    }


def last_of_chapters(utterances: Sequence[Utterance]) -> list[Utterance]:
    """The last utterance of every chapter of LibriSpeech, in the order of their names: all that the released loader keeps.

    Raises
    ------
    ConfigurationError
        If an utterance is not named ``SPEAKER-CHAPTER-NUMBER``.
    """
    last: dict[str, Utterance] = {}
    for utterance in sorted(utterances, key=lambda one: one.audio.stem):
        named = re.fullmatch(r"(\d+-\d+)-\d+", utterance.audio.stem)
        if named is None:
            raise ConfigurationError(
                f"--data release keeps one utterance of each LibriSpeech chapter; {utterance.audio.name} is not named "
                "SPEAKER-CHAPTER-NUMBER. Leave --data out for other corpora."
            )
        last[named[1]] = utterance
    return list(last.values())


def keep_data(card: dict[str, Any], out: Path) -> None:
    """Log what is used and keep it in ``out/data.json``; a run that is gone on with must use the same.

    Raises
    ------
    SemanticsError
        If ``out`` holds a run on other data.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / "data.json"
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        if before != card:
            raise SemanticsError(
                f"{out} holds a run on other data: {_summary(before)}; now {_summary(card)}. Go on with the same data, or choose "
                "another --out."
            )
    path.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _summary(card: dict[str, Any]) -> str:
    return ", ".join(f"{part['use']} {part['part']} ({part['utterances']})" for part in card["parts"])
