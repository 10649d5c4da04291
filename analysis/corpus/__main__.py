"""``python -m analysis.corpus``: what a corpus holds, a manifest of it, or the demo corpus.

Exit codes: 0 done; 1 with --strict, when something was left out; 2 the request cannot be met.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from analysis.console import Parser, exit_code
from analysis.errors import Failure


def parser() -> argparse.ArgumentParser:
    """The parser of this command, from which its page in the documentation is made too."""
    parser = Parser(
        prog="python -m analysis.corpus",
        description="What a corpus holds, a manifest of it, or the demo corpus.",
        epilog="A CORPUS is `demo`, a folder or manifest whose layout is recognised, or `layout:path`; `layouts` lists them. "
        "Exit codes: 0 done; 1 with --strict, when something was left out; 2 the request cannot be met.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="count utterances, speakers, hours and rates; say what was left out and why")
    listing.add_argument("corpus", metavar="CORPUS", help="`demo`, a folder, a manifest, or `layout:path`")
    listing.add_argument("--audio", action="store_true", help="read all samples too: finds silent and damaged recordings")
    listing.add_argument("--hash", action="store_true", help="print the hash of ids, transcripts, speakers and audio")
    listing.add_argument("--json", type=Path, metavar="FILE", help="write counts and failures here too")
    listing.add_argument("--strict", action="store_true", help="exit code 1 when something was left out")
    manifest = commands.add_parser("manifest", help="write a manifest, one utterance at a time")
    manifest.add_argument("corpus", metavar="CORPUS", help="`demo`, a folder, a manifest, or `layout:path`")
    manifest.add_argument("out", type=Path, metavar="FILE", help="ends in .csv, .tsv, .jsonl or .parquet")
    manifest.add_argument("--strict", action="store_true", help="exit code 1 when something was left out")
    for command in (listing, manifest):
        command.add_argument(
            "--speaker-level",
            type=int,
            metavar="N",
            help="the folder that names the speaker: 1 just inside CORPUS, -1 the innermost",
        )
        command.add_argument(
            "--speaker-pattern", metavar="REGEX", help="what names the speaker in each path, such as '(spk[0-9]+)_'"
        )
    demo = commands.add_parser("demo", help="speak the demo corpus, where it is missing or damaged, and print its folder")
    demo.add_argument("--folder", type=Path, help="where to; the user's cache folder by default")
    demo.add_argument("--workers", type=int, help="processes; one per core, eight at most, by default")
    commands.add_parser("layouts", help="list the layouts that are recognised")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Exit code of the command line ``arguments``."""
    return exit_code(lambda: _run(arguments))


def _run(arguments: list[str] | None) -> int:
    options = parser().parse_args(arguments)
    return {"list": _list, "manifest": _manifest, "demo": _demo, "layouts": _layouts}[options.command](options)


def _list(options: argparse.Namespace) -> int:
    from analysis.corpus.identity import corpus_hash
    from analysis.corpus.opening import iter_corpus, locate
    from analysis.corpus.speakers import SpeakerRule

    layout, _ = locate(options.corpus)
    speakers: Counter[str] = Counter()
    rates: Counter[int] = Counter()
    failures: list[Failure] = []
    seconds = 0.0
    rule = {"speaker_level": options.speaker_level, "speaker_pattern": options.speaker_pattern}
    items = _watched(iter_corpus(options.corpus, **rule), "reading")
    if options.audio:
        items = _with_samples(items)

    def counted() -> Iterator:
        nonlocal seconds
        for item in items:
            if isinstance(item, Failure):
                failures.append(item)
                continue
            speakers[item.speaker] += 1
            rates[item.sampling_rate] += 1
            seconds += item.duration
            yield item

    digest = None
    if options.hash:
        digest = corpus_hash(counted())
    else:
        for _ in counted():
            pass
    counts = {
        "corpus": options.corpus,
        "layout": layout.name if layout else "demo",
        "synthetic": layout is None,
        "utterances": speakers.total(),
        "speakers": len(speakers),
        "speakers_from": str(SpeakerRule(**{name.removeprefix("speaker_"): value for name, value in rule.items()}))
        or (layout.speakers if layout else "the demo's voices"),
        "hours": round(seconds / 3600, 4),
        "sampling_rates": {str(rate): number for rate, number in sorted(rates.items())},
        "left_out": sum(failure.severity == "error" for failure in failures),
    } | ({"hash": digest} if digest else {})
    for name, value in counts.items():
        shown = ", ".join(f"{rate} Hz: {number}" for rate, number in value.items()) if isinstance(value, dict) else value
        print(f"{name.replace('_', ' '):15} {shown}")
    for failure in failures[:20]:
        print(f"  {failure.item}: {failure.reason} {failure.remedy}")
    if len(failures) > 20:
        print(f"  and {len(failures) - 20} more" + ("" if options.json else "; --json FILE lists them all"))
    if options.json:
        rows = [failure.as_row() for failure in failures]
        options.json.write_text(json.dumps(counts | {"failures": rows}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 1 if options.strict and counts["left_out"] else 0


def _with_samples(items: Iterable) -> Iterator:
    from analysis.corpus.audio import read_audio
    from analysis.corpus.recording import in_corpus

    for item in items:
        if not isinstance(item, Failure):
            read = in_corpus(item.id, partial(read_audio, item, sampling_rate=None))
            item = read if isinstance(read, Failure) else item
        yield item


def _manifest(options: argparse.Namespace) -> int:
    from analysis.corpus.manifest import write_manifest
    from analysis.corpus.opening import iter_corpus

    rule = {"speaker_level": options.speaker_level, "speaker_pattern": options.speaker_pattern}
    written = write_manifest(_watched(iter_corpus(options.corpus, **rule), "writing"), options.out)
    print(f"{written.path}: {written.n_utterances} utterances, {written.duration / 3600:.2f} h")
    if written.failures:
        print(f"{written.failures}: {written.n_failures} left out")
    return 1 if options.strict and written.n_failures else 0


def _demo(options: argparse.Namespace) -> int:
    from analysis.corpus.demo import demo_corpus

    corpus = demo_corpus(options.folder, workers=options.workers)
    print(f"{corpus.root}: {len(corpus)} synthetic utterances, {sum(item.duration for item in corpus) / 60:.1f} min")
    return 0


def _layouts(options: argparse.Namespace) -> int:
    from analysis.corpus.opening import known_layouts

    print(known_layouts())
    return 0


def _watched(items: Iterable, what: str) -> Iterable:
    from tqdm import tqdm

    return tqdm(items, desc=what, unit="utt", disable=None, mininterval=0.5)


if __name__ == "__main__":
    sys.exit(main())
