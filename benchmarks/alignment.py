"""Boundary errors of the embedded aligner on every recording beside the checkout that has a reference, with and without the
change-point rule of analysis/alignment/boundaries.py.

    python benchmarks/alignment.py [--data ../shared/data]

The references are of different kinds: a hidden Markov model on 10 ms frames (autovot_1054), one on 5 ms frames (cmu_arctic), people
(praatio_examples), a neural network (ljspeech_bfa). Only the third is what one would call truth, and it has two recordings.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from analysis.alignment import Alignment, boundaries, boundary_errors, make_aligner, read_textgrid
from analysis.alignment.agreement import agreement_table
from analysis.corpus.audio import read_header
from analysis.corpus.labels import read_labels
from analysis.corpus.utterance import Utterance

SETS = ("autovot_1054", "cmu_arctic", "praatio_examples", "ljspeech_bfa")


def references(data: Path, name: str) -> list[tuple[Utterance, Alignment]]:
    """Recordings of one set with their reference."""
    found = []
    with (data / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if row["path"].startswith(name) and row["has_alignment"] == "yes":
                path, labels = data / row["path"], data / row["alignment_path"]
                header = read_header(path)
                utterance = Utterance(path.stem, path, row["transcript"], row["speaker"], header.duration, header.sampling_rate)
                if labels.suffix == ".lab":
                    reference = Alignment(utterance.id, (), tuple(read_labels(labels)), utterance.duration, "reference")
                else:
                    reference = read_textgrid(labels, utterance_id=utterance.id, duration=utterance.duration)
                found.append((utterance, reference))
    return found


def main() -> None:
    """Print one line for each set and rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[1].parent / "shared" / "data")
    options = parser.parse_args()
    aligner = make_aligner("pocketsphinx")
    reach = boundaries._REACH
    print(f"{'set':18} {'change point':>12} {'boundaries':>10} {'within 10':>9} {'within 20':>9} {'within 50':>9} {'mean':>7}")
    for name in SETS:
        pairs = references(options.data, name)
        for on in (False, True):
            boundaries._REACH = reach if on else 0
            found = list(aligner.align([utterance for utterance, _ in pairs]))
            errors = boundary_errors(zip((reference for _, reference in pairs), found, strict=True))
            row = agreement_table(errors).set_index(["tier", "group"]).loc[("phones", "all")]
            shares = "".join(f" {row[f'within_{t}']:7.1f} %" for t in (10, 20, 50))
            print(f"{name:18} {'yes' if on else 'no':>12} {row['n'] - row['unmatched']:>10.0f}{shares} {row['mean_ms']:4.1f} ms")


if __name__ == "__main__":
    main()
