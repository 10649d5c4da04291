"""`python -m analysis.embeddings`: vectors of a corpus on disk, shard by shard.

Exit codes: 0 done (or, with --status, complete), 1 --status found shards missing, 2 the request cannot be met, 3 with --strict:
something was left out.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.console import Parser, exit_code, run_elsewhere
from analysis.engine import PLACES, available_cores
from analysis.errors import ConfigurationError, Failure, write_failures

if TYPE_CHECKING:
    import pandas as pd

    from analysis.corpus import Corpus
    from analysis.embeddings.store import EmbeddingStore

# Failures named on the console; the file has them all.
_FAILURES_SHOWN = 20

_EPILOG = """
examples:
  python -m analysis.embeddings demo --encoder bundled --out vectors/demo
  python -m analysis.embeddings /data/LibriSpeech/dev-clean --alignments textgrids/ \\
      --encoder facebook/hubert-base-ls960 --layers 6-12 --storage float16 --out vectors/hubert --shard 3 --num-shards 16
  python -m analysis.embeddings --out vectors/hubert --status

Running the same command again is safe: shards that are complete are kept, damaged ones are made anew. Read the result with
  SyllableEmbeddings.read("vectors/hubert", layer=9)
or any Parquet reader: vectors/hubert/tokens/*.parquet holds the token table and one column per layer.

exit codes: 0 done (with --status: complete), 1 --status: not complete, 2 the request cannot be met, 3 --strict: failures
"""


def parser() -> argparse.ArgumentParser:
    """The parser of this command, from which its page in the documentation is made too."""
    parser = Parser(
        prog="python -m analysis.embeddings",
        description="One vector per syllable, phone, word or utterance and layer of a speech encoder, stored as sharded Parquet.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("corpus", nargs="?", help="'demo', a LibriSpeech tree, a folder of audio with transcripts, or a manifest")
    parser.add_argument("--encoder", help="bundled, mfcc, logmel, random:SPEC, features:DIR, FRAMEWORK:FILE, hub id or folder")
    parser.add_argument("--revision", help="commit, tag or branch of a hub model")
    parser.add_argument("--out", type=Path, required=True, help="folder of the store")
    parser.add_argument("--alignments", type=Path, help="folder of TextGrids; without it words and phones are found by --aligner")
    parser.add_argument("--aligner", default="pocketsphinx", help="pocketsphinx (default), mfa, ctc or labels")
    parser.add_argument(
        "--speaker-level", type=int, metavar="N", help="the folder that names the speaker: 1 just inside CORPUS, -1 the innermost"
    )
    parser.add_argument("--speaker-pattern", metavar="REGEX", help="what names the speaker in each path, such as '(spk[0-9]+)_'")
    parser.add_argument("--lexicon", default="cmudict", help="cmudict (default), a name in lexicons/, or a dictionary file")
    parser.add_argument(
        "--inventory", help="phones of the lexicon and of alignments that are read, such as ipa; a name or a file"
    )
    parser.add_argument(
        "--aligner-option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="option of the aligner, such as model=DIR for ctc",
    )
    parser.add_argument(
        "--keep-marked", "--keep_marked", action="store_true", help="keep utterances whose alignment is beyond the quality limits"
    )
    parser.add_argument("--tokens", type=Path, help="token table (.csv or .parquet) instead of an alignment")
    parser.add_argument("--unit", default="syllable", choices=("phone", "syllable", "word", "utterance"), help="what a token is")
    parser.add_argument("--layers", default="all", help="all, final, or numbers and ranges such as 0,6-9,final")
    parser.add_argument("--pooling", default="mean", help="mean, center, middle, parts, max or medoid")
    parser.add_argument(
        "--slicing", default="feature", help="feature: cut frames, context heard; audio: cut samples first, no context"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")
    parser.add_argument("--dtype", default="float32", help="float32 (exact), bfloat16, float16, int8 or fastest")
    parser.add_argument("--storage", default="float32", choices=("float32", "float16"), help="how vectors are stored")
    parser.add_argument("--workers", type=int, help="threads that encode, one core each (default: all cores)")
    parser.add_argument("--batch-seconds", type=float, help="audio in one packed batch (default: one clip on CPU, 240 on GPU)")
    parser.add_argument("--per-shard", type=int, default=128, help="utterances in one shard")
    parser.add_argument("--shard", type=int, default=0, help="make every NUM_SHARDS-th shard, from this one")
    parser.add_argument("--num-shards", type=int, default=1, help="machines that share the work")
    parser.add_argument(
        "--where",
        default="local",
        choices=PLACES,
        help="ray: every one of NUM_SHARDS as a task of the Ray cluster at RAY_ADDRESS, --workers cores each (default 1), and a GPU "
        "with --device cuda",
    )
    parser.add_argument("--status", action="store_true", help="say what is in --out and stop")
    parser.add_argument("--strict", action="store_true", help="exit with 3 when something was left out")
    return parser


# No speech encoder comes near it; a range that long is a slip, and would fill the memory.
_MOST_LAYERS = 1000


def _layers(text: str) -> list[int | str] | None:
    """Layers from ``all`` or ``0,6-9,final``."""
    if text == "all":
        return None
    numbers: list[int | str] = []
    for piece in text.split(","):
        if piece.strip() == "final":
            numbers.append("final")
            continue
        first, dash, last = piece.strip().partition("-")
        if not first.isdigit() or (dash and not (last.isdigit() and int(first) <= int(last))):
            raise ConfigurationError(
                f"--layers {text!r} is not understood. Write 'all', or numbers and ranges such as 0,6-9,final."
            )
        if len(last if dash else first) > len(str(_MOST_LAYERS)) or int(last if dash else first) >= _MOST_LAYERS:
            raise ConfigurationError(
                f"--layers {text!r} names layers beyond {_MOST_LAYERS - 1}, which no encoder has. Most have layers 0 to 12 or 0 to 24."
            )
        numbers.extend(range(int(first), int(last if dash else first) + 1))
    return numbers


def _token_table(options: argparse.Namespace, corpus: Corpus) -> tuple[pd.DataFrame, list[Failure], str]:
    """Token table of the corpus, what failed on the way, and the aligner."""
    if options.tokens is not None:
        from analysis.phonology import read_token_table

        columns = ("utterance", "start", "nucleus_start", "coda_start", "end")
        return read_token_table(options.tokens, columns), [], str(options.tokens)
    if options.unit == "utterance":
        return _whole_utterances(corpus), [], "none"
    from analysis.alignment import align_cached, make_aligner, named_options, options_for, within_limits
    from analysis.config import cache_folder
    from analysis.phonology import load_lexicon, token_table

    name = options.aligner if options.alignments is None else "textgrid"
    settings = options_for(
        name,
        lexicon=options.lexicon,
        inventory=options.inventory,
        workers=options.workers or available_cores(),
        device=options.device,
    )
    settings |= named_options(options.aligner_option)
    if options.alignments is not None:
        settings["folder"] = options.alignments
    aligner = make_aligner(name, **settings)
    failures, alignments = [], {}
    for outcome in align_cached(aligner, corpus.utterances, cache_folder("alignments")):
        if isinstance(outcome, Failure):
            failures.append(outcome)
        else:
            alignments[outcome.utterance_id] = outcome
    if not options.keep_marked:
        alignments, _, marked = within_limits(alignments, corpus.utterances)
        failures += marked
    aligned = [utterance for utterance in corpus if utterance.id in alignments]
    lexicon = load_lexicon(options.lexicon, inventory=options.inventory)
    tokens, more = token_table(aligned, [alignments[utterance.id] for utterance in aligned], unit=options.unit, lexicon=lexicon)
    return tokens, failures + more, aligner.source


def _whole_utterances(corpus: Corpus) -> pd.DataFrame:
    """One token per utterance, from its first sample to its last."""
    import pandas as pd

    rows = [
        {
            "token": number,
            "utterance": one.id,
            "speaker": one.speaker,
            "unit": "utterance",
            "type": one.text,
            "start": 0.0,
            "nucleus_start": 0.0,
            "coda_start": one.duration,
            "end": one.duration,
        }
        for number, one in enumerate(corpus)
    ]
    return pd.DataFrame(rows)


def _print_status(store: EmbeddingStore) -> int:
    states = store.status()
    complete = [one for one in states if one.state == "complete"]
    size = sum(one.size for one in complete) / 2**20
    print(
        f"{store.folder}: {len(complete)} of {len(states)} shards complete, {sum(one.tokens for one in complete)} tokens, "
        f"{sum(one.failures for one in complete)} failures, {size:.1f} MiB"
    )
    for one in states:
        if one.state != "complete":
            print(f"  {one.name}: {one.state}{' (' + one.reason + ')' if one.reason else ''}")
    return 0 if len(complete) == len(states) else 1


def _print_storage_error(store: EmbeddingStore) -> None:
    errors = [note["storage_error"] for note in store.notes() if note["storage_error"]]
    if errors:
        print(
            f"float16 storage: largest error of an L2 distance {max(one['l2_relative'] for one in errors):.1e} of the mean "
            f"distance, of a cosine distance {max(one['cosine'] for one in errors):.1e} (over a sample of each shard's tokens)"
        )


def _run(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    from analysis.embeddings.store import EmbeddingStore

    if options.status:
        return _print_status(EmbeddingStore(options.out))
    for name in ("corpus", "encoder"):
        if getattr(options, name) is None:
            raise ConfigurationError(f"{'CORPUS' if name == 'corpus' else '--encoder'} is needed to extract; see --help.")
    layers = _layers(options.layers)
    if options.num_shards < 1:
        raise ConfigurationError(f"--num-shards must be at least 1, not {options.num_shards}.")
    if options.where != "local":
        return run_elsewhere("analysis.embeddings.__main__", arguments, options, cores=options.workers or 1)

    from analysis.corpus import open_corpus
    from analysis.embeddings.encoding import make_recipe
    from analysis.embeddings.extraction import nothing_encoded
    from analysis.embeddings.shards import plan_extraction
    from analysis.encoders import check_encoder, load_encoder

    # what cannot be loaded and a folder that cannot be made must not cost hours of alignment first
    check_encoder(options.encoder, device=options.device, dtype=options.dtype, revision=options.revision)
    corpus = open_corpus(options.corpus, speaker_level=options.speaker_level, speaker_pattern=options.speaker_pattern)
    options.out.mkdir(parents=True, exist_ok=True)
    tokens, failures, source = _token_table(options, corpus)
    failures = [*corpus.failures, *failures]
    if tokens.empty:
        first = f" The first that was left out is {failures[0].item}: {failures[0].reason}" if failures else ""
        raise ConfigurationError(f"{options.corpus} gives no token, so there is nothing to embed.{first}")
    encoder = load_encoder(options.encoder, device=options.device, dtype=options.dtype, revision=options.revision)
    failures += getattr(encoder, "warnings", ())
    recipe = make_recipe(encoder, layers=layers, pooling=options.pooling, slicing=options.slicing)
    with_tokens = set(tokens["utterance"])
    plan = plan_extraction(
        encoder,
        [utterance for utterance in corpus if utterance.id in with_tokens],
        tokens,
        recipe,
        storage=options.storage,
        per_shard=options.per_shard,
        alignment_source=source,
        corpus=corpus.name,
    )
    store = plan.open(options.out)
    counts = plan.run(
        store,
        shard=options.shard,
        num_shards=options.num_shards,
        workers=options.workers,
        batch_seconds=options.batch_seconds,
    )
    print(f"{options.out}: {counts.made} shards made, {counts.kept} kept, {counts.others} left to other machines")
    print(f"speakers' names come from {corpus.speakers_from}")
    if counts.others == 0:
        failures += store.failures()
        _print_storage_error(store)
    suffix = "" if options.num_shards == 1 else f"-{options.shard}-of-{options.num_shards}"
    # what never reached a shard is in no other file: recordings, transcripts and alignments that could not be used
    path = options.out / f"failures{suffix}.csv"
    write_failures(path, failures)
    for failure in failures[:_FAILURES_SHOWN]:
        kind = "left out" if failure.severity == "error" else failure.severity
        print(f"{kind}: {failure.item}: {failure.reason}", file=sys.stderr)
    if counts.others == 0 and not sum(note["tokens"] for note in store.notes()):
        raise nothing_encoded([failure for failure in failures if failure.severity == "error"], encoder.card.name)
    if len(failures) > _FAILURES_SHOWN:
        print(f"... and {len(failures) - _FAILURES_SHOWN} more; {path} lists them", file=sys.stderr)
    return 3 if options.strict and any(failure.severity == "error" for failure in failures) else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    return exit_code(lambda: _parsed_and_run(arguments), interrupted="interrupted; run the same command again to go on")


def _parsed_and_run(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    # where there is no terminal for a bar, a job's log says which shards are written
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("analysis.embeddings").setLevel(logging.WARNING if sys.stderr.isatty() else logging.INFO)
    return _run(options, arguments)


if __name__ == "__main__":
    sys.exit(main())
