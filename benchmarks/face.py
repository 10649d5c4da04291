"""Time and memory of the face metrics on BIWI-sized sequences, against a NumPy transcription of the published recipe.

``python benchmarks/face.py``: 40 clips of 5 s, 23,370 vertices at 25 frames a second, regions of 4,996 and 7,784 vertices. Each
way runs in a process of its own, so peak memory is its own. The recipe keeps all frames of all clips before it computes, as the
field's scripts do, so it is given fewer clips where memory is short; its time is then scaled up and the line says so.

``python benchmarks/face.py --coverage``: how often nominal 95 % intervals hold a planted truth, in made-up clips, lip shapes and
studies (500 a line); lines under 0.92 or over 0.98 are marked.
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


def clip_line(rng: np.random.Generator, n_subjects: int, each: int, alike: float, skewed: bool, unequal: bool) -> bool:
    """Whether the interval of a difference holds it; ``alike``: share of the variance that a subject's clips have in common."""
    from analysis.face.intervals import clustered_difference

    counts = np.full(n_subjects, each)
    if unequal:  # as one over the rank
        share = 1 / np.arange(1, n_subjects + 1)
        counts = np.maximum(1, (each * n_subjects * share / share.sum()).astype(int))
    units = np.repeat(np.arange(n_subjects), counts)

    def draw(n: int) -> np.ndarray:
        return (rng.gamma(2, size=n) - 2) / np.sqrt(2) if skewed else rng.normal(size=n)

    gain = -0.3 + np.sqrt(alike) * draw(n_subjects)[units] + np.sqrt(1 - alike) * draw(len(units))
    without, frames = rng.gamma(2, size=len(units)), rng.integers(50, 150, size=len(units)).astype(float)
    found = clustered_difference(without, without + gain, frames, frames, units)
    return found.low <= -0.3 <= found.high


def contrast_line(rng: np.random.Generator, n_speakers: int, family: int, by_speaker: float, by_family: float) -> bool:
    """Whether the interval of contrast kept holds one half; forty types in families of ``family``, sixteen tokens each."""
    from itertools import combinations

    from analysis.face.homophones import contrasts_without
    from analysis.face.intervals import crossed_ratio

    n_types, tokens = 40, 16
    types = np.repeat(np.arange(n_types), tokens)
    speaker = rng.integers(n_speakers, size=len(types))
    truths = rng.normal(size=(n_types, 3))[types] + 0.5 * rng.normal(size=(len(types), 3))
    slope = 0.5 + by_speaker * rng.normal(size=n_speakers)[speaker] + by_family * rng.normal(size=n_types)[types // family]
    shapes = slope[:, None] * truths + 0.3 * rng.normal(size=truths.shape)
    names = [f"T{number:02d}" for number in range(n_types)]
    members = {name: np.flatnonzero(types == number) for number, name in enumerate(names)}
    pairs = [pair for first in range(0, n_types, family) for pair in combinations(names[first : first + family], 2)]
    kept, power = (contrasts_without(side, truths, members, pairs, speaker, np.arange(n_speakers)) for side in (shapes, truths))
    found = crossed_ratio(kept[0], power[0], kept[1], power[1], pairs)
    return found.low <= 0.5 <= found.high


def study_line(rng: np.random.Generator, n_raters: int, n_items: int, test: str) -> bool:
    """Whether one half is not rejected where raters and items differ and no method is preferred."""
    from analysis.face.study import analyse
    from analysis.face.study.ranking import Answer

    logits = 0.8 * rng.normal(size=n_raters)[:, None] + 0.8 * rng.normal(size=n_items)
    liked = rng.random(logits.shape) < 1 / (1 + np.exp(-logits))
    answers = [
        Answer(f"r{rater}", f"i{item}", *(("A", "B") if liked[rater, item] else ("B", "A")), "left", 0)
        for rater, item in np.ndindex(liked.shape)
    ]
    return getattr(analyse(answers, reference="A", n_resamples=500).preferences[0], test) >= 0.05


def coverage(n: int) -> None:
    """Every line, and which are outside 0.92 to 0.98."""
    lines: list[tuple[str, object]] = []
    for clips in (4, 8, 16, 40):
        for skewed in (False, True):
            kind = "skewed" if skewed else "normal"
            lines.append((f"clips: {clips} independent, {kind}", lambda r, c=clips, k=skewed: clip_line(r, c, 1, 0, k, False)))
    for subjects in (2, 4, 8, 12):
        for alike, skewed, unequal in ((0, 0, 0), (0.5, 0, 0), (0.9, 0, 0), (0.5, 1, 0), (0.5, 0, 1)):
            kind = ("skewed" if skewed else "normal") + (", unequal" if unequal else "")
            lines.append(
                (
                    f"subjects: {subjects} x 10 clips, {alike} alike, {kind}",
                    lambda r, s=subjects, a=alike, k=skewed, u=unequal: clip_line(r, s, 10, a, bool(k), bool(u)),
                )
            )
    for speakers in (2, 3, 4, 8, 16):
        for family in (2, 4):
            for by_speaker, by_family in ((0, 0), (0.2, 0), (0, 0.2), (0.2, 0.2)):
                lines.append(
                    (
                        f"contrast kept: {speakers} speakers, families of {family}, slopes vary by speaker {by_speaker} and by "
                        f"family {by_family}",
                        lambda r, s=speakers, f=family, a=by_speaker, b=by_family: contrast_line(r, s, f, a, b),
                    )
                )
    for raters, items in ((30, 10), (15, 15), (8, 8), (30, 30)):
        for test in ("p_crossed", "p_raters_items_fixed"):
            lines.append(
                (f"study: {raters} raters x {items} items, {test}", lambda r, a=raters, i=items, t=test: study_line(r, a, i, t))
            )
    for number, (name, line) in enumerate(lines):
        rng = np.random.default_rng(number)
        held = np.mean([line(rng) for _ in range(n)])
        print(f"{held:.3f}  {name}{'' if 0.92 <= held <= 0.98 else '   <- outside 0.92 to 0.98'}", flush=True)


def drawing(side: int, size: int = 400, n_frames: int = 10) -> float:
    """Frames a second of a shaded mesh of ``side`` x ``side`` vertices."""
    from analysis.face.render import Panel, frame_pictures

    x, y = (axis.ravel() for axis in np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side)))
    corners = np.arange(side * side).reshape(side, side)
    a, b, c, d = (part.ravel() for part in (corners[:-1, :-1], corners[:-1, 1:], corners[1:, :-1], corners[1:, 1:]))
    faces = np.concatenate([np.stack([a, b, d], axis=1), np.stack([a, d, c], axis=1)])
    sequence = np.stack([np.stack([x, y, np.cos(x + y + t / 5)], axis=1) for t in range(n_frames)])
    started = time.perf_counter()
    for _ in frame_pictures([Panel(sequence)], faces=faces, size=size):
        pass
    return n_frames / (time.perf_counter() - started)


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
    parser.add_argument("--coverage", nargs="?", type=int, const=500, metavar="N", help="intervals and tests instead (N: 500)")
    parser.add_argument("--way", choices=("streaming", "recipe"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.coverage:
        coverage(options.coverage)
        return
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
    for side in (71, 153):
        print(f"drawing {side * side:,} vertices at 400 x 400 pixels: {drawing(side):.1f} frames a second")
    for name, value in theirs["values"].items():
        difference = abs(alike["values"][name] - value) / abs(value)
        print(f"{name}: {alike['values'][name]:.8e} here, {value:.8e} there, relative difference {difference:.1e}")
    if ours["seconds"] > 60 or ours["peak_gb"] > 2:
        raise SystemExit("slower than 60 s or more than 2 GB")


if __name__ == "__main__":
    main()
