"""The Montreal Forced Aligner (3.x) as it is installed: its command is run on a corpus folder made for it, and its results are read.

Written after MFA 3.4.3: its command line, and what it was seen to do. MFA comes from conda-forge; where it is not installed, a
stand-in that behaves as the real command was seen to takes its place in the tests (``make test-mfa`` takes the real one).
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

from analysis.alignment import mfa_command
from analysis.alignment.mfa_files import (
    CONFIDENCE,
    FORMATS,
    MEASURES,
    Laid,
    lay_out,
    read_content,
    read_measures,
    utterance_content,
)
from analysis.alignment.textgrid import alignment_of
from analysis.alignment.tiers import TextGridContent
from analysis.alignment.transcript import plain_text, spoken_words, transcript_notes
from analysis.alignment.types import Alignment
from analysis.config import cache_folder, content_hash
from analysis.corpus.utterance import Utterance
from analysis.errors import AlignmentError, ConfigurationError, Failure

__all__ = ["MfaAligner"]

_logger = logging.getLogger(__name__)

# Labels under which MFA writes speech that its dictionary has no pronunciation for.
_UNKNOWN = ("spn", "<unk>")
# Raised when a rule here or in transcript.py changes what comes out, so that cached alignments are made again.
_REVISION = 3
_VALIDATE = "Its last lines say why; `mfa validate` on the same corpus and dictionary says more."
# MFA replaces a smaller retry_beam in silence.
_LEAST_RETRY_BEAM = 40
_TEXTS = ("auto", "english", "as_written")


class MfaAligner:
    """Runs ``mfa align``, on request after ``mfa train`` or ``mfa adapt``.

    Parameters
    ----------
    acoustic, dictionary : str or path
        Names of downloaded models (``english_us_arpa``, ``english_mfa``) or paths. The dictionary is that of the acoustic model's
        name by default; with the path of an acoustic model it must be named.
    g2p : str or path, optional
        A G2P model for words outside the dictionary; without one they are aligned as noise and have no phones.
    environment : str, optional
        A conda environment to run in; by default ``mfa`` must be on PATH.
    num_jobs : int
        Processes of MFA; it takes no more than there are speakers.
    single_speaker : bool
        One speaker, or none known: MFA splits the work by utterance and does not adapt to speakers.
    beam, retry_beam : int, optional
        Wider beams align more of difficult recordings, more slowly (MFA's own: 10 and 40).
    output : {'textgrid', 'json', 'csv'}
        What MFA writes, and this reads.
    inventory : str, optional
        Of the phones; told from the models' names, else from the labels.
    text : {'auto', 'english', 'as_written'}
        ``english`` writes numbers and abbreviations out before MFA sees them; by default for models called english.
    shard : int
        Utterances in one run of MFA, at the least: a speaker's utterances stay together, because MFA adapts to each speaker.
    folder : path, optional
        Where corpus, temporary files and output of MFA stay, for looking: a new folder for every run, named by what is aligned.
        By default they are deleted.
    train : bool
        Train an acoustic model on the corpus itself with the dictionary, and align with it; ``acoustic`` is not used.
    adapt : bool
        Adapt the acoustic model to the corpus, and align with the result.

    Notes
    -----
    ``Alignment.confidence`` is the speech log-likelihood of ``alignment_analysis.csv`` (mean over phones); its other columns are
    in ``Alignment.measures``. Both it and ``phone_duration_deviation`` use the mean and spread of the run's own phones, so they
    compare utterances of one run. MFA adapts to the speakers of a run: an utterance aligned beside other ones may come out a
    little different, and a cached alignment is the one of its first run. The same holds for what MFA could not align.

    Every run has an MFA root of its own, which sees the user's models and settings: runs side by side do not disturb each other.

    References
    ----------
    McAuliffe, Socolof, Mihuc, Wagner, Sonderegger (2017), Montreal Forced Aligner, Interspeech.
    """

    def __init__(
        self,
        acoustic: str | Path = "english_us_arpa",
        *,
        dictionary: str | Path | None = None,
        g2p: str | Path | None = None,
        environment: str | None = None,
        num_jobs: int = 1,
        single_speaker: bool = False,
        beam: int | None = None,
        retry_beam: int | None = None,
        output: str = "textgrid",
        inventory: str | None = None,
        text: str = "auto",
        shard: int = 2000,
        folder: Path | str | None = None,
        train: bool = False,
        adapt: bool = False,
    ) -> None:
        if output not in FORMATS:
            raise ConfigurationError(f"The mfa aligner has no output {output!r}. Choose one of {', '.join(FORMATS)}.")
        if text not in _TEXTS:
            raise ConfigurationError(f"The mfa aligner has no text {text!r}. Choose one of {', '.join(_TEXTS)}.")
        self._num_jobs, self._shard = _positive("num_jobs", num_jobs), _positive("shard", shard)
        self._beams = _beams(beam, retry_beam)
        self._train, self._adapt = _switch("train", train), _switch("adapt", adapt)
        if self._train and self._adapt:
            raise ConfigurationError("The mfa aligner either trains a model or adapts one. Give train or adapt, not both.")
        self._acoustic = str(acoustic)
        if dictionary is None and not self._train and _is_path(self._acoustic):
            raise ConfigurationError(
                f"The acoustic model {acoustic} is a file, and the name of a file does not say which dictionary goes with it. "
                f"Give dictionary=NAME (one of `mfa model list dictionary`) or dictionary=FILE, in the phones of the model."
            )
        self._dictionary = str(dictionary or acoustic)
        self._g2p = str(g2p) if g2p else None
        self._output = output
        self._single_speaker = _switch("single_speaker", single_speaker)
        named = self._dictionary if self._train else self._acoustic
        self._english = text == "english" or (text == "auto" and Path(named).name.lower().startswith("english"))
        self._inventory = inventory or _inventory_of(named, self._dictionary)
        self._folder = None if not folder else Path(folder).absolute()
        if self._folder is not None:
            mfa_command.checked_place(self._folder, "Give a folder without one.")
        self._command = mfa_command.command_of(environment)
        self._model: Path | None = None
        self._settled: set[str] = set()
        how = f"trained with {Path(self._dictionary).stem}" if self._train else Path(self._acoustic).stem
        self.source = f"mfa {self.version} {how}" + (" adapted" if self._adapt else "")

    @cached_property
    def version(self) -> str:
        """What ``mfa version`` says.

        Raises
        ------
        ConfigurationError
            If it is not 3.x, whose arguments these are.
        """
        done = mfa_command.run([*self._command, "version"])
        if done.returncode:
            raise done.error("MFA is there and does not start: its message says why. Try it in a terminal.")
        words = done.output.split()
        version = next((word for word in reversed(words) if re.fullmatch(r"\d+\.\d+\S*", word)), "")
        if version.partition(".")[0] != "3":
            raise ConfigurationError(
                f"The mfa aligner speaks to MFA 3.x, and `{' '.join([*self._command, 'version'])}` says {version or 'no version'}. "
                f"Install montreal-forced-aligner=3 from conda-forge in an environment of its own, and name it."
            )
        return version

    # -- the protocol ------------------------------------------------------------------------------------------------------

    def prepare(self, utterances: Sequence[Utterance]) -> None:
        """Train or adapt the model on these utterances, where that was asked for; only the first call counts.

        The model is kept in the user's cache folder, named by what it was made from.

        Raises
        ------
        ExternalProgramError
            If MFA fails.
        """
        if self._model is None and (self._train or self._adapt):
            made_from = [self.version, self._train, self._model_hashes, self._single_speaker, self._english]
            made_from.append([(one.speaker, one.text, _digest(one)) for one in utterances])
            model = cache_folder("mfa-models") / f"{content_hash(made_from)}.zip"
            if not model.is_file():
                with mfa_command.ended_by_signals(), self._place(f"train-{model.stem[:12]}") as folder:
                    self._make_model(utterances, Path(folder), model)
            self._model = model

    def align(self, utterances: Sequence[Utterance]) -> Iterator[Alignment | Failure]:
        """Yield one Alignment or Failure per utterance, in order; each shard is run when its first utterance is due.

        Raises
        ------
        ExternalProgramError
            If MFA fails: command, exit code and its last lines.
        """
        self.prepare(utterances)
        shards = iter(self._shards(utterances))
        outcomes: dict[str, Alignment | Failure] = {}
        for utterance in utterances:
            while utterance.id not in outcomes:
                shard = next(shards)
                name = content_hash([[self._key_parts(), one.id, one.text, _digest(one)] for one in shard])
                with mfa_command.ended_by_signals(), self._place(f"run-{name[:12]}") as folder:
                    outcomes |= self._run_on(shard, Path(folder))
            yield outcomes.pop(utterance.id)

    def cache_key(self, utterance: Utterance) -> str:
        """Changes whenever the outcome could, but for the other utterances of a speaker: models, options, audio, text, versions."""
        from analysis.corpus.audio import audio_digest

        key = [self._key_parts(), utterance.speaker, utterance.id, utterance.text, audio_digest(utterance)]
        return content_hash(key)

    def keeps_failure(self, failure: Failure) -> bool:
        """Whether MFA was asked and could not align it: it is not asked again. What was refused before costs nothing."""
        return failure.item in self._settled

    def _key_parts(self) -> list[Any]:
        model = self._model.stem if self._model is not None else ""
        options = [self._beams, self._single_speaker, self._inventory, self._english]
        return [self.source, _REVISION, self._model_hashes, options, model]

    @cached_property
    def _model_hashes(self) -> list[str]:
        models = [("acoustic", None if self._train else self._acoustic), ("dictionary", self._dictionary), ("g2p", self._g2p)]
        return [_model_hash(kind, name) for kind, name in models if name]

    def _shards(self, utterances: Sequence[Utterance]) -> Iterator[list[Utterance]]:
        by_speaker: dict[str, list[Utterance]] = {}
        for utterance in utterances:
            by_speaker.setdefault(utterance.speaker, []).append(utterance)
        shard: list[Utterance] = []
        for spoken in by_speaker.values():
            shard += spoken
            if len(shard) >= self._shard:
                yield shard
                shard = []
        if shard:
            yield shard

    def _place(self, name: str) -> AbstractContextManager[str]:
        """An empty folder for one run: what lies in it afterwards, this run wrote."""
        if self._folder is None:
            temporary = Path(tempfile.gettempdir())
            mfa_command.checked_place(temporary, "Set TMPDIR to a folder without one, or give folder=DIR.")
            return tempfile.TemporaryDirectory(prefix="mfa-")
        self._folder.mkdir(parents=True, exist_ok=True)
        number = 1
        while True:
            folder = self._folder / (name if number == 1 else f"{name}-{number}")
            try:
                folder.mkdir()
                return nullcontext(str(folder))
            except FileExistsError:  # an earlier run of the same, or one at the same time
                number += 1

    def _words(self, text: str) -> list[str]:
        return spoken_words(text) if self._english else plain_text(text).split()

    # -- one run -----------------------------------------------------------------------------------------------------------

    def _run_on(self, utterances: list[Utterance], folder: Path) -> dict[str, Alignment | Failure]:
        laid = lay_out(utterances, folder / "corpus", self._words)
        outcomes: dict[str, Alignment | Failure] = dict(laid.failures)
        if laid.places:
            output = folder / "output"
            output.mkdir()
            acoustic = str(self._model) if self._model is not None else self._acoustic
            arguments = ["align", str(folder / "corpus"), self._dictionary, acoustic, str(output)]
            arguments += ["--output_format", FORMATS[self._output][0], *self._common(laid, folder)]
            arguments += ["--g2p_model_path", self._g2p] if self._g2p else []
            arguments += [part for pair in self._beams for part in pair]
            done = self._run(arguments, folder)
            name, explanation = done.exception
            if done.returncode and name != "NoAlignmentsError":
                raise done.error(_VALIDATE)
            aligned = [one for one in utterances if one.id in laid.places]
            if done.returncode:
                found = {one.id: _nothing_aligned(one, len(aligned), explanation, done) for one in aligned}
            else:
                found = self._collected(aligned, laid, output, done)
            self._settled.update(name for name, outcome in found.items() if isinstance(outcome, Failure))
            outcomes |= found
        return outcomes

    def _make_model(self, utterances: Sequence[Utterance], folder: Path, model: Path) -> None:
        laid = lay_out(utterances, folder / "corpus", self._words)
        if not laid.places:
            raise ConfigurationError(
                f"Not one of {len(utterances)} utterances can be used to {'train' if self._train else 'adapt'} a model. The first, "
                f"{utterances[0].id}: {laid.failures[utterances[0].id].reason}"
            )
        made = folder / "model.zip"
        models = [self._dictionary] if self._train else [self._dictionary, self._acoustic]
        arguments = ["train" if self._train else "adapt", str(folder / "corpus"), *models, str(made)]
        done = self._run([*arguments, *self._common(laid, folder)], folder)
        if done.returncode or not made.is_file():
            raise done.error(
                "Its last lines say why. Training needs an hour of speech or so; with less, adapt a model (adapt=true)."
            )
        part = model.with_suffix(f".{os.getpid()}.part")
        shutil.copyfile(made, part)
        os.replace(part, model)

    def _common(self, laid: Laid, folder: Path) -> list[str]:
        most = len(laid.places) if self._single_speaker else laid.n_speakers
        temporary = folder / "temporary"
        temporary.mkdir()
        arguments = ["--temporary_directory", str(temporary), "--num_jobs", str(min(self._num_jobs, most))]
        return [*arguments, "--clean", "--overwrite", *(["--single_speaker"] if self._single_speaker else [])]

    def _run(self, arguments: list[str], folder: Path) -> mfa_command.Finished:
        command = [*self._command, *arguments]
        _logger.info("%s", " ".join(command))
        done = mfa_command.run(command, root=mfa_command.private_root(folder))
        for text in done.warnings:
            _logger.warning("mfa: %s", text)
        return done

    def _collected(
        self, utterances: list[Utterance], laid: Laid, output: Path, done: mfa_command.Finished
    ) -> dict[str, Alignment | Failure]:
        """What MFA wrote, with its warnings at the first utterance of the run."""
        measures = read_measures(output / "alignment_analysis.csv")
        files: dict[Path, TextGridContent | None] = {}
        contents: dict[str, TextGridContent | AlignmentError | None] = {}
        for one in utterances:
            place = laid.places[one.id]
            try:
                if place.file not in files:
                    files[place.file] = read_content((output / place.file).with_suffix(FORMATS[self._output][1]))
                content = files[place.file]
                contents[one.id] = None if content is None else utterance_content(content, place)
            except AlignmentError as error:
                contents[one.id] = error
        inventory = self._inventory or _inventory_of_labels(contents.values())
        missing = sum(content is None for content in contents.values())
        outcomes: dict[str, Alignment | Failure] = {}
        others = f" (the run of this utterance and {len(utterances) - 1} others)" if len(utterances) > 1 else ""
        remarks = [f"MFA warns{others}: {text}" for text in done.remarks]
        for one in utterances:
            content, row = contents[one.id], (measures or {}).get(laid.places[one.id].row)
            if isinstance(content, AlignmentError):
                outcomes[one.id] = Failure("alignment", one.id, str(content), "Look at MFA's output with folder=DIR.")
            elif content is None:
                listed = measures is None or row is not None
                outcomes[one.id] = _left_out(one, listed, missing, done.without_features)
            else:
                outcomes[one.id] = self._alignment(one, content, row or {}, inventory, remarks)
                remarks = []
        return outcomes

    def _alignment(
        self, utterance: Utterance, content: TextGridContent, row: dict[str, float], inventory: str, remarks: list[str]
    ) -> Alignment | Failure:
        unknown = sum(entry[-1] in _UNKNOWN for tier in content.tiers if "phone" in tier.name for entry in tier.entries)
        doubt = f"{unknown} stretches of speech have no phones (spn): words outside the dictionary. Give a g2p model."
        try:
            return alignment_of(
                content,
                Path(f"MFA's alignment of {utterance.id}"),
                utterance_id=utterance.id,
                duration=utterance.duration,
                inventory=inventory,
                source=self.source,
                confidence=row.get(CONFIDENCE),
                measures=tuple((name, row[name]) for name in MEASURES if name in row),
                doubts=(*remarks, *transcript_notes(utterance.text), *([doubt] if unknown else [])),
            )
        except AlignmentError as error:
            return Failure("alignment", utterance.id, str(error), "Look at MFA's output with folder=DIR.")


def _nothing_aligned(utterance: Utterance, count: int, explanation: str, done: mfa_command.Finished) -> Failure:
    beams = re.search(r"used a beam of (\d+) and a retry beam of (\d+)", explanation)
    stated = f" (beam {beams[1]}, retry beam {beams[2]})" if beams else ""
    features = f" For {done.without_features} of them MFA computed no features." if done.without_features else ""
    return Failure(
        "alignment",
        utterance.id,
        f"MFA aligned none of the {count} utterances of its run: no path through the words of the transcripts fits within its "
        f"beams{stated}.{features}",
        "Do the transcripts, the dictionary and the acoustic model belong to these recordings? Else try beam=100 and "
        "retry_beam=400.",
    )


def _left_out(utterance: Utterance, listed: bool, missing: int, without_features: int) -> Failure:
    """Why MFA wrote no alignment of one utterance, as far as its table and its warnings tell."""
    beams = "no path through the words of the transcript fits within its beams"
    mend = "Is the recording whole? Look at it, export it again, or leave it out."
    belongs = "Does the transcript belong to this recording, and is it complete? Else try beam=100 and retry_beam=400."
    if not listed:
        reason = f"nothing of the transcript {utterance.text!r} is left after its own clean-up of the text"
        belongs = "Give the words that are spoken, in letters that MFA keeps."
    elif without_features >= missing:
        reason, belongs = "it could compute no features, so the sound is damaged or too short", mend
    elif without_features:
        reason = (
            f"{beams}, or it could compute no features. The latter holds for {without_features} of the {missing} utterances that "
            f"its run left out, and it does not name them"
        )
        belongs = f"{mend} {belongs}"
    else:
        reason = beams
    return Failure("alignment", utterance.id, f"MFA wrote no alignment for it: {reason}.", belongs)


def _digest(utterance: Utterance) -> str:
    from analysis.corpus.audio import audio_digest

    try:
        return audio_digest(utterance)
    except OSError:  # it becomes a failure when the corpus folder is made
        return "unreadable"


def _is_path(name: str) -> bool:
    return "/" in name or os.sep in name or Path(name).suffix.lower() == ".zip" or Path(name).exists()


def _beams(beam: Any, retry_beam: Any) -> list[tuple[str, str]]:
    given = [(name, _positive(name, value)) for name, value in (("beam", beam), ("retry_beam", retry_beam)) if value is not None]
    values = dict(given)
    if "retry_beam" in values and values["retry_beam"] < max(_LEAST_RETRY_BEAM, values.get("beam", 10) + 1):
        raise ConfigurationError(
            f"The mfa aligner's retry_beam must be at least {_LEAST_RETRY_BEAM} and wider than beam, not {values['retry_beam']} "
            f"with beam {values.get('beam', 10)}: MFA replaces it in silence. Give the usual four times beam."
        )
    return [(f"--{name}", str(value)) for name, value in given]


def _inventory_of(acoustic: str, dictionary: str) -> str | None:
    """Inventory that the models' names promise: ``english_us_arpa`` is ARPAbet, ``english_mfa`` and its dialects English IPA."""
    for name in (Path(dictionary).stem.lower(), Path(acoustic).stem.lower()):
        if name.endswith("_arpa"):
            return "arpabet"
        if re.fullmatch(r"english(_\w+)?_mfa", name):
            return "english_mfa"
    return None


def _inventory_of_labels(contents: Any) -> str | None:
    """None lets each file speak for itself; only then the labels of all files together are asked."""
    from analysis.alignment.textgrid import inventory_of

    labels = [
        entry[-1]
        for content in contents
        if isinstance(content, TextGridContent)
        for tier in content.tiers
        if "phone" in tier.name
        for entry in tier.entries
        if entry[-1] and entry[-1] not in _UNKNOWN
    ]
    return inventory_of(labels)


def _model_hash(kind: str, name: str) -> str:
    """Content of a model file, given by path or downloaded by name; the name alone where no file is found."""
    root = mfa_command.models_root() / "pretrained_models" / kind
    downloaded = sorted(path for path in root.iterdir() if path.stem == name) if root.is_dir() else []
    for path in (Path(name), *downloaded):
        if path.is_file():
            return hashlib.sha256(path.read_bytes()).hexdigest()
    return name


def _positive(name: str, value: Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = 0
    if number < 1:
        raise ConfigurationError(f"The mfa aligner's {name} must be a whole number of at least 1, not {value!r}.")
    return number


def _switch(name: str, value: bool | str) -> bool:
    """A switch that may come from a command line as text."""
    if isinstance(value, str):
        if value.lower() not in ("true", "false"):
            raise ConfigurationError(f"The mfa aligner's {name} is true or false, not {value!r}.")
        return value.lower() == "true"
    return bool(value)
