"""Time, memory and exactness of near-homophone mining over the whole of CMUdict, beside comparing every form with every other.

``python benchmarks/phonology.py``: mines 114,907 distinct forms at a distance of at most 0.4, in a process of its own; times a
sample of the blocks of rapidfuzz's all-pairs comparison and scales it to all pairs; and compares 200 pairs, 100 of those found
and 100 drawn from all pairs, with the slow definition in tests/reference.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))
THRESHOLD = 0.4


def dictionary():
    from analysis.phonology import load_lexicon
    from analysis.phonology.dictionary import Dictionary

    return Dictionary(load_lexicon("cmudict"))


def mine() -> dict:
    """Counts over the whole dictionary, as ``python -m analysis.phonology pairs`` prints them, with time and memory."""
    from analysis.phonology.dictionary import count_relations

    wall, cpu = time.perf_counter(), time.process_time()
    counts = count_relations(dictionary(), threshold=THRESHOLD)
    return {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "relations": counts.relations,
    }


def every_pair(seconds: float = 10.0) -> tuple[float, float]:
    """Processor time that rapidfuzz's cdist takes for all pairs, scaled up from blocks, and the share of pairs compared."""
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.process import cdist

    forms = dictionary().forms
    strings = forms.strings[np.random.default_rng(0).permutation(len(forms))].tolist()
    start, compared = time.process_time(), 0
    for first in range(0, len(strings), 64):
        cdist(strings[first : first + 64], strings[first + 64 :], scorer=Levenshtein.distance, dtype=np.uint8, workers=1)
        compared += 64 * (len(strings) - first - 64)
        if time.process_time() - start > seconds:
            break
    n_pairs = len(strings) * (len(strings) - 1) // 2
    return (time.process_time() - start) * n_pairs / compared, compared / n_pairs


def sample(n_pairs: int = 200) -> int:
    """How many of the sampled pairs mining and the slow definition agree on."""
    from analysis.phonology import iter_near_pairs
    from tests.reference.phonology import relation

    forms, rng = dictionary().forms, np.random.default_rng(0)
    i, j = np.sort(rng.integers(0, len(forms), size=(2, n_pairs // 2)), axis=0)
    drawn = {(a, b): False for a, b in zip(i.tolist(), j.tolist(), strict=True) if a != b}
    codes = np.array([a * len(forms) + b for a, b in drawn])
    found: list[tuple[int, int]] = []
    for a, b, _ in iter_near_pairs(forms, THRESHOLD):
        low, high = np.minimum(a, b), np.maximum(a, b)
        chosen = rng.integers(0, len(a))
        found.append((int(low[chosen]), int(high[chosen])))
        for code in np.intersect1d(low * len(forms) + high, codes).tolist():
            drawn[divmod(code, len(forms))] = True
    verdicts = drawn | {found[k]: True for k in rng.choice(len(found), size=n_pairs - len(drawn), replace=False).tolist()}
    return sum(
        (relation(forms.symbols[a], forms.symbols[b], THRESHOLD) == "near_homophone") == near for (a, b), near in verdicts.items()
    )


def main() -> None:
    """Print the figures."""
    if sys.argv[1:] == ["--mine"]:
        print(json.dumps(mine()))
        return
    done = subprocess.run([sys.executable, __file__, "--mine"], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    print(f"CMUdict, pairs at a distance of at most {THRESHOLD}: {found['relations']}")
    print(f"mining            {found['cpu']:8.1f} s of one core, {found['wall']:.1f} s on the clock, {found['memory']:.0f} MiB")
    seconds, share = every_pair()
    print(f"rapidfuzz cdist   {seconds:8.1f} s of one core for every pair (scaled up from {share:.1%} of them)")
    print(f"ratio             {seconds / found['cpu']:8.1f}")
    print(f"agreement with the slow definition: {sample()} of 200 sampled pairs")


if __name__ == "__main__":
    main()
