"""Long recordings with several utterances: whose turns they are and when, from TextGrids, tables and words with times.

What is found here becomes utterances that are parts of one file; the audio is not copied.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from analysis.corpus.recording import Recording, corpus_failure, part_id
from analysis.errors import CorpusError, Failure
from analysis.spelling import silent_word
from analysis.timebase import Interval

__all__ = ["Turn", "recordings_of", "turns_at_pauses", "turns_of_table", "turns_of_textgrid"]

#: Words further apart than this belong to different utterances, s: the usual bound of inter-pausal units in conversations.
PAUSE = 0.5
#: Utterances are divided at their longest pause until none is longer, s; encoders are trained on clips of up to about 20 s.
LONGEST = 20.0
#: An utterance that lasts longer should be divided, s: aligners and encoders were made for shorter ones.
LONG = 60.0
# Sound that an utterance made from words keeps before and behind them, s, where the pause is long enough for both sides.
_MARGIN = 0.1
# Of a TextGrid with one labelled stretch: it is a part of the recording where it leaves out more than this, s.
_LEFT_OUT = 1.0

_WORD_TIERS = frozenset(("words", "word", "ort-mau", "ort", "orthography", "wrd"))
_PHONE_TIERS = frozenset("phones phone phonemes phoneme segments segment phonetic phn mau kan-mau".split())
_TEXT_TIERS = frozenset(
    "utterance utterances transcript transcripts transcription text texts sentence sentences phrase phrases ipu ipus turn turns".split()
)
_OTHER_TIERS = frozenset("note notes comment comments event events noise noises misc".split())
_TIER = re.compile(r"^(?P<speaker>.+?)(?:\s+-\s+|\s*[:_/]\s*)(?P<kind>[^-:_/]+)$")
# Names that say what a person does in the recording, not who it is: another recording has another "speaker 1".
_ROLE = re.compile(
    r"(?:(?:speaker|spkr?|s|person|participant|subject|channel|ch)[ _-]?)?\w|(?:speaker|spkr?|person|participant|subject|s)?[ _-]?\d+|"
    r"interviewer|interviewee|informant|participant|subject|child|adult|mother|father|left|right|int|inv|chi|mot|fat",
    re.IGNORECASE,
)
_EVENTS = re.compile(r"<[^<>]*>|\{[^{}]*\}|\(pause[^()]*\)|\(\.+\)")
# Speech whose words the transcriber could not make out, or took out: CORAAL, FAVE and Switchboard.
_NO_WORDS = re.compile(
    r"/\s*(?:unintelligible|inaudible|\?+|RD-[^/]*)\s*/|\(\(\s*(?:x+|\?+|unclear|inaudible|unintelligible|)\s*\)\)", re.IGNORECASE
)
_KEPT_MARKS = re.compile(r"\(\(|\)\)|[\[\]/]|(?<!\w)-+(?!\w)")


@dataclass(frozen=True)
class Turn:
    """One stretch of one speaker.

    Attributes
    ----------
    start, end : float
        Seconds from the start of the recording.
    text : str
    speaker : str
        Empty where the source names none.
    tiers : str
        Before the names of the speaker's tiers in a TextGrid.
    """

    start: float
    end: float
    text: str
    speaker: str = ""
    tiers: str = ""


def recordings_of(
    turns: Sequence[Turn], stem: str, audio: Path, speaker: str, source: Path, extra: dict[str, str] | None = None
) -> Iterator[Recording | Failure]:
    """The turns of one recording as parts of it, in order.

    Ids are ``stem-start-end`` in milliseconds, with the speaker's name before them where there are several. Speakers that are
    called after their part (``A``, ``speaker 2``, ``interviewer``) get the recording's name before theirs: elsewhere they are
    other people. ``extra["overlap"]`` is the share of the turn during which somebody else has one.
    """
    turns = sorted(turns, key=lambda turn: (turn.start, turn.end, turn.speaker))
    several = len({turn.speaker for turn in turns}) > 1
    for turn, overlap in zip(turns, _overlaps(turns), strict=True):
        who = turn.speaker or speaker
        if turn.speaker and _ROLE.fullmatch(turn.speaker):
            who = f"{stem}-{turn.speaker}"
        name = part_id(f"{stem}-{turn.speaker}" if several and turn.speaker else stem, turn.start, turn.end)
        more = dict(extra or {})
        if turn.tiers:
            more["tier_speaker"] = turn.tiers
        if overlap > 0:
            more["overlap"] = f"{overlap:.3f}"
        if _NO_WORDS.search(turn.text):
            yield corpus_failure(
                name,
                f"Its transcript has speech without words: {turn.text!r}.",
                f"Nothing can be aligned with them. Write what is spoken in {source}, or leave it out.",
            )
            continue
        text = " ".join(_KEPT_MARKS.sub(" ", _EVENTS.sub(" ", turn.text)).split())
        if text and not silent_word(text):  # laughter and pauses are no utterances
            yield Recording(name, audio, text, who, more, transcript=str(source), start=turn.start, end=turn.end)


def _overlaps(turns: Sequence[Turn]) -> list[float]:
    """Share of each turn during which another speaker has one."""
    shares = [0.0] * len(turns)
    longest = max((turn.end - turn.start for turn in turns), default=0.0)
    for i, turn in enumerate(turns):
        for j in range(i + 1, len(turns)):
            other = turns[j]
            if other.start >= turn.end or other.start > turn.start + longest:
                break
            if other.speaker != turn.speaker:
                both = min(turn.end, other.end) - other.start
                shares[i] += both / (turn.end - turn.start)
                shares[j] += both / max(other.end - other.start, 1e-9)
    return [min(share, 1.0) for share in shares]


def turns_at_pauses(words: Sequence[Interval], duration: float, *, speaker: str = "", tiers: str = "") -> list[Turn]:
    """Words with times, divided at pauses of half a second, and at the longest pause inside what is still over 20 s."""
    words = sorted(words, key=lambda word: word.start)
    groups: list[list[Interval]] = []
    for word in words:
        if groups and word.start - groups[-1][-1].end < PAUSE:
            groups[-1].append(word)
        else:
            groups.append([word])
    groups = [part for group in groups for part in _divided(group)]
    turns = []
    for number, group in enumerate(groups):
        before = groups[number - 1][-1].end if number else 0.0
        behind = groups[number + 1][0].start if number + 1 < len(groups) else duration
        start = max(group[0].start - _MARGIN, 0.5 * (before + group[0].start))
        end = min(group[-1].end + _MARGIN, 0.5 * (group[-1].end + behind))
        turns.append(Turn(round(max(start, 0.0), 3), round(end, 3), " ".join(word.label for word in group), speaker, tiers))
    return turns


def _divided(words: list[Interval]) -> list[list[Interval]]:
    gaps = [right.start - left.end for left, right in pairwise(words)]
    if words[-1].end - words[0].start <= LONGEST or not gaps or max(gaps) <= 0:
        return [words]
    # of pauses as long as each other, to 10 ms, the one nearest the middle
    place = max(range(len(gaps)), key=lambda i: (round(gaps[i], 2), -abs(2 * i - len(gaps) + 1))) + 1
    return [*_divided(words[:place]), *_divided(words[place:])]


def turns_of_textgrid(path: Path) -> tuple[list[Turn], bool] | None:
    """Turns of a TextGrid with several speakers or utterances, and whether it holds their words with times too.

    None where it is the TextGrid of one utterance. Turns are the intervals of tiers called ``utterance``, ``sentence``, ``turn``
    and the like, alone or behind a speaker's name (``Ann - utterance``); without such, words of several speakers are divided at
    pauses; without words, tiers of other names are speakers, as MFA takes them.

    Raises
    ------
    CorpusError
        If it is no TextGrid, or two tiers of speakers have the same intervals.
    """
    from praatio import textgrid

    try:
        grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=False, reportingMode="silence", duplicateNamesMode="rename")
    except Exception:  # what is wrong with it is said where its transcript is read
        return None
    tiers = [
        (*_named(name), name, [entry for entry in tier.entries if not silent_word(entry.label)])
        for name, tier in zip(grid.tierNames, grid.tiers, strict=True)
        if isinstance(tier, textgrid.IntervalTier)
    ]
    spoken = [(speaker, name, entries) for speaker, kind, name, entries in tiers if kind == "text" and entries]
    words = [(speaker, name, entries) for speaker, kind, name, entries in tiers if kind == "words" and entries]
    others = [(name.strip(), name, entries) for _, kind, name, entries in tiers if kind == "" and entries]
    if not spoken and len({speaker for speaker, *_ in words}) > 1:
        found = [
            turn
            for speaker, _, entries in words
            for turn in turns_at_pauses(
                [Interval(entry.start, entry.end, entry.label.strip()) for entry in entries],
                grid.maxTimestamp,
                speaker=speaker,
                tiers=speaker,
            )
        ]
        return found, True
    if not spoken and words:
        return None
    if not spoken:
        spoken = [(name if len(others) > 1 else "", tier, entries) for name, tier, entries in others]
        _not_the_same(path, spoken)
    found = [
        Turn(entry.start, entry.end, " ".join(entry.label.split()), speaker, speaker)
        for speaker, _, entries in spoken
        for entry in entries
    ]
    if not found:
        return None
    left_out = grid.maxTimestamp - sum(turn.end - turn.start for turn in found)
    if len(found) == 1 and left_out <= _LEFT_OUT:
        return None
    return found, bool(words)


def _named(name: str) -> tuple[str, str]:
    """Speaker and kind of a tier: ``words``, ``phones``, ``text``, ``other`` (notes), or nothing known."""
    kinds = (("words", _WORD_TIERS), ("phones", _PHONE_TIERS), ("text", _TEXT_TIERS), ("other", _OTHER_TIERS))
    for kind, names in kinds:
        if name.strip().lower() in names:
            return "", kind
    match = _TIER.match(name.strip())
    if match:
        for kind, names in kinds:
            if match["kind"].strip().lower() in names:
                return match["speaker"].strip(), kind
    return "", ""


def _not_the_same(path: Path, spoken: Sequence[tuple[str, str, list]]) -> None:
    """A translation or a gloss has the intervals of the tier that it explains."""
    for number, (_, first, entries) in enumerate(spoken):
        edges = {(round(entry.start, 3), round(entry.end, 3)) for entry in entries}
        for _, second, later in spoken[number + 1 :]:
            same = sum((round(entry.start, 3), round(entry.end, 3)) in edges for entry in later)
            if same >= 0.8 * len(later):
                raise CorpusError(
                    f"{path} has the same intervals in the tiers {first!r} and {second!r}, so they are not two speakers. "
                    f"Name the one with the spoken words `utterance`."
                )


def turns_of_table(content: str) -> list[Turn] | None:
    """Turns of a table beside a recording, or None where it is no such table.

    CORAAL's (``Line Spkr StTime Content EnTime`` with a header), FAVE's (speaker, name, start, end, text) and Audacity's label
    tracks (start, end, text); all separated by tabs, times in seconds.
    """
    rows = [line.split("\t") for line in content.splitlines() if line.strip() and not line.startswith("\\")]
    if not rows:
        return None
    header = [name.strip().lower() for name in rows[0]]
    if {"spkr", "sttime", "content", "entime"} <= set(header):
        order = [header.index(name) for name in ("sttime", "entime", "content", "spkr")]
        return _turns(rows[1:], lambda row: [row[place] for place in order], len(header))
    if len(rows[0]) == 5:
        return _turns(rows, lambda row: [row[2], row[3], row[4], row[1].strip() or row[0]], 5)
    if len(rows[0]) == 3:
        turns = _turns(rows, lambda row: [*row, ""], 3)
        # labels of single words or phones are an alignment, not a list of utterances
        phrases = sum(len(turn.text.split()) > 1 for turn in turns or ())
        return turns if turns and 2 * phrases >= len(turns) else None
    return None


def _turns(rows: Iterable[list[str]], picked: Callable[[list[str]], list[str]], width: int) -> list[Turn] | None:
    turns = []
    for row in rows:
        if len(row) < width:
            return None
        start, end, text, speaker = picked(row)
        try:
            turn = Turn(float(start), float(end), " ".join(text.split()), speaker.strip())
        except ValueError:
            return None
        if turn.end > turn.start:
            turns.append(turn)
    return turns or None
