"""A report as a run would leave it, made from a random generator alone: no corpus, no encoder."""

from __future__ import annotations

from itertools import combinations, product
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.report.document import Report
from analysis.separation.types import SEPARATION_COLUMNS

TYPES = {
    "sheep": "SH IY P", "ship": "SH IH P", "cheap": "CH IY P", "chip": "CH IH P", "pat": "P AE T", "bat": "B AE T",
    "pet": "P EH T", "bet": "B EH T", "coat": "K OW T", "goat": "G OW T", "tick": "T IH K", "pick": "P IH K",
    "play": "P L EY", "blay": "B L EY", "fan": "F AE N", "van": "V AE N", "sip": "S IH P", "zip": "Z IH P",
    "thin": "TH IH N", "sin": "S IH N", "moon": "M UW N", "noon": "N UW N", "yacht": "Y AA T", "lounge": "L AW N JH",
}  # fmt: skip
NULLS = ("null:random", "null:shuffled")
HOSTILE = '</script><script>window.injected = true</script> the <b>ship</b> & the "sheep" \'twas'


def synthetic_report(
    folder: Path | None = None,
    *,
    encoders: tuple[str, ...] = ("bundled", "random:bundled", "mfcc"),
    layers: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6),
    n_tokens: int = 360,
    n_utterances: int = 24,
    n_speakers: int = 6,
    methods: tuple[str, ...] = ("umap", "pca"),
    seed: int = 0,
) -> Report:
    """The report; with ``folder``, one short tone per utterance is written there as WAV and named in the table."""
    rng = np.random.default_rng(seed)
    tokens = _tokens(rng, n_tokens, n_utterances, n_speakers)
    utterances = _utterances(tokens, n_utterances, folder)
    headline_layer = {encoder: layers[len(layers) // 2] for encoder in encoders}
    figures = {
        "headline": {"distance": "l2", "split": "different_utterance", "null": "null:shuffled", "layers": headline_layer},
        "projections": [
            {
                "encoder": encoder, "layer": headline_layer[encoder], "variant": variant, "method": method,
                "parameters": {"seed": 0, "n_neighbors": 15, "min_dist": 0.1, "neighbors": "exact", "library": "umap-learn 0.5"},
                "trustworthiness": 0.951, "continuity": 0.962, "quality": {"n_neighbors": 10, "n_points": n_tokens},
            }
            for encoder in encoders for variant in ("without", "wav2sem") for method in methods
        ],
        "nulls": [
            {
                "encoder": encoder, "layer": headline_layer[encoder], "distance": "l2", "relation": "near_homophone",
                "split": "different_utterance", "statistic": "gain", "null": null, "observed": 0.9 + 0.2 * i,
                "draws": rng.normal(0.8, 0.1, 99).tolist(), "p_value": 0.04 + 0.2 * i,
            }
            for i, encoder in enumerate(encoders) for null in ("null:random", "null:shuffled")
        ],
        "histograms": [
            _histogram(rng, encoder, headline_layer[encoder], variant, relation, split, mean)
            for encoder in encoders
            for variant in ("without", "wav2sem")
            for relation, mean in (("same_type", 14.0), ("near_homophone", 16.5), ("unrelated", 21.0))
            for split in ("same_utterance", "different_utterance")
        ],
    }  # fmt: skip
    return Report(
        title="Demo corpus: do near-homophones move apart?",
        corpus={
            "name": "demo", "synthetic": True, "hash": "ab12" * 16, "n_utterances": n_utterances, "n_speakers": n_speakers,
            "duration": float(utterances["duration"].sum()), "n_tokens": n_tokens, "n_types": len(TYPES),
        },
        provenance={
            "versions": {"analysis": "0.1.0", "torch": "2.13.0", "numpy": np.__version__},
            "encoders": {e: {"name": e, "revision": "f" * 12, "dims": 64, "layers": len(layers)} for e in encoders},
            "semantics": {"wav2sem": {"name": "wav2sem", "source": "audio", "dims": 64, "revision": "0" * 12}},
            "aligner": "synthesis 1", "configuration_hash": "cd34" * 8, "seed": 0,
            "command": "python -m analysis.decouple --corpus demo --encoders bundled random:bundled mfcc",
            "started": "2026-01-01T10:00:00+00:00", "finished": "2026-01-01T10:01:10+00:00",
        },
        configuration={"corpus": {"spec": "demo"}, "separation": {"distances": ["l2", "cosine"], "threshold": 0.4}},
        tables={
            "separation": _separation(rng, encoders, layers),
            "pairs": _pairs(rng, encoders, headline_layer),
            "tokens": tokens,
            "projection": _projection(rng, tokens, encoders, headline_layer, methods),
            "utterances": utterances,
            "quality": _quality(rng, utterances),
            "failures": pd.DataFrame(
                [
                    ("corpus", "spk0-utt099", "The file holds 0 samples.", "Copy it again.", "error"),
                    ("alignment", "spk1-utt003", "3 phones are shorter than 20 ms: <AH>", "Look at it in Praat.", "warning"),
                ],
                columns=["stage", "item", "reason", "remedy", "severity"],
            ),
        },
        verdicts=[
            {
                "rule": "net_decoupling", "encoder": encoder, "layer": headline_layer[encoder], "level": level,
                "text": f"{encoder}, layer {headline_layer[encoder]}: {sentence}",
            }
            for encoder, level, sentence in zip(
                encoders,
                ("unclear", "not_supported", "supported"),
                (
                    "near-homophones moved apart, but no further than with shuffled sentence vectors can be excluded.",
                    "the rise is what any added vector gives.",
                    "near-homophones moved further apart than with shuffled sentence vectors.",
                ),
                strict=False,
            )
        ],
        figures=figures,
    )  # fmt: skip


def _tokens(rng: np.random.Generator, n_tokens: int, n_utterances: int, n_speakers: int) -> pd.DataFrame:
    words = list(TYPES)
    counts: dict[int, int] = {}
    rows = []
    for token in range(n_tokens):
        utterance = token % n_utterances
        place = counts[utterance] = counts.get(utterance, -1) + 1
        word = words[int(rng.integers(len(words)))]
        onset, nucleus, *coda = TYPES[word].split()
        start = 0.05 + 0.12 * place
        rows.append(
            {
                "token": token, "utterance": f"spk{utterance % n_speakers}-utt{utterance:03d}",
                "speaker": f"spk{utterance % n_speakers}", "unit": "syllable", "type": TYPES[word], "phones": TYPES[word],
                "word": word, "word_index": place, "position": 0, "n_syllables": 1, "stress": 1, "onset": onset,
                "nucleus": nucleus, "coda": " ".join(coda), "start": start, "nucleus_start": start + 0.03,
                "coda_start": start + 0.08, "end": start + 0.11, "previous_phone": "", "next_phone": "",
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _utterances(tokens: pd.DataFrame, n_utterances: int, folder: Path | None) -> pd.DataFrame:
    rows = []
    for index, (name, group) in enumerate(tokens.groupby("utterance", sort=True)):
        duration = float(group["end"].max() + 0.1)
        text = HOSTILE if index == 0 else " ".join(group.sort_values("start")["word"])
        audio = "" if folder is None else str(folder / f"{name}.wav")
        rows.append({"utterance": name, "speaker": group["speaker"].iloc[0], "text": text, "audio": audio, "duration": duration})
        if folder is not None:
            import soundfile

            time = np.arange(int(duration * 16000)) / 16000
            soundfile.write(audio, 0.3 * np.sin(2 * np.pi * (150 + 10 * index) * time * (1 + 0.2 * time)), 16000)
    return pd.DataFrame(rows)


def _quality(rng: np.random.Generator, utterances: pd.DataFrame) -> pd.DataFrame:
    share = rng.uniform(0, 0.3, len(utterances))
    return pd.DataFrame(
        {
            "utterance": utterances["utterance"],
            "speech_rate": rng.normal(4.5, 0.6, len(utterances)),
            "short_phones": share,
            "confidence": rng.uniform(0.4, 1, len(utterances)),
            "marked": share > 0.2,
            "reasons": ["many short phones" if s > 0.2 else "" for s in share],
        }
    )


def _projection(rng, tokens, encoders, layers, methods) -> pd.DataFrame:
    centres = {t: rng.normal(0, 4, 2) for t in sorted(set(tokens["type"]))}
    base = np.array([centres[t] for t in tokens["type"]]) + rng.normal(0, 0.6, (len(tokens), 2))
    frames = []
    for encoder in encoders:
        for method in methods:
            for variant in ("without", "wav2sem"):
                xy = base * (1.0 if variant == "without" else 1.3) + rng.normal(0, 0.2, base.shape)
                frames.append(
                    pd.DataFrame(
                        {
                            "encoder": encoder, "layer": layers[encoder], "variant": variant, "method": method,
                            "token": tokens["token"], "x": xy[:, 0], "y": xy[:, 1],
                        }
                    )
                )  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def _histogram(rng, encoder, layer, variant, relation, split, mean) -> dict:
    shift = 2.0 if variant == "wav2sem" and split == "different_utterance" else 0.0
    counts, edges = np.histogram(rng.normal(mean + shift, 2.5, 600), bins=np.linspace(5, 32, 31))
    return {
        "encoder": encoder, "layer": layer, "variant": variant, "distance": "l2", "relation": relation, "split": split,
        "edges": edges.tolist(), "counts": counts.tolist(),
    }  # fmt: skip


def _pairs(rng, encoders, layers) -> pd.DataFrame:
    rows = []
    words = sorted(TYPES.values())
    for a, b in combinations(words, 2):
        pa, pb = a.split(), b.split()
        distance = sum(x != y for x, y in zip(pa, pb, strict=False)) / max(len(pa), len(pb)) + 0.1 * abs(len(pa) - len(pb))
        near = 0 < distance <= 0.4
        if not near and rng.random() > 0.15:
            continue
        for i, encoder in enumerate(encoders):
            without = 14 + 8 * distance + rng.normal(0, 0.7)
            gain = 1.2 + 0.3 * i + rng.normal(0, 0.5)
            rows.append(
                {
                    "encoder": encoder, "layer": layers[encoder], "distance": "l2", "split": "different_utterance",
                    "type_a": a, "type_b": b, "phones_a": a, "phones_b": b, "phone_distance": round(distance, 4),
                    "viseme_distance": round(max(0.0, distance - rng.choice([0, 1 / 3])), 4),
                    "relation": "near_homophone" if near else "unrelated",
                    "edit_class": str(rng.choice(["voicing", "place", "vowel"])) if near else "",
                    "without": without, "wav2sem": without + gain, "gain": gain, "ci_low": gain - 0.6, "ci_high": gain + 0.6,
                    "net": gain - 1.1, "n_token_pairs": int(rng.integers(4, 90)),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def _separation(rng, encoders, layers) -> pd.DataFrame:
    rows = []
    shared = {
        "pooling": "mean", "unit": "syllable", "vectors": "raw", "average": "macro", "null": "", "ci_level": 0.95,
        "method": "crossed_t", "p_value": np.nan, "p_adjusted": np.nan, "effect_size": np.nan, "n_tokens": 360,
        "n_token_pairs": 5400, "n_type_pairs": 31, "n_speakers": 6, "n_utterances": 24, "seed": 0, "note": "",
    }  # fmt: skip

    def row(key, variant, statistic, estimate, half_width=np.nan, **more):
        bounds = {"estimate": estimate, "ci_low": estimate - half_width, "ci_high": estimate + half_width}
        rows.append({**shared, **key, "variant": variant, "statistic": statistic, **bounds, **more})

    relations = {"same_type": 0.85, "near_homophone": 1.0, "unrelated": 1.25}
    splits = ("all", "same_utterance", "different_utterance")
    for (e, encoder), layer, (distance, unit) in product(enumerate(encoders), layers, (("l2", 16.0), ("cosine", 0.3))):
        place = {"encoder": encoder, "layer": layer, "distance": distance}
        width = 0.03 * unit
        for split, (relation, scale) in product(splits, relations.items()):
            key = {**place, "relation": relation, "split": split}
            base = unit * scale * (1 + 0.02 * layer + 0.1 * e) + rng.normal(0, 0.01 * unit)
            row(key, "without", "mean_distance", base, width)
            for module, share in (("wav2sem", 0.15 + 0.04 * e), ("oracle", 0.2 + 0.04 * e)):
                moved = 0.0 if split == "same_utterance" else unit
                gains = {module: moved * share} | {null: moved * (0.15 + rng.normal(0, 0.005)) for null in NULLS}
                for variant, gain in gains.items():
                    # A row of a null names the module that it stands in for; a net row names the null without its prefix.
                    stands_for = module if variant in NULLS else ""
                    row(key, variant, "mean_distance", base + gain, width, null=stands_for)
                    row(key, variant, "gain", gain, width / 2, null=stands_for)
                for null in NULLS:
                    net = gains[module] - gains[null]
                    p = 0.04 + 0.2 * e
                    tested = {"p_value": p, "p_adjusted": min(1, 3 * p), "effect_size": net / unit}
                    row(key, module, "net", net, width, null=null.removeprefix("null:"), **tested)
        key = {**place, "relation": "all", "split": "different_utterance"}
        for variant, extra in (("without", 0.0), ("wav2sem", 0.01), ("oracle", 0.005)):
            error = 0.12 + 0.02 * e - 0.005 * layer + extra
            row(key, variant, "abx_error", error, 0.02)
            row(key, variant, "between_within_ratio", 1.2 - error, method="none", note="no interval is known")
    return pd.DataFrame(rows).reindex(columns=list(SEPARATION_COLUMNS)).astype(SEPARATION_COLUMNS)
