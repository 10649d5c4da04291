"""The Montreal Forced Aligner (3.x) as it is installed: its command is run on a corpus folder made for it, and its results are read.

Written after the command line of MFA 3.4 (``mfa align --help``; docs: Align with an acoustic model). MFA comes from conda-forge;
where this toolkit is tested it cannot be installed, so it is tested against a stand-in that takes the same arguments and writes
the same files.
"""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import math
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

from analysis.alignment.textgrid import alignment_of
from analysis.alignment.tiers import TextGridContent, Tier, read_tiers
from analysis.alignment.transcript import plain_text, spoken_words, transcript_notes
from analysis.alignment.types import Alignment
from analysis.config import content_hash
from analysis.corpus.utterance import Utterance
from analysis.errors import AlignmentError, AudioError, ConfigurationError, ExternalProgramError, Failure

__all__ = ["MfaAligner"]

_logger = logging.getLogger(__name__)

_FORMATS = {"textgrid": ("long_textgrid", ".TextGrid"), "json": ("json", ".json")}
_INSTALL = (
    "Install it: conda create -n aligner -c conda-forge montreal-forced-aligner; then give environment=aligner, or activate it. "
    "Models: mfa model download acoustic english_us_arpa; mfa model download dictionary english_us_arpa. Without it, take the "
    "aligner pocketsphinx, or read TextGrids that MFA wrote elsewhere."
)
# What MFA reads without conversion: these, one channel.
_LINKED = frozenset((".wav", ".flac"))
# Columns of alignment_analysis.csv that become Alignment.measures; speech_log_likelihood is the confidence.
_MEASURES = ("overall_log_likelihood", "phone_duration_deviation", "max_running_short_interval", "snr", "intensity_deviation")
_CONFIDENCE = "speech_log_likelihood"
# Labels under which MFA writes speech that its dictionary has no pronunciation for.
_UNKNOWN = ("spn", "<unk>")
# Raised when a rule here or in transcript.py changes what comes out, so that cached alignments are made again.
_REVISION = 2


class MfaAligner:
    """Runs ``mfa align``.

    Parameters
    ----------
    acoustic, dictionary : str or path
        Names of downloaded models (``english_us_arpa``, ``english_mfa``) or paths. The dictionary is that of the acoustic model's
        name by default.
    g2p : str or path, optional
        A G2P model for words outside the dictionary; without one they are aligned as noise and have no phones.
    environment : str, optional
        A conda environment to run in; by default ``mfa`` must be on PATH.
    num_jobs : int
        Processes of MFA.
    single_speaker : bool
        One speaker, or none known: MFA splits the work by utterance and does not adapt to speakers.
    beam, retry_beam : int, optional
        Wider beams align more of difficult recordings, more slowly (MFA's own: 10 and 40).
    output : {'textgrid', 'json'}
        What MFA writes, and this reads.
    inventory : str, optional
        Of the phones; told from the models' names, else from the labels.
    text : {'auto', 'english', 'as_written'}
        ``english`` writes numbers and abbreviations out before MFA sees them; by default for models called english.
    shard : int
        Utterances in one run of MFA, at the least: a speaker's utterances stay together, because MFA adapts to each speaker.
    folder : path, optional
        Where corpus, temporary files and output of MFA stay, for looking; by default they are deleted.

    Notes
    -----
    ``Alignment.confidence`` is the speech log-likelihood of ``alignment_analysis.csv`` (mean over phones); its other columns are
    in ``Alignment.measures``. MFA adapts to the speakers of a run: an utterance aligned beside other ones may come out a little
    different, and a cached alignment is the one of its first run.

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
    ) -> None:
        if output not in _FORMATS:
            raise ConfigurationError(f"The mfa aligner has no output {output!r}. Choose one of {', '.join(_FORMATS)}.")
        if text not in ("auto", "english", "as_written"):
            raise ConfigurationError(f"The mfa aligner has no text {text!r}. Choose one of auto, english, as_written.")
        self._num_jobs, self._shard = _positive("num_jobs", num_jobs), _positive("shard", shard)
        self._beams = [
            (f"--{name}", str(_positive(name, value))) for name, value in (("beam", beam), ("retry_beam", retry_beam)) if value
        ]
        self._acoustic, self._dictionary = str(acoustic), str(dictionary or acoustic)
        self._g2p = str(g2p) if g2p else None
        self._output = output
        self._single_speaker = _switch(single_speaker)
        self._english = text == "english" or (text == "auto" and Path(self._acoustic).name.lower().startswith("english"))
        self._inventory = inventory or _inventory_of(self._acoustic, self._dictionary)
        self._folder = Path(folder) if folder else None
        self._command = _command(environment)
        self.source = f"mfa {self.version} {Path(self._acoustic).stem}"

    @cached_property
    def version(self) -> str:
        """What ``mfa version`` says.

        Raises
        ------
        ConfigurationError
            If it is not 3.x, whose arguments these are.
        """
        lines = self._run(["version"], "MFA is there and does not start: its message says why. Try it in a terminal.").split()
        version = next((word for word in reversed(lines) if re.fullmatch(r"\d+\.\d+\S*", word)), "")
        if version.partition(".")[0] != "3":
            raise ConfigurationError(
                f"The mfa aligner speaks to MFA 3.x, and `{' '.join([*self._command, 'version'])}` says {version or 'no version'}. "
                f"Install montreal-forced-aligner=3 from conda-forge in an environment of its own, and name it."
            )
        return version

    # -- the protocol ------------------------------------------------------------------------------------------------------

    def align(self, utterances: Sequence[Utterance]) -> Iterator[Alignment | Failure]:
        """Yield one Alignment or Failure per utterance, in order; each shard is run when its first utterance is due.

        Raises
        ------
        ExternalProgramError
            If MFA fails: command, exit code and its last lines.
        """
        shards = enumerate(self._shards(utterances))
        outcomes: dict[str, Alignment | Failure] = {}
        for utterance in utterances:
            while utterance.id not in outcomes:
                number, shard = next(shards)
                if self._folder is None:
                    place: Any = tempfile.TemporaryDirectory(prefix="mfa-")
                else:
                    place = nullcontext(str(self._folder / f"run-{number:04d}"))
                with place as folder:
                    outcomes |= self._run_on(shard, Path(folder))
            yield outcomes.pop(utterance.id)

    def cache_key(self, utterance: Utterance) -> str:
        """Changes whenever the outcome could, but for the other utterances of a speaker: models, options, audio, text, versions."""
        audio = hashlib.sha256(utterance.audio.read_bytes()).hexdigest()
        options = [self._beams, self._single_speaker, self._inventory, self._english, utterance.speaker]
        return content_hash([self.source, _REVISION, self._model_hashes, options, utterance.id, utterance.text, audio])

    @cached_property
    def _model_hashes(self) -> list[str]:
        models = [("acoustic", self._acoustic), ("dictionary", self._dictionary), ("g2p", self._g2p)]
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

    # -- one run -----------------------------------------------------------------------------------------------------------

    def _run_on(self, utterances: list[Utterance], folder: Path) -> dict[str, Alignment | Failure]:
        corpus, output, temporary = folder / "corpus", folder / "output", folder / "temporary"
        for path in (corpus, output, temporary):
            path.mkdir(parents=True, exist_ok=True)
        outcomes: dict[str, Alignment | Failure] = {}
        names: dict[str, Path] = {}
        speakers = {speaker: f"s{i:05d}" for i, speaker in enumerate(dict.fromkeys(one.speaker for one in utterances))}
        for number, utterance in enumerate(utterances):
            # names of our own: ids may hold slashes, spaces and what else MFA would not keep
            name = Path(speakers[utterance.speaker]) / f"u{number:06d}"
            failure = self._prepared(utterance, corpus / name)
            if failure is None:
                names[utterance.id] = name
            else:
                outcomes[utterance.id] = failure
        if names:
            arguments = ["align", str(corpus), self._dictionary, self._acoustic, str(output)]
            arguments += ["--output_format", _FORMATS[self._output][0], "--temporary_directory", str(temporary)]
            arguments += ["--num_jobs", str(self._num_jobs), "--clean", "--overwrite"]
            arguments += ["--g2p_model_path", self._g2p] if self._g2p else []
            arguments += ["--single_speaker"] if self._single_speaker else []
            arguments += [part for pair in self._beams for part in pair]
            self._run(arguments, "Its last lines say why; `mfa validate` on the same corpus and dictionary says more.")
            analysis = _read_analysis(output / "alignment_analysis.csv")
            contents = {one.id: self._content(output / names[one.id]) for one in utterances if one.id in names}
            inventory = self._inventory or _inventory_of_labels(contents.values())
            for utterance in utterances:
                if utterance.id in names:
                    row = analysis.get(names[utterance.id].name, {})
                    outcomes[utterance.id] = self._collected(utterance, contents[utterance.id], row, inventory)
        return outcomes

    def _prepared(self, utterance: Utterance, stem: Path) -> Failure | None:
        """Lay audio and transcript where MFA looks; a Failure when the recording cannot be read or has no words."""
        from analysis.corpus.audio import read_audio, read_header

        words = spoken_words(utterance.text) if self._english else plain_text(utterance.text).split()
        if not words:
            return Failure(
                "alignment", utterance.id, f"The transcript {utterance.text!r} has no words.", "Give the words that are spoken."
            )
        stem.parent.mkdir(parents=True, exist_ok=True)
        try:
            header = read_header(utterance.audio)
            if header.channels == 1 and utterance.audio.suffix.lower() in _LINKED:
                link = stem.with_suffix(utterance.audio.suffix.lower())
                link.unlink(missing_ok=True)
                os.symlink(utterance.audio.resolve(), link)
            else:
                import soundfile

                soundfile.write(stem.with_suffix(".wav"), read_audio(utterance, 16000), 16000)
        except AudioError as error:
            return Failure("alignment", utterance.id, str(error), "Mend or leave out this recording.")
        stem.with_suffix(".lab").write_text(" ".join(words) + "\n", encoding="utf-8")
        return None

    def _content(self, stem: Path) -> TextGridContent | None:
        path = stem.with_suffix(_FORMATS[self._output][1])
        if not path.is_file():
            return None
        return read_tiers(path) if self._output == "textgrid" else _read_json(path)

    def _collected(
        self, utterance: Utterance, content: TextGridContent | None, row: dict[str, float], inventory: str
    ) -> Alignment | Failure:
        if content is None:
            return Failure(
                "alignment",
                utterance.id,
                "MFA wrote no alignment for it: no path through the words of the transcript fits within its beams.",
                "Does the transcript belong to this recording, and is it complete? Else try beam=100 and retry_beam=400.",
            )
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
                confidence=row.get(_CONFIDENCE),
                measures=tuple((name, row[name]) for name in _MEASURES if name in row),
                doubts=(*transcript_notes(utterance.text), *([doubt] if unknown else [])),
            )
        except AlignmentError as error:
            return Failure("alignment", utterance.id, str(error), "Look at MFA's output with folder=DIR.")

    def _run(self, arguments: list[str], remedy: str) -> str:
        command = [*self._command, *arguments]
        _logger.info("%s", " ".join(command))
        try:
            done = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False
            )
        except OSError as error:
            raise ExternalProgramError(command, None, str(error), _INSTALL) from error
        if done.returncode:
            raise ExternalProgramError(command, done.returncode, done.stdout, remedy)
        return done.stdout


def _command(environment: str | None) -> list[str]:
    """How MFA is started, with a message about installing it when it is not there."""
    if not environment:
        if shutil.which("mfa") is None:
            raise ExternalProgramError(["mfa", "align"], None, "mfa: not found on PATH", _INSTALL)
        return ["mfa"]
    for program, options in (("conda", ["--no-capture-output"]), ("mamba", []), ("micromamba", [])):
        if shutil.which(program):
            return [program, "run", "-n", environment, *options, "mfa"]
    raise ExternalProgramError(
        ["conda", "run", "-n", environment, "mfa", "align"], None, "conda, mamba, micromamba: none is on PATH", _INSTALL
    )


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
        if content is not None
        for tier in content.tiers
        if "phone" in tier.name
        for entry in tier.entries
        if entry[-1] and entry[-1] not in _UNKNOWN
    ]
    return inventory_of(labels)


def _read_json(path: Path) -> TextGridContent:
    """MFA's JSON: ``{"start", "end", "tiers": {name: {"type": "interval", "entries": [[start, end, label]]}}}``."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        tiers = tuple(
            Tier(name, True, tuple((float(start), float(end), str(label)) for start, end, label in tier["entries"]))
            for name, tier in data["tiers"].items()
        )
        return TextGridContent(float(data["start"]), float(data["end"]), tiers, "json")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AlignmentError(f"{path} is not the JSON that MFA 3 writes: {type(error).__name__}: {error}.") from error


def _read_analysis(path: Path) -> dict[str, dict[str, float]]:
    """Numbers of ``alignment_analysis.csv`` by file name; an older MFA may not write it."""
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as stream:
        return {row["file"]: _numbers(row) for row in csv.DictReader(stream)}


def _numbers(row: dict[str, str]) -> dict[str, float]:
    found = {}
    for name in (_CONFIDENCE, *_MEASURES):
        try:
            value = float(row.get(name) or "nan")
        except ValueError:
            continue
        if math.isfinite(value):
            found[name] = value
    return found


def _model_hash(kind: str, name: str) -> str:
    """Content of a model file, given by path or downloaded by name; the name alone where no file is found."""
    root = Path(os.environ.get("MFA_ROOT_DIR") or Path.home() / "Documents" / "MFA") / "pretrained_models" / kind
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


def _switch(value: bool | str) -> bool:
    """A switch that may come from a command line as text."""
    if isinstance(value, str):
        if value.lower() not in ("true", "false"):
            raise ConfigurationError(f"The mfa aligner's single_speaker is true or false, not {value!r}.")
        return value.lower() == "true"
    return bool(value)
