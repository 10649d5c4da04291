"""What a semantic vector costs beside the encoder that runs anyway, as ratios measured in one run.

    python benchmarks/wav2sem.py                  # about a minute of one core
    python benchmarks/wav2sem.py --host DIR_OR_HUB_ID

Each clip is encoded alone (all hidden states), then with the shared module on those states, then with the reference module, an
encoder of its own (wav2vec2-base, as published). The three take turns on every clip; the least processor time of the rounds counts.
The shared module has the size of the bundled one whatever the host. Random weights where there are no others: they cost the same.
One thread, so that a busy machine disturbs the ratios least. `--keep-memory` lets glibc keep what is freed (as MALLOC_TRIM_THRESHOLD_ and
MALLOC_MMAP_THRESHOLD_ do): without it 20 s of audio cost 2,000 to 18,000 page faults, by what ran before, and most of them the encoder's.
"""

from __future__ import annotations

import argparse
import ctypes
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

SECONDS = (2.0, 5.0, 10.0, 20.0)


def keep_memory() -> None:
    """Let glibc keep what is freed, for every way alike."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        for option in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
            getattr(libc, "mallopt", lambda *_: 0)(option, 2**30)


def clips() -> list[np.ndarray]:
    """Noise of the lengths of sentences; what is said costs nothing."""
    rng = np.random.default_rng(0)
    return [(0.05 * rng.standard_normal(int(16000 * seconds))).astype(np.float32) for seconds in SECONDS]


def measure(host: str, told: str, rounds: int) -> str:
    """One row of the table."""
    import torch
    from transformers import Wav2Vec2Config

    from analysis.encoders import load_encoder
    from analysis.wav2sem import load_semantics
    from analysis.wav2sem.module import ReferenceModule, SharedModule
    from analysis.wav2sem.sources import ReferenceSemantics, SharedSemantics

    encoder = load_encoder(host, device="cpu")
    card = encoder.card
    shared = load_semantics("wav2sem", device="cpu")
    if shared.host != f"{card.name}@{card.revision}":
        middle, last = (card.layers - 1) // 2, card.layers - 1
        config = replace(
            shared.module.config, host=f"{card.name}@{card.revision}", host_dims=card.dims, layers=(middle, last), dims=card.dims
        )
        shared = SharedSemantics(SharedModule(config), name="shared", revision="random")
    reference = ReferenceSemantics(ReferenceModule(Wav2Vec2Config()), name="reference", revision="random")
    waves = clips()

    def alone(wave: np.ndarray) -> None:
        encoder.encode([wave])

    def with_shared(wave: np.ndarray) -> None:
        shared.from_states(encoder.encode([wave])[0], shared.host)

    def with_reference(wave: np.ndarray) -> None:
        encoder.encode([wave])
        reference.from_waveforms([wave])

    ways = {"alone": alone, "shared": with_shared, "reference": with_reference}
    best = {name: [float("inf")] * len(waves) for name in ways}
    with torch.inference_mode():
        for turn in range(rounds + 1):
            for number, wave in enumerate(waves):
                for name, run in ways.items():
                    if turn > 2 and name == "reference":  # far from any limit: a few rounds tell
                        continue
                    begin = time.process_time()
                    run(wave)
                    if turn:  # the first round warms up
                        best[name][number] = min(best[name][number], time.process_time() - begin)
    ratio = {name: sum(best[name]) / sum(best["alone"]) for name in ("shared", "reference")}
    by_clip = ", ".join(f"{one / other:.3f}" for one, other in zip(best["shared"], best["alone"], strict=True))
    size = sum(p.numel() for p in shared.module.parameters()) / 1e6
    return (
        f"| {told} | {sum(SECONDS) / sum(best['alone']):.0f} | {ratio['shared']:.3f} ({size:.1f} M weights) | {by_clip} "
        f"| {ratio['reference']:.2f} | {'yes' if ratio['shared'] <= 1.1 else 'no'} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", action="append", default=[], help="a further encoder: hub id or folder")
    parser.add_argument("--rounds", type=int, default=25, help="times that everything is done (25)")
    parser.add_argument("--keep-memory", action="store_true", help="let glibc keep freed memory")
    given = parser.parse_args()
    import torch
    import transformers

    if given.keep_memory:
        keep_memory()
    torch.set_num_threads(1)
    transformers.logging.disable_progress_bar()
    print(f"{len(SECONDS)} clips of {min(SECONDS):g} to {max(SECONDS):g} s, one at a time, one thread, torch {torch.__version__}")
    lengths = ", ".join(f"{seconds:g} s" for seconds in SECONDS)
    print(
        f"\n| host | alone, x realtime | with the shared module | by clip ({lengths}) | with the reference module | shared <= 1.1 |"
    )
    print("| --- | ---: | ---: | ---: | ---: | --- |")
    with tempfile.TemporaryDirectory() as scratch:
        torch.manual_seed(0)
        folder = Path(scratch) / "base"
        transformers.Wav2Vec2Model(transformers.Wav2Vec2Config()).save_pretrained(folder)
        transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
        print(measure("bundled", "bundled (Whisper tiny.en)", given.rounds), flush=True)
        print(measure(str(folder), "wav2vec2-base, random weights", min(given.rounds, 8)), flush=True)
        for host in given.host:
            print(measure(host, host, given.rounds), flush=True)


if __name__ == "__main__":
    main()
