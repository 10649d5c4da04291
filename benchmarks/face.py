"""Time and memory of the face metrics on BIWI-sized sequences, against a NumPy transcription of the published recipe.

``python benchmarks/face.py``: 40 clips of 5 s, 23,370 vertices at 25 frames a second, regions of 4,996 and 7,784 vertices. Each
way runs in a process of its own, so peak memory is its own. The recipe keeps all frames of all clips before it computes, as the
field's scripts do, so it is given fewer clips where memory is short; its time is then scaled up and the line says so.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

N_VERTICES, FPS, N_LIPS, N_UPPER = 23370, 25, 4996, 7784
SUBJECTS = ("F2", "F3", "F4", "M3", "M4", "M5")


def clip_names(n_clips: int) -> list[str]:
    return [f"{SUBJECTS[number % 6]}_e{37 + number // 6:02d}" for number in range(n_clips)]


def write_data(folder: Path, n_clips: int, seconds: float) -> None:
    """Random faces that move, in BIWI's files."""
    rng = np.random.default_rng(0)
    n_frames = int(seconds * FPS)
    (folder / "truth").mkdir()
    (folder / "run").mkdir()
    templates = {subject: rng.normal(scale=0.3, size=(N_VERTICES, 3)) for subject in SUBJECTS}
    (folder / "templates.pkl").write_bytes(pickle.dumps(templates))
    for name, size in (("lve", N_LIPS), ("fdd", N_UPPER)):
        indices = np.sort(rng.choice(N_VERTICES, size=size, replace=False))
        (folder / f"{name}.txt").write_text(", ".join(map(str, indices)))
    noise = rng.normal(scale=0.01, size=(n_frames + n_clips, N_VERTICES * 3)).astype(np.float32)
    for number, clip in enumerate(clip_names(n_clips)):
        truth = noise[number : number + n_frames] + templates[clip[:2]].ravel().astype(np.float32)
        np.save(folder / "truth" / f"{clip}.npy", truth)
        np.save(folder / "run" / f"{clip}_condition_{clip[:2]}.npy", truth[:-1] + 0.5 * noise[: n_frames - 1])


def streaming(folder: Path, n_clips: int) -> dict[str, float]:
    """This toolkit."""
    from analysis.face import Run, Truth, evaluate, read_region

    truth = Truth.open(folder / "truth", folder / "templates.pkl", "biwi")
    run = Run("run", folder / "run")
    measured = evaluate(run, truth, read_region(folder / "lve.txt"), read_region(folder / "fdd.txt"), clips=clip_names(n_clips))
    return {name: measure.value for name, measure in measured.measures().items()}


def recipe(folder: Path, n_clips: int) -> dict[str, float]:
    """What the field's evaluation scripts compute, in the order and with the arrays in which they do."""
    mouth, upper = ([int(i) for i in (folder / f"{name}.txt").read_text().split(", ")] for name in ("lve", "fdd"))
    templates = pickle.loads((folder / "templates.pkl").read_bytes())
    all_true, all_predicted, signed = [], [], []
    for clip in clip_names(n_clips):
        subject = clip[:2]
        true = np.load(folder / "truth" / f"{clip}.npy").reshape(-1, N_VERTICES, 3)
        predicted = np.load(folder / "run" / f"{clip}_condition_{subject}.npy").reshape(-1, N_VERTICES, 3)
        predicted, true = predicted[: len(true)], true[: len(predicted)]
        spreads = []
        for vertices in (true, predicted):
            motion = vertices - templates[subject].reshape(1, N_VERTICES, 3)
            squares = np.array([np.square(motion[:, v, :]) for v in upper]).transpose(1, 0, 2).sum(axis=2)
            spreads.append(np.std(squares, axis=0).mean())
        signed.append(spreads[0] - spreads[1])
        all_true.extend(list(true))
        all_predicted.extend(list(predicted))
    true, predicted = np.array(all_true), np.array(all_predicted)
    mve = np.mean(np.linalg.norm(true - predicted, axis=2))
    worst = np.array([np.square(true[:, v, :] - predicted[:, v, :]) for v in mouth]).transpose(1, 0, 2).sum(axis=2).max(axis=1)
    return {
        "lve": float(worst.mean()),
        "mve": float(mve),
        "fdd": float(np.mean(signed)),
        "fdd_abs": float(np.mean(np.abs(signed))),
    }


def in_own_process(way: str, folder: Path, n_clips: int) -> dict:
    command = [sys.executable, __file__, "--way", way, "--folder", str(folder), "--clips", str(n_clips)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{way} ended with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def available_gb() -> float:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) / 1e6
    return 8.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--recipe-clips", type=int, help="give the recipe fewer clips (default: as many as memory holds)")
    parser.add_argument("--way", choices=("streaming", "recipe"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        started = time.perf_counter()
        values = {"streaming": streaming, "recipe": recipe}[options.way](options.folder, options.clips)
        seconds = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(json.dumps({"values": values, "seconds": seconds, "peak_gb": peak}))
        return
    gb_per_clip = options.seconds * FPS * N_VERTICES * 3 * 4 / 1e9 * 8  # both sequences, their copies, differences and squares
    clips = options.recipe_clips or max(1, min(options.clips, int(available_gb() * 0.7 / gb_per_clip)))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_data(folder, options.clips, options.seconds)
        ours = in_own_process("streaming", folder, options.clips)
        alike = ours if clips == options.clips else in_own_process("streaming", folder, clips)
        theirs = in_own_process("recipe", folder, clips)
    print(f"{options.clips} clips of {options.seconds:g} s, {N_VERTICES:,} vertices, {FPS} frames a second")
    print(f"this toolkit:      {ours['seconds']:6.1f} s, peak memory {ours['peak_gb']:.2f} GB")
    scaled = theirs["seconds"] * options.clips / clips
    note = "" if clips == options.clips else f" (scaled from {clips} clips, {theirs['seconds']:.1f} s)"
    print(f"published recipe:  {scaled:6.1f} s, peak memory {theirs['peak_gb']:.2f} GB{note}")
    print(f"ratio:             {scaled / ours['seconds']:.1f} times as fast")
    for name, value in theirs["values"].items():
        difference = abs(alike["values"][name] - value) / abs(value)
        print(f"{name}: {alike['values'][name]:.8e} here, {value:.8e} there, relative difference {difference:.1e}")
    if ours["seconds"] > 60 or ours["peak_gb"] > 2:
        raise SystemExit("slower than 60 s or more than 2 GB")


if __name__ == "__main__":
    main()
