"""What a semantic vector costs beside the encoder that runs anyway, as ratios measured in one run.

    python benchmarks/wav2sem.py                  # about a minute of one core
    python benchmarks/wav2sem.py --host DIR_OR_HUB_ID

Each clip is encoded alone (all hidden states), then with the shared module on those states, then with the reference module, an
encoder of its own (wav2vec2-base, as published). The three take turns; the best of the rounds counts. The shared module has the
size of the bundled one whatever the host. Random weights where there are no others: they cost the same. One thread, which waits
for no other, so that a busy machine disturbs the ratios least.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

SECONDS = (2.0, 5.0, 10.0)


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

    def alone() -> None:
        for wave in waves:
            encoder.encode([wave])

    def with_shared() -> None:
        for wave in waves:
            shared.from_states(encoder.encode([wave])[0], shared.host)

    def with_reference() -> None:
        for wave in waves:
            encoder.encode([wave])
            reference.from_waveforms([wave])

    ways = {"alone": alone, "shared": with_shared, "reference": with_reference}
    best = dict.fromkeys(ways, float("inf"))
    with torch.inference_mode():
        for turn in range(rounds + 1):
            for name, run in ways.items():
                if turn > 2 and name == "reference":  # far from any limit: a few rounds tell
                    continue
                begin = time.perf_counter()
                run()
                if turn:  # the first round warms up
                    best[name] = min(best[name], time.perf_counter() - begin)
    ratios = {name: best[name] / best["alone"] for name in ("shared", "reference")}
    size = sum(p.numel() for p in shared.module.parameters()) / 1e6
    return (
        f"| {told} | {sum(SECONDS) / best['alone']:.0f} | {ratios['shared']:.3f} ({size:.1f} M weights) "
        f"| {ratios['reference']:.2f} | {'yes' if ratios['shared'] <= 1.1 else 'NO'} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", action="append", default=[], help="a further encoder: hub id or folder")
    parser.add_argument("--rounds", type=int, default=10, help="times that everything is done (10)")
    given = parser.parse_args()
    import torch
    import transformers

    torch.set_num_threads(1)
    transformers.logging.disable_progress_bar()
    print(f"{len(SECONDS)} clips of {min(SECONDS):g} to {max(SECONDS):g} s, one at a time, one thread, torch {torch.__version__}")
    print("\n| host | alone, x realtime | with the shared module | with the reference module | shared adds at most 10 % |")
    print("| --- | ---: | ---: | ---: | --- |")
    with tempfile.TemporaryDirectory() as scratch:
        torch.manual_seed(0)
        folder = Path(scratch) / "base"
        transformers.Wav2Vec2Model(transformers.Wav2Vec2Config()).save_pretrained(folder)
        transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
        print(measure("bundled", "bundled (Whisper tiny.en)", given.rounds), flush=True)
        print(measure(str(folder), "wav2vec2-base, random weights", min(given.rounds, 5)), flush=True)
        for host in given.host:
            print(measure(host, host, given.rounds), flush=True)


if __name__ == "__main__":
    main()
