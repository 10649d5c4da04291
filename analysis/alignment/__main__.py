"""``python -m analysis.alignment``: align a corpus, compare two sets of alignments, show what TextGrids hold."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.console import Parser, exit_code, run_elsewhere
from analysis.engine import PLACES
from analysis.errors import AlignmentError, ConfigurationError, Failure, StrictError, write_failures
from analysis.guard import attempt

if TYPE_CHECKING:
    from analysis.alignment.types import Alignment

_ALIGN_HELP = """\
Align a corpus: one TextGrid per utterance in DIR (named by its id; tiers words and phones), alignment.csv (every
interval), quality.csv (measures, marked utterances first) and failures.csv. Run again, or after a crash, it goes on where it was.
On a cluster give every task its --shard; the tables of a shard then carry its number, TextGrids share the folder. Shards place
boundaries without models of each speaker's phones, which --option reestimate=50 estimates in every shard.

  python -m analysis.alignment CORPUS --aligner pocketsphinx --out DIR
  python -m analysis.alignment CORPUS --aligner mfa --option acoustic=english_us_arpa --option environment=aligner --out DIR
  python -m analysis.alignment CORPUS --aligner ctc --option model=facebook/wav2vec2-base-960h --out DIR
  python -m analysis.alignment compare REF HYP [--speaker NAME] [--words-tier NAME] [--json FILE]
  python -m analysis.alignment show FILE... [--json OUT]
  python -m analysis.alignment segment CORPUS --out MANIFEST       # long recordings into utterances
"""
_EXIT_CODES = (
    "Exit codes: 0 done (failures are in the table), 1 a file could not be shown or compared, 2 the request cannot be met."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    commands = {"compare": _compare, "show": _show, "segment": _segment}
    if arguments and arguments[0] in commands:
        return exit_code(lambda: commands[arguments[0]](arguments[1:]))
    return exit_code(lambda: _align(arguments), interrupted="interrupted; run the same command again to go on")


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command by its name; aligning has none. The pages of the documentation are made from them too."""
    return {"": _align_parser(), "compare": _compare_parser(), "show": _show_parser(), "segment": _segment_parser()}


def _align_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m analysis.alignment",
        description=_ALIGN_HELP,
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("corpus", help="a folder, a manifest, or demo")
    parser.add_argument("--aligner", default="pocketsphinx", help="pocketsphinx (default), mfa, ctc, textgrid or labels")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder for the results")
    parser.add_argument("--workers", type=int, default=1, help="processes of pocketsphinx or mfa (default 1)")
    parser.add_argument(
        "--speaker-level", type=int, metavar="N", help="the folder that names the speaker: 1 just inside CORPUS, -1 the innermost"
    )
    parser.add_argument("--speaker-pattern", metavar="REGEX", help="what names the speaker in each path, such as '(spk[0-9]+)_'")
    parser.add_argument("--lexicon", default="cmudict", help="cmudict (default), a name in lexicons/, or a dictionary file")
    parser.add_argument(
        "--inventory", help="phones of the lexicon and of alignments that are read, such as ipa; a name or a file"
    )
    parser.add_argument("--device", default="auto", help="where a CTC model runs (default auto)")
    parser.add_argument("--shard", type=int, default=0, metavar="I", help="align every N-th utterance, from this one (default 0)")
    parser.add_argument("--num-shards", type=int, default=1, metavar="N", help="machines that share the work (default 1)")
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="option of the aligner, such as folder=textgrids/"
    )
    parser.add_argument(
        "--where",
        default="local",
        choices=PLACES,
        help="ray: every one of N shards as a task of the Ray cluster at RAY_ADDRESS, --workers cores each",
    )
    parser.add_argument("--strict", action="store_true", help="stop at the first failure")
    return parser


def _align(arguments: list[str]) -> int:
    options = _align_parser().parse_args(arguments)

    if options.num_shards < 1:
        raise ConfigurationError(f"--num-shards must be at least 1, not {options.num_shards}.")
    if options.where != "local":
        return run_elsewhere("analysis.alignment.__main__", arguments, options, cores=options.workers)
    if not 0 <= options.shard < options.num_shards:
        raise ConfigurationError(f"--shard must lie in 0 to {options.num_shards - 1}, not be {options.shard}.")

    import pandas as pd

    from analysis.alignment import align_cached, make_aligner, named_options, options_for, quality_table, write_textgrid
    from analysis.config import cache_folder
    from analysis.corpus import open_corpus
    from analysis.corpus.names import file_name

    if options.inventory:
        from analysis.phonology import load_inventory

        load_inventory(options.inventory)  # an unknown name must not go unnoticed where the aligner has no use for it
    settings: dict[str, Any] = options_for(
        options.aligner,
        lexicon=options.lexicon,
        inventory=options.inventory,
        workers=options.workers,
        device=options.device,
    )
    settings |= named_options(options.option)
    if options.strict and options.aligner in ("textgrid", "labels"):
        settings["strict"] = True
    if options.aligner == "pocketsphinx" and options.num_shards > 1:
        settings.setdefault("reestimate", "no")  # every shard would estimate the models of every speaker
    aligner = make_aligner(options.aligner, **settings)
    corpus = open_corpus(options.corpus, speaker_level=options.speaker_level, speaker_pattern=options.speaker_pattern)
    _refuse_to_write_over(
        options.out, {"the corpus": corpus.root, "the TextGrids that are read": getattr(aligner, "folder", None)}
    )
    if hasattr(aligner, "prepare"):
        aligner.prepare(corpus.utterances)  # all of them, whichever shard this is
    failures: list[Failure] = list(corpus.failures)
    unusable = [failure for failure in failures if failure.severity == "error"]
    if options.strict and unusable:
        raise StrictError(f"{unusable[0].item}: {unusable[0].reason}")
    options.out.mkdir(parents=True, exist_ok=True)
    part = corpus.utterances[options.shard :: options.num_shards]
    alignments, rows = [], []
    # what was aligned before, by a run that was killed too, is read from the cache
    for utterance, outcome in zip(part, align_cached(aligner, part, cache_folder("alignments")), strict=True):
        if isinstance(outcome, Failure):
            if options.strict:
                raise StrictError(f"{outcome.item}: {outcome.reason}")
            failures.append(outcome)
            continue
        alignments.append(outcome)
        failures.extend(outcome.warning_rows())
        # named by the id, which is unique: audio files of several speakers may share a name, and a part is not its file
        path = options.out / f"{file_name(utterance.id)}.TextGrid"
        written = attempt("alignment", utterance.id, partial(write_textgrid, outcome, path))
        if isinstance(written, Failure):
            failures.append(written)
        scores = outcome.word_confidence or ("",) * len(outcome.words)
        for tier, intervals, confidences in (
            ("words", outcome.words, scores),
            ("phones", outcome.phones, ("",) * len(outcome.phones)),
        ):
            rows += [
                (utterance.id, utterance.speaker, tier, one.start, one.end, one.label, score, outcome.source)
                for one, score in zip(intervals, confidences, strict=True)
            ]
    suffix = "" if options.num_shards == 1 else f"-{options.shard}-of-{options.num_shards}"
    columns = ["utterance", "speaker", "tier", "start", "end", "label", "confidence", "source"]
    pd.DataFrame(rows, columns=columns).to_csv(options.out / f"alignment{suffix}.csv", index=False)
    write_failures(options.out / f"failures{suffix}.csv", failures)
    table = quality_table(alignments, part)
    table.to_csv(options.out / f"quality{suffix}.csv", index=False)
    n_failed = sum(failure.severity == "error" for failure in failures)
    print(f"{len(alignments)} utterances aligned by {aligner.source}, {n_failed} failed, {int(table['marked'].sum())} marked")
    for row in table[table["marked"]].head(10).itertuples():
        print(f"  {row.utterance}: {row.reasons}")
    print(f"Speakers' names come from {corpus.speakers_from}")
    print(f"Results are in {options.out}")
    return 0


def _segment_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m analysis.alignment segment",
        description="Divide long recordings, whose transcripts have no times, into utterances: a manifest with start and end. Cut is "
        "in pauses between words that an English recogniser and the transcript agree on; stretches where they do not agree are "
        "failures beside the manifest. The audio is not copied.",
        epilog=_EXIT_CODES,
    )
    parser.add_argument("corpus", help="a folder or a manifest")
    parser.add_argument("--out", required=True, type=Path, metavar="MANIFEST", help="ends in .csv, .tsv, .jsonl or .parquet")
    parser.add_argument("--longer", type=float, default=60.0, metavar="S", help="divide what lasts longer (default 60 s)")
    parser.add_argument("--lexicon", default="cmudict", help="cmudict (default) or a dictionary file in ARPAbet")
    return parser


def _segment(arguments: list[str]) -> int:
    options = _segment_parser().parse_args(arguments)
    if not options.longer >= 0:
        raise ConfigurationError(f"--longer is a time in seconds, not {options.longer:g}.")

    from analysis.alignment import make_aligner, options_for
    from analysis.alignment.long_recordings import divided
    from analysis.corpus import open_corpus, write_manifest

    aligner = make_aligner("pocketsphinx", **options_for("pocketsphinx", lexicon=options.lexicon))
    corpus = open_corpus(options.corpus)
    written = write_manifest(divided([*corpus.failures, *corpus.utterances], aligner, longer=options.longer), options.out)
    print(f"{written.path}: {written.n_utterances} utterances, {written.duration / 60:.1f} min")
    if written.n_failures:
        print(f"{written.failures}: {written.n_failures} left out")
    return 0


def _refuse_to_write_over(out: Path, folders: dict[str, Path | None]) -> None:
    """Raise where the results would replace TextGrids that somebody made."""
    for whose, folder in folders.items():
        if folder is not None and folder.is_dir() and out.resolve() == Path(folder).resolve() and _textgrids(out):
            raise ConfigurationError(
                f"--out {out} is the folder of {whose}: its TextGrids would be replaced. Name another folder."
            )


def _compare_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m analysis.alignment compare",
        description="Boundary errors of HYP against REF: two TextGrids, or two folders with TextGrids of the same paths or names. "
        "What cannot be read is named and left out.",
        epilog=_EXIT_CODES,
    )
    parser.add_argument("reference", type=Path, metavar="REF", help="TextGrid or folder that is taken as right")
    parser.add_argument("hypothesis", type=Path, metavar="HYP", help="TextGrid or folder that is compared with it")
    parser.add_argument("--speaker", metavar="NAME", help="whose tiers to read where a file has those of several speakers")
    for kind in ("words", "phones"):
        parser.add_argument(
            f"--{kind}-tier",
            metavar="NAME",
            help=f"tier of {kind}, in the files that have one of that name; else the usual names",
        )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table as JSON too; - for standard output alone")
    return parser


def _compare(arguments: list[str]) -> int:
    options = _compare_parser().parse_args(arguments)

    from analysis.alignment import boundary_errors
    from analysis.alignment.agreement import agreement_table

    named, failures = _matched(options.reference, options.hypothesis)
    pairs = []
    for name, files in named.items():
        try:
            pairs.append(_read_both(files, options.words_tier, options.phones_tier, options.speaker))
        except AlignmentError as error:
            failures.append(Failure("alignment", name, str(error), "Mend the file, or leave it out."))
    if not pairs and failures:
        raise AlignmentError(
            f"None of {len(failures)} files could be compared. The first, {failures[0].item}: {failures[0].reason}"
        )
    if not pairs:
        raise AlignmentError(
            f"No TextGrid in {options.hypothesis} has the name of one in {options.reference}, so there is nothing to compare."
        )
    errors = boundary_errors(pairs)
    table = agreement_table(errors)
    starts = errors[(errors["tier"] == "words") & (errors["edge"] == "start")]["error"]
    data = {
        "n_files": len(pairs),
        "only_in_reference": len(_textgrids(options.reference)) - len(named) if options.reference.is_dir() else 0,
        "n_words": len(starts),
        "n_unmatched_words": int(starts.isna().sum()),
        "failures": [failure.as_row() for failure in failures],
        "rows": table.to_dict("records"),
    }
    for failure in failures:
        print(f"left out: {failure.item}: {failure.reason}", file=sys.stderr)
    if options.json is not None:
        text = json.dumps(data, indent=1, allow_nan=False, default=str) + "\n"
        if str(options.json) == "-":
            print(text, end="")
            return 1 if failures else 0
        options.json.write_text(text, encoding="utf-8")
    print(f"{len(pairs)} files; every start and end of the reference's words and phones; shares in percent of the matched")
    print(
        f"{data['n_unmatched_words']} of the reference's {len(starts)} words have no match in the other's; no share counts them"
    )
    print(table.to_string(index=False, float_format=lambda value: f"{value:.1f}"))
    return 1 if failures else 0


def _read_both(
    files: tuple[Path, Path], words_tier: str | None, phones_tier: str | None, speaker: str | None
) -> tuple[Alignment, Alignment]:
    """Reference and hypothesis; a tier that was named is read where a file has it, and one of the two must."""
    from analysis.alignment.textgrid import alignment_of
    from analysis.alignment.tiers import read_tiers

    contents = [read_tiers(path) for path in files]
    there = [{tier.name for tier in content.tiers} for content in contents]
    for name in (words_tier, phones_tier):
        if name is not None and not any(name in names for names in there):
            raise AlignmentError(f"Neither {files[0]} nor {files[1]} has a tier named {name!r}.")
    read = [
        alignment_of(
            content,
            path,
            utterance_id=path.stem,
            words_tier=words_tier if words_tier in names else None,
            phones_tier=phones_tier if phones_tier in names else None,
            speaker=speaker,
        )
        for path, content, names in zip(files, contents, there, strict=True)
    ]
    return read[0], read[1]


def _matched(reference: Path, hypothesis: Path) -> tuple[dict[str, tuple[Path, Path]], list[Failure]]:
    """Files of the same path below the two folders, else of the same name where only one of each side has it."""
    left, right = _textgrids(reference), _textgrids(hypothesis)
    if reference.is_file() and hypothesis.is_file():
        return {reference.stem: (reference, hypothesis)}, []
    found = {name: (left[name], right[name]) for name in sorted(left.keys() & right.keys())}
    failures: list[Failure] = []
    others = {name: path for name, path in right.items() if name not in found}
    for name in sorted(left.keys() - found.keys()):
        stem = left[name].stem
        same = [path for path in others.values() if path.stem == stem]
        rivals = sum(path.stem == stem for other, path in left.items() if other not in found)
        if len(same) == 1 and rivals == 1:
            found[name] = (left[name], same[0])
        elif same:
            reason = f"{rivals} TextGrids of the reference and {len(same)} of the other are named {stem}, in other folders."
            failures.append(Failure("alignment", name, reason, "Give both the same folders, or names of their own."))
    return found, failures


def _textgrids(path: Path) -> dict[str, Path]:
    """TextGrids by their path below the folder, without ending."""
    if path.is_file():
        return {path.stem: path}
    if not path.is_dir():
        raise AlignmentError(f"There is no file or folder {path}.")
    files = (file for file in sorted(path.rglob("*")) if file.suffix.lower() == ".textgrid")
    return {file.relative_to(path).with_suffix("").as_posix(): file for file in files}


def _show_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m analysis.alignment show",
        description="What is in TextGrids, tier by tier. One bad file does not hide the others.",
        epilog=_EXIT_CODES,
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="TextGrids")
    parser.add_argument("--json", metavar="OUT", help="write {file: {xmin, xmax, tiers} or {error}} to this file; - to print it")
    return parser


def _show(arguments: list[str]) -> int:
    options = _show_parser().parse_args(arguments)

    from analysis.alignment.tiers import read_tiers, tiers_as_data

    shown: dict[str, dict[str, Any]] = {}
    for name in options.files:
        try:
            shown[name] = tiers_as_data(read_tiers(name))
        except AlignmentError as error:
            shown[name] = {"error": str(error)}
    if options.json is not None:
        text = json.dumps(shown, ensure_ascii=False, indent=1) + "\n"
        if options.json == "-":
            print(text, end="")
        else:
            Path(options.json).write_text(text, encoding="utf-8")
    if options.json != "-":
        for name, data in shown.items():
            if "error" in data:
                print(f"{name}: {data['error']}")
                continue
            print(f"{name}: {data['xmin']:g} to {data['xmax']:g} s")
            for tier in data["tiers"]:
                kind = "intervals" if tier["interval"] else "points"
                print(f"  {tier['name']}: {len(tier['entries'])} {kind}")
                for *times, label in tier["entries"]:
                    print("    " + " ".join(f"{time:9.4f}" for time in times) + f"  {label!r}")
    return 1 if any("error" in data for data in shown.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
