"""`python -m analysis.wav2sem`: train, evaluate, convert and use semantic modules.

Exit codes: 0 done, 2 the request cannot be met.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analysis.console import Parser, exit_code, seed
from analysis.errors import ConfigurationError

_EPILOGUE = """
examples:
  python -m analysis.wav2sem train --preset bundled --sentences sentences.txt --out runs/mine
  python -m analysis.wav2sem train --corpus /data/LibriSpeech/train-clean-100 --out runs/libri
  python -m analysis.wav2sem train --preset paper --corpus /data/LibriSpeech --out runs/paper
  accelerate launch --multi_gpu -m analysis.wav2sem train --architecture reference --corpus ... --out runs/many
  python -m analysis.wav2sem evaluate wav2sem --corpus /data/LibriSpeech/dev-clean --distractors sentences.txt
  python -m analysis.wav2sem convert model.pth.tar modules/released
  python -m analysis.wav2sem embed wav2sem --corpus demo --out vectors.parquet
  python -m analysis.wav2sem fusion wav2sem oracle:mean --corpus demo --out runs/fusion

exit codes: 0 done, 2 the request cannot be met
"""


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or not int(text[:9]) >= 1 or len(text) > 9:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


# Flags of `train` whose default is the preset's, with their types.
_RECIPE_FLAGS: dict[str, tuple[Any, str]] = {
    "architecture": (str, "shared (on a host encoder's hidden states) or reference (a wav2vec 2.0 model of its own)"),
    "host": (str, "encoder under a shared module"),
    "layers": (str, "its hidden states that are mixed, such as 2,4; by default the middle and the last"),
    "stride": (_positive, "host frames averaged into one"),
    "width": (_positive, "width of the shared head"),
    "depth": (int, "layers of the shared head"),
    "heads": (_positive, "attention heads of the shared head"),
    "size": (str, "of the reference: base, large, release-large (group norm, no bias) or a config.json"),
    "splits": (
        str,
        "official (train-* trains, dev-* validates, test-* is left alone; the default) or ignore (train on all parts)",
    ),
    "data": (str, "all (the default) or release (the last utterance of each LibriSpeech chapter, as the released loader has it)"),
    "initialize": (str, "scratch, or what to begin with: a wav2vec 2.0 folder or hub id, or a shared module's folder"),
    "freeze": (int, "layers of the reference that stay as they were, the convolutions too; -1 for none"),
    "text_model": (str, "minilm (packaged), a hub id or a folder"),
    "passes": (int, "times that every sentence is spoken, each in another voice"),
    "first_pass": (int, "number of the first pass: another draws other voices and joins"),
    "clips": (int, "clips per pass at most; 0 for all"),
    "target": (str, "pooling of the text model: cls or mean"),
    "loss": (str, "l1 (the paper's), l2, cosine or infonce"),
    "epochs": (int, "passes over the data"),
    "max_steps": (int, "stop after so many updates; 0 for no limit"),
    "learning_rate": (float, "highest learning rate"),
    "weight_decay": (float, "of AdamW"),
    "schedule": (str, "cosine, or step (halved every --step-epochs)"),
    "step_epochs": (int, "epochs between halvings"),
    "warmup": (int, "updates over which the learning rate rises"),
    "batch_seconds": (float, "audio per batch, padding included"),
    "batch_size": (int, "utterances per batch at most; 0 for no limit"),
    "accumulate": (int, "batches per update"),
    "clip": (float, "largest gradient norm; 0 for no limit"),
    "ema": (float, "decay of the running mean of the weights; 0 for none"),
    "precision": (str, "no, fp16 or bf16"),
    "spelling": (float, "weight of spelling the transcript along the way; 0 for none"),
    "validate_every": (int, "updates between validations; 0 for once per epoch"),
    "save_every": (int, "updates between checkpoints; 0 for once per epoch"),
    "workers": (int, "processes that read audio ahead"),
    "seed": (seed, "of everything random"),
}


def parser() -> argparse.ArgumentParser:
    """The parser of this command, from which its page in the documentation is made too."""
    parser = Parser(
        prog="python -m analysis.wav2sem",
        description="Semantic vectors of utterances: train, evaluate, convert and use Wav2Sem modules.",
        epilog=_EPILOGUE.strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="{train,evaluate,convert,embed,fusion}")

    train = commands.add_parser("train", help="train a module, or go on with a run that was stopped")
    train.add_argument("--preset", default="", help="bundled, bundled-second, paper or release: values for everything below")
    train.add_argument("--corpus", help="recordings with transcripts: a LibriSpeech tree, a folder, a manifest, demo")
    train.add_argument("--sentences", type=Path, help="text file, a sentence a line, which a synthesiser speaks")
    train.add_argument("--keep-apart", metavar="CORPUS", help="corpus or text file whose texts must not be trained on")
    train.add_argument("--frames", type=Path, help="folder for the host's hidden states; OUT/frames by default")
    train.add_argument(
        "--hold-out", type=float, default=0.05, help="share of speakers and texts held out where no dev part is (0.05)"
    )
    train.add_argument("--stop-at", type=int, help="stop before this update with a checkpoint; the same command goes on from it")
    train.add_argument("--tensorboard", action="store_true", help="log to OUT/tensorboard as well as to OUT/log.csv")
    train.add_argument("--out", type=Path, required=True, help="folder of the run and, when done, of the module")
    for name, (kind, told) in _RECIPE_FLAGS.items():
        train.add_argument("--" + name.replace("_", "-"), type=kind, help=told)

    evaluate = commands.add_parser("evaluate", help="distance to the text's vector, and retrieval of the text by the audio")
    evaluate.add_argument("module", help="wav2sem, oracle:mean, or a module's folder")
    where = evaluate.add_mutually_exclusive_group(required=True)
    where.add_argument("--corpus", help="recordings with transcripts")
    where.add_argument("--frames", type=Path, help="a cache of hidden states, such as RUN/frames/test-drawn")
    evaluate.add_argument("--speakers", help="only these speakers, separated by commas; * matches anything")
    evaluate.add_argument("--held-out", action="store_true", help="only what training held out, by speaker and by text")
    evaluate.add_argument("--distractors", type=Path, help="text file whose sentences are further candidates")
    evaluate.add_argument("--count", type=int, default=300, help="candidates from it: those that training holds out first (300)")
    evaluate.add_argument("--text-model", help="by default the one that the module was trained on")
    evaluate.add_argument("--out", type=Path, help="write the table as CSV too")

    convert = commands.add_parser("convert", help="the released model.pth.tar into a folder that from_pretrained reads")
    convert.add_argument("checkpoint", type=Path, help="model.pth.tar, or an animation checkpoint with the module inside")
    convert.add_argument("out", type=Path, help="folder of the converted module")
    convert.add_argument("--config", type=Path, help="config.json in transformers' names, for what shapes do not tell")
    convert.add_argument("--target", default="", help="its text space, such as bert-base-uncased:cls")

    embed = commands.add_parser("embed", help="one vector per utterance of a corpus, as Parquet")
    embed.add_argument("module", help="wav2sem, oracle:mean, oracle:cls, or a module's folder")
    embed.add_argument("--corpus", required=True, help="`demo`, a folder or a manifest")
    embed.add_argument("--out", type=Path, required=True, help="Parquet file")
    embed.add_argument("--strict", action="store_true", help="stop at the first utterance that cannot be used")

    fusion = commands.add_parser(
        "fusion", help="train the fusions that have weights on phone recognition, beside nulls of the same budget"
    )
    fusion.add_argument("module", nargs="+", help="wav2sem or a module's folder, and oracle:mean or oracle:cls")
    fusion.add_argument("--corpus", default="demo", help="recordings with transcripts (demo)")
    fusion.add_argument("--alignments", help="folder of TextGrids; without it the corpus is aligned with pocketsphinx")
    fusion.add_argument("--encoder", default="bundled", help="whose frames are fused (bundled)")
    fusion.add_argument("--layer", type=int, default=-1, help="its hidden state; -1 for the last (-1)")
    fusion.add_argument("--fusions", default="linear,paper,concat", help="any of linear, paper and concat (all three)")
    fusion.add_argument("--apart", default="text", choices=("text", "speaker"), help="what training and test never share (text)")
    fusion.add_argument("--draws", type=int, default=2, help="draws of each null in the table of phones, each trained (2)")
    fusion.add_argument("--weights", type=int, default=10, help="draws of each null whose weights are kept for the scores (10)")
    fusion.add_argument("--epochs", type=int, default=10, help="passes over the training utterances (10)")
    fusion.add_argument("--folds", type=int, default=4, help="parts that are recognised by models trained on the rest (4)")
    fusion.add_argument("--hidden", type=int, default=128, help="units of the classifier; 0 for a linear one (128)")
    fusion.add_argument("--seed", type=seed, default=0, help="of everything random (0)")
    fusion.add_argument("--out", type=Path, required=True, help="folder of the table and, by fusion and variant, of the weights")

    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return exit_code(lambda: _run(arguments), interrupted="stopped")


def _run(arguments: Sequence[str] | None) -> int:
    given = parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for loud in ("httpx", "transformers", "accelerate"):
        logging.getLogger(loud).setLevel(logging.WARNING)
    command = {"train": _train, "evaluate": _evaluate, "convert": _convert, "embed": _embed, "fusion": _fusion}[given.command]
    return command(given)


def _train(given: argparse.Namespace) -> int:
    from analysis.wav2sem.recipe import PRESETS, Recipe, run, with_settings

    if given.preset and given.preset not in PRESETS:
        raise ConfigurationError(f"There is no preset {given.preset!r}. Choose one of: {', '.join(PRESETS)}.")
    flags = {name: getattr(given, name) for name in _RECIPE_FLAGS if getattr(given, name) is not None}
    if "layers" in flags:
        flags["layers"] = _numbers(flags["layers"])
    recipe = with_settings(PRESETS[given.preset] if given.preset else Recipe(), flags)
    best = run(
        recipe,
        given.out,
        corpus=given.corpus,
        sentences=given.sentences,
        keep_apart=_texts_of(given.keep_apart) if given.keep_apart else (),
        frames=given.frames,
        share=given.hold_out,
        tensorboard=given.tensorboard,
        stop_at=given.stop_at,
    )
    _show([{"name": str(given.out)} | best])
    return 0


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigurationError(f"--layers takes whole numbers separated by commas, not {text!r}.") from error


def _texts_of(spec: str) -> list[str]:
    path = Path(spec)
    if path.suffix == ".txt" and path.is_file():
        return path.read_text(encoding="utf-8").splitlines()
    from analysis.corpus import open_corpus

    return [utterance.text for utterance in open_corpus(spec).utterances]


def _evaluate(given: argparse.Namespace) -> int:
    from analysis.wav2sem.evaluation import Baselines
    from analysis.wav2sem.load import BUNDLED, load_semantics
    from analysis.wav2sem.recipe import cached_vectors, evaluate, score_vectors, text_space
    from analysis.wav2sem.speech import read_sentences, split_sentences
    from analysis.wav2sem.text import TextModel

    module = load_semantics(given.module)
    folder = BUNDLED if given.module == "wav2sem" else Path(given.module)
    baselines = Baselines.load(folder)
    text_model = TextModel(given.text_model) if given.text_model else None
    distractors: Sequence[str] = ()
    if given.distractors:
        distractors = split_sentences(read_sentences(given.distractors), test=given.count, validation=0)["test"]
    rows: list[dict[str, Any]] = []
    if given.frames:
        text_model, pooling = text_space(module, text_model)
        vectors, texts, seconds = cached_vectors(module, given.frames)
        rows = score_vectors(
            vectors,
            texts,
            seconds,
            name=given.module,
            text_model=text_model,
            pooling=pooling,
            distractors=distractors,
            baselines=baselines,
        )
    else:
        for part, utterances in _parts(given).items():
            found = evaluate(module, utterances, distractors=distractors, text_model=text_model, baselines=baselines)
            rows += [row | {"name": f"{row['name']} ({part})" if part else row["name"]} for row in found]
    _show(rows)
    if given.out:
        import pandas as pd

        given.out.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(given.out, index=False)
    return 0


def _parts(given: argparse.Namespace) -> dict[str, list]:
    """The utterances to evaluate on, in one part, or apart by what of them is new to the module."""
    from fnmatch import fnmatchcase

    from analysis.corpus import open_corpus
    from analysis.wav2sem.splits import held_out

    corpus = open_corpus(given.corpus)
    for failure in corpus.failures:
        kind = "left out" if failure.severity == "error" else failure.severity
        print(f"{kind}: {failure.item}: {failure.reason}", file=sys.stderr)
    utterances = list(corpus.utterances)
    if given.speakers:
        patterns = given.speakers.split(",")
        utterances = [u for u in utterances if any(fnmatchcase(u.speaker, pattern) for pattern in patterns)]
    if not utterances:
        raise ConfigurationError(f"{given.corpus} has no utterance of the speakers {given.speakers}.")
    if not given.held_out:
        return {"": utterances}
    split = held_out(utterances)
    return {f"new {part}": split[part] for part in ("speaker", "text") if split[part]}


def _convert(given: argparse.Namespace) -> int:
    from analysis.wav2sem.conversion import convert

    told = convert(given.checkpoint, given.out, config=given.config, target=given.target)
    print(json.dumps(told))
    return 0


def _embed(given: argparse.Namespace) -> int:
    import pandas as pd

    from analysis.corpus import open_corpus
    from analysis.wav2sem.load import load_semantics
    from analysis.wav2sem.vectors import embed

    corpus = open_corpus(given.corpus)
    module = load_semantics(given.module)
    found, failures = embed(module, corpus.utterances, strict=given.strict, batch=16, progress=True)
    for failure in (*corpus.failures, *failures):
        kind = "left out" if failure.severity == "error" else failure.severity
        print(f"{kind}: {failure.item}: {failure.reason}", file=sys.stderr)
    table = pd.DataFrame({"utterance": found.utterances, "vector": list(found.vectors)})
    table.attrs = {"module": module.card.name, "revision": module.card.revision, "target": module.card.target}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(given.out, index=False)
    print(f"{len(table)} vectors of {module.card.dims} dims in {given.out}")
    return 0


def _fusion(given: argparse.Namespace) -> int:
    from analysis.alignment import align_cached, make_aligner
    from analysis.config import cache_folder
    from analysis.corpus import open_corpus
    from analysis.encoders import load_encoder
    from analysis.errors import Failure
    from analysis.separation.nulls import NullVectors
    from analysis.separation.texts import text_blocks
    from analysis.wav2sem.fusion import TRAINED_MODES, TrainedFusion
    from analysis.wav2sem.fusion_training import FusionSettings, compare, phone_frames, trained_weights
    from analysis.wav2sem.load import load_semantics
    from analysis.wav2sem.vectors import embed

    fusions = tuple(given.fusions.split(","))
    unknown = [name for name in fusions if name not in (*TRAINED_MODES, "concat")]
    if unknown or not 1 <= given.draws <= given.weights:
        raise ConfigurationError(
            f"--fusions takes linear, paper and concat, separated by commas, --draws at least 1 and --weights at least as many; got "
            f"{given.fusions!r}, {given.draws} and {given.weights}."
        )
    modules = {"oracle" if spec.startswith("oracle") else "wav2sem": load_semantics(spec) for spec in given.module}
    if len(modules) < len(given.module):
        raise ConfigurationError(f"Name one module and one oracle at most, not {', '.join(given.module)}.")
    settings = FusionSettings(epochs=given.epochs, folds=given.folds, hidden=given.hidden, seed=given.seed)
    corpus = open_corpus(given.corpus)
    failures = list(corpus.failures)
    found, utterances = {}, list(corpus.utterances)
    for variant, module in modules.items():
        found[variant], failed = embed(module, utterances, batch=16, progress=True)
        failures += failed
        utterances = [utterance for utterance in utterances if utterance.id in set(found[variant].utterances)]
    aligner = make_aligner("textgrid", folder=given.alignments) if given.alignments else make_aligner("pocketsphinx")
    outcomes = list(align_cached(aligner, utterances, cache_folder("alignments")))
    failures += [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    for failure in failures:
        kind = "left out" if failure.severity == "error" else failure.severity
        print(f"{kind}: {failure.item}: {failure.reason}", file=sys.stderr)
    alignments = {outcome.utterance_id: outcome for outcome in outcomes if not isinstance(outcome, Failure)}
    task = phone_frames(utterances, alignments, load_encoder(given.encoder), layer=given.layer, by=given.apart)
    speaker = {utterance.id: utterance.speaker for utterance in utterances}
    speakers = np.unique([speaker[name] for name in task.utterances], return_inverse=True)[1]
    text = {utterance.id: utterance.text for utterance in utterances}
    texts = text_blocks([text[name] for name in task.utterances])[0]
    vectors, nulls = {}, {}
    for variant, given_vectors in found.items():
        place = {name: row for row, name in enumerate(given_vectors.utterances)}
        rows = vectors[variant] = given_vectors.vectors[[place[name] for name in task.utterances]]
        rng = np.random.default_rng([given.seed, 23])
        drawn = NullVectors(rows, speakers, texts)
        nulls[variant] = {null: drawn.draws(null, given.weights, rng) for null in ("shuffled", "random")}
    some_nulls = {variant: {null: draws[: given.draws] for null, draws in of.items()} for variant, of in nulls.items()}
    table = compare(task, vectors, some_nulls, fusions=fusions, settings=settings)
    given.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(given.out / "phones.csv", index=False)
    told = f"phones of {corpus.name}, {len(task.utterances)} utterances, {settings.epochs} epochs"
    for fusion in (name for name in fusions if name in TRAINED_MODES):
        for variant, rows in vectors.items():
            stand_ins = {"module": rows} | {
                f"{null}-{k}": draw for null, draws in nulls[variant].items() for k, draw in enumerate(draws)
            }
            for stand_in, some in stand_ins.items():
                said = f"{told}, {modules[variant].card.name}, {stand_in}"
                weights = trained_weights(task, some, fusion, settings, trained_on=said)
                TrainedFusion(weights, task.utterances, some).save(given.out / fusion / variant / stand_in)
    _show([{name: row[name] for name in table.columns if not name.startswith("n_")} for row in table.to_dict("records")])
    counts = table.iloc[0]
    print(f"{counts['n_frames']} frames of {counts['n_utterances']} utterances in {counts['n_groups']} groups by {given.apart}")
    return 0


def _show(rows: Sequence[dict[str, Any]]) -> None:
    """A table on the terminal."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[_cell(row.get(column, "")) for column in columns] for row in rows]
    widths = [max(len(column), *(len(row[i]) for row in cells)) for i, column in enumerate(columns)]
    for line in [columns, *cells]:
        print(
            "  ".join(
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
        )


def _cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
