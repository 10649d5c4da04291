"""Speed, accuracy and memory of extraction, as ratios measured in one run.

    python benchmarks/extraction.py                 # all tables: about four minutes on two cores
    python benchmarks/extraction.py speed --model DIR_OR_HUB_ID
    python benchmarks/extraction.py speed --cores 1 # on a machine with other work: processor seconds compare fairly
    python benchmarks/extraction.py memory

``speed``: 60 s in 12 clips of 1 to 15 s, 300 tokens, every layer, mean pooling. Modes take turns, and the best of the rounds
counts. Random weights of the wav2vec2-base configuration unless ``--model`` names trained ones: errors of short number formats
must be read with trained weights.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

SECONDS = (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.5, 9.0, 15.0)
PER_CLIP = 25


def make_corpus(folder: Path, seconds: Sequence[float], tokens_per_second: float | None = None):
    """Recordings of modulated tones in noise, and tokens that share each out evenly."""
    import pandas as pd
    import soundfile

    from analysis.corpus.utterance import Utterance

    rng = np.random.default_rng(0)
    utterances, rows = [], []
    for number, length in enumerate(seconds):
        time_axis = np.arange(int(16000 * length)) / 16000
        wave = np.sin(2 * np.pi * 140 * time_axis * (1 + 0.05 * np.sin(time_axis))) * (1 + np.sin(12 * time_axis))
        wave = 0.05 * wave + 0.01 * rng.standard_normal(len(time_axis))
        path = folder / f"clip{number:04d}.wav"
        soundfile.write(path, wave.astype(np.float32), 16000)
        utterances.append(Utterance(path.stem, path, "tone", "s", len(time_axis) / 16000, 16000))
        count = PER_CLIP if tokens_per_second is None else max(1, int(length * tokens_per_second))
        edges = np.linspace(0, length, count + 1)
        for start, end in pairwise(edges):
            rows.append(
                {
                    "token": len(rows),
                    "utterance": path.stem,
                    "unit": "syllable",
                    "type": f"T{len(rows) % 20}",
                    "start": start,
                    "nucleus_start": start,
                    "coda_start": end,
                    "end": end,
                }
            )
    return utterances, pd.DataFrame(rows)


def pooled_by_hand(states, spans) -> np.ndarray:
    """Means over frames whose centres lie in each span: what a user's own loop would do. ``(tokens, layers, dims)``."""
    centers = (200 + 320 * np.arange(states[0].shape[1])) / 16000
    frames = np.stack([state[0].float().numpy() for state in states])
    rows = []
    for start, end in spans:
        inside = (centers >= start) & (centers < end)
        rows.append(frames[:, inside].mean(axis=1) if inside.any() else np.zeros((len(frames), frames.shape[2]), np.float32))
    return np.stack(rows)


def errors(found: np.ndarray, exact: np.ndarray) -> tuple[float, float, float]:
    """Mean and largest relative error of a vector, and mean error of a cosine distance of the last layer."""
    found, exact = found.astype(np.float64), exact.astype(np.float64)
    relative = np.linalg.norm(found - exact, axis=-1) / np.maximum(np.linalg.norm(exact, axis=-1), 1e-12)

    def cosine(vectors: np.ndarray) -> np.ndarray:
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return 1 - unit @ unit.T

    return relative.mean(), relative.max(), np.abs(cosine(found[:, -1]) - cosine(exact[:, -1])).mean()


def gigaflops_per_second_of_audio(config, seconds: float) -> float:
    """Multiplications and additions of one second of audio in a clip of ``seconds`` (1e9), convolutions and attention included."""
    total, channels, rate = 0.0, 1, 16000.0
    for width, kernel, stride in zip(config.conv_dim, config.conv_kernel, config.conv_stride, strict=True):
        rate /= stride
        total += 2 * rate * channels * kernel * width
        channels = width
    size = config.hidden_size
    total += 2 * rate * channels * size
    total += 2 * rate * size * size / config.num_conv_pos_embedding_groups * config.num_conv_pos_embeddings
    per_layer = 4 * size * size + 2 * size * config.intermediate_size + 2 * rate * seconds * size
    return (total + 2 * rate * config.num_hidden_layers * per_layer) / 1e9


def gemm_peak(kind: str, cores: int) -> float:
    """Best GFLOP per processor second of a product as large as a feed-forward layer over many frames, summed over the cores."""
    from concurrent.futures import ThreadPoolExecutor

    import torch

    from analysis.encoders.products import Int8Product, OneDnnProduct, has_onednn

    linear = torch.nn.Linear(768, 3072).requires_grad_(False)
    hidden = torch.randn(1500, 768)
    if kind == "bfloat16":
        linear, hidden = linear.bfloat16(), hidden.bfloat16()
    layers = [Int8Product(linear.weight, linear.bias)] if kind == "int8" else [linear]
    if kind != "int8" and has_onednn():
        layers.append(OneDnnProduct(linear.weight, linear.bias))

    def best(layer) -> float:
        shortest = float("inf")
        with torch.inference_mode():
            for _ in range(20):
                begin = time.thread_time()
                layer(hidden)
                shortest = min(shortest, time.thread_time() - begin)
        return 2 * 1500 * 768 * 3072 / shortest / 1e9

    with ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return max(sum(pool.map(best, [layer] * cores)) for layer in layers)


def speed(model_name: str | None, rounds: int, cores: int | None) -> None:
    """Extraction by this toolkit in each precision against the plain loop and padded batches."""
    import torch
    import transformers

    from analysis.embeddings import extract
    from analysis.encoders import load_encoder
    from analysis.encoders.precision import has_bfloat16
    from analysis.wav2sem.fusion import fuse

    cores = cores or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if model_name is None:
            torch.manual_seed(0)
            transformers.Wav2Vec2Model(transformers.Wav2Vec2Config()).save_pretrained(folder / "base")
            transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder / "base")
            model_name = str(folder / "base")
        utterances, tokens = make_corpus(folder, SECONDS)
        spans = [tokens.loc[tokens["utterance"] == one.id, ["start", "end"]].to_numpy() for one in utterances]
        model = transformers.AutoModel.from_pretrained(model_name).eval()
        extractor = transformers.AutoFeatureExtractor.from_pretrained(model_name)

        import soundfile

        def loop() -> np.ndarray:
            torch.set_num_threads(cores)
            found = []
            with torch.no_grad():
                for utterance, where in zip(utterances, spans, strict=True):
                    wave, _ = soundfile.read(utterance.audio, dtype="float32")
                    values = extractor(wave, sampling_rate=16000, return_tensors="pt")["input_values"]
                    found.append(pooled_by_hand(model(values, output_hidden_states=True).hidden_states, where))
            return np.concatenate(found)

        def padded() -> np.ndarray:
            torch.set_num_threads(cores)
            waves = [soundfile.read(utterance.audio, dtype="float32")[0] for utterance in utterances]
            with torch.no_grad():
                inputs = extractor(waves, sampling_rate=16000, return_tensors="pt", padding=True, return_attention_mask=True)
                states = model(**inputs, output_hidden_states=True).hidden_states
                return np.concatenate(
                    [pooled_by_hand([state[i : i + 1] for state in states], where) for i, where in enumerate(spans)]
                )

        modes: dict[str, Callable[[], np.ndarray]] = {
            "transformers, one clip at a time": loop,
            "padded batch of all clips": padded,
        }
        for dtype in ("float32", *(["bfloat16"] if has_bfloat16(torch.device("cpu")) else []), "int8"):
            encoder = load_encoder(model_name, device="cpu", dtype=dtype)

            def own(encoder=encoder) -> np.ndarray:
                return extract(encoder, utterances, tokens, workers=cores, progress=False).embeddings.vectors

            modes[f"this toolkit, {dtype}"] = own
        times: dict[str, list[float]] = {name: [] for name in modes}
        busy: dict[str, list[float]] = {name: [] for name in modes}
        peaks = dict.fromkeys([name.split()[-1] for name in modes if name.startswith("this toolkit")], 0.0)
        results: dict[str, np.ndarray] = {}
        for turn in range(rounds + 1):
            for name, run in modes.items():
                if name.startswith("padded") and turn:  # four times the work of the others
                    continue
                begin, worked = time.perf_counter(), time.process_time()
                results[name] = run()
                if turn or name.startswith("padded"):  # the first round warms caches and pages
                    times[name].append(time.perf_counter() - begin)
                    busy[name].append(time.process_time() - worked)
            peaks = {kind: max(peak, gemm_peak(kind, cores)) for kind, peak in peaks.items()}
        audio = sum(SECONDS)
        need = sum(gigaflops_per_second_of_audio(model.config, one) * one for one in SECONDS) / audio
        first, least = (min(kept["transformers, one clip at a time"]) for kept in (times, busy))
        exact = results["transformers, one clip at a time"]
        print(
            f"{model.config.model_type}, {model.config.num_hidden_layers + 1} layers, {cores} cores, torch {torch.__version__}, "
            f"{torch.backends.cpu.get_cpu_capability()}; {audio:g} s in {len(SECONDS)} clips, {len(tokens)} tokens"
        )
        print(f"{need:.2f} GFLOP per second of audio; peak of a matrix product, measured between the rounds, all cores: ", end="")
        print(", ".join(f"{kind} {peak:.0f} GFLOP/s = {peak / need:.1f} x realtime" for kind, peak in peaks.items()))
        if hasattr(os, "getloadavg"):
            load = os.getloadavg()[0]
            print(f"load of the machine in the last minute: {load:.1f} (this benchmark alone: about {cores})")
            if load > cores + 1:
                print(
                    "other work runs beside this: threads that wait for each other lose most, so the loop's clock is unfairly slow;"
                )
                print("quote processor seconds of --cores 1, where nothing waits")
        columns = ("x realtime", "x the loop", "x padded", "processor s", "x the loop, processor s")
        columns += ("vector error, mean / max", "cosine error", "share of limit")
        print(f"\n| extraction | {' | '.join(columns)} |")
        print(f"| --- |{' ---: |' * len(columns)}")
        for name in modes:
            best = min(times[name])
            mean, worst, cosine = errors(results[name], exact)
            kind = next((one for one in peaks if name.endswith(one)), "float32")
            share = need * audio / min(busy[name]) / (peaks[kind] / cores)  # of processor seconds: others' work does not count
            print(
                f"| {name} | {audio / best:.1f} | {first / best:.2f} | {min(times['padded batch of all clips']) / best:.2f} | "
                f"{min(busy[name]):.1f} | {least / min(busy[name]):.2f} | {mean:.1e} / {worst:.1e} | {cosine:.1e} | {100 * share:.0f} % |"
            )
        if "bfloat16" not in peaks:
            print("\nbfloat16 was left out: this processor has neither avx512_bf16 nor AMX and only emulates it.")

        encoder = load_encoder(model_name, device="cpu")
        extraction = extract(encoder, utterances, tokens, progress=False)
        once = min(busy["this toolkit, float32"])
        begin = time.process_time()
        rng = np.random.default_rng(0)
        embeddings = extraction.embeddings
        rows = embeddings.tokens["utterance"].map({name: i for i, name in enumerate(embeddings.frames.utterances)}).to_numpy()
        for layer in embeddings.layers:
            vectors = embeddings.layer(layer)
            norm = float(embeddings.frames.frame_norm[:, embeddings.layers.index(layer)].mean())
            for _ in range(21):  # with, and twenty nulls; without is the vectors themselves
                semantics = rng.standard_normal((len(utterances), vectors.shape[1])).astype(np.float32)
                vectors + fuse(np.zeros_like(semantics), semantics, frame_norm=norm)[rows]
        variants = time.process_time() - begin
        print(f"\nwithout, with and twenty nulls, all layers: {(once + variants) / once:.3f} x one extraction, processor seconds")


def memory(minutes: Sequence[int]) -> None:
    """Peak memory of the command line over corpora of growing length."""
    import pandas as pd

    from analysis.corpus import write_manifest

    print("\n| corpus | peak memory of `python -m analysis.embeddings` (bundled encoder) | tokens |")
    print("| --- | ---: | ---: |")
    for length in minutes:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            utterances, tokens = make_corpus(folder, [6.0] * (10 * length), tokens_per_second=4)
            write_manifest(utterances, folder / "manifest.csv")
            pd.DataFrame(tokens).to_csv(folder / "tokens.csv", index=False)
            command = [sys.executable, "-m", "analysis.embeddings", str(folder / "manifest.csv"), "--encoder", "bundled"]
            command += ["--tokens", str(folder / "tokens.csv"), "--out", str(folder / "store"), "--per-shard", "32"]
            print(f"| {length} min | {_peak(command):.0f} MiB | {len(tokens)} |")


# A new program's peak begins at that of the process which started it, so a small process must stand between it and this one.
_BETWEEN = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
process.returncode = os.waitstatus_to_exitcode(status)
print(usage.ru_maxrss)
sys.exit(process.returncode)
"""


def _peak(command: list[str]) -> float:
    """Peak resident memory of a command, MiB, whatever this process has used before."""
    found = subprocess.run([sys.executable, "-S", "-c", _BETWEEN, *command], stdout=subprocess.PIPE, text=True)
    if found.returncode:
        raise SystemExit(f"{' '.join(command)} ended with exit code {found.returncode}")
    return int(found.stdout) / 1024


def main() -> None:
    """Print the tables that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", nargs="?", default="all", choices=("all", "speed", "memory"))
    parser.add_argument("--model", help="hub id or folder of a wav2vec2-like model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, help="cores that every mode may use (default: all)")
    parser.add_argument("--minutes", type=int, nargs="+", default=[10, 60])
    options = parser.parse_args()
    if options.table in ("all", "speed"):
        speed(options.model, options.rounds, options.cores)
    if options.table in ("all", "memory"):
        memory(options.minutes)


if __name__ == "__main__":
    main()
