"""Near-homophone lip error and lip-shape contrast, by hand and at both ends of the scale."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from analysis.errors import ConfigurationError, FaceError
from analysis.face.datasets import Truth
from analysis.face.evaluation import Run, evaluate
from analysis.face.homophones import (
    Spoken,
    contrasts_without,
    homophone_difference,
    homophone_measures,
    lip_shapes,
    near_homophone_error,
    pairs_of,
    read_spoken,
    spoken_from_alignments,
)
from analysis.face.intervals import crossed_ratio
from analysis.face.regions import Region
from analysis.face.synthetic import builtin_alignments
from tests.face.conftest import LIPS, UPPER, make_small_set

PAIRS = [("SH IH P", "SH IY P")]


def _measured(small_set, run: str = "FaceFormer", preset: str = "facediffuser"):
    truth = Truth.open(small_set.folder / "vertices_npy", small_set.folder / "templates.pkl", "biwi")
    regions = Region("lve.txt", np.array(LIPS)), Region("fdd.txt", np.array(UPPER))
    return evaluate(Run(run, small_set.folder / run), truth, *regions, preset=preset)


def _spoken() -> list[Spoken]:
    """At 25 frames a second, frames 1-2 of each clip are sheep or ship, frame 3 another word."""
    kinds = itertools.cycle(("SH IY P", "SH IH P"))
    spoken = [Spoken(clip, next(kinds), 0.04, 0.12) for clip in ("F2_e37", "F2_e38", "M3_e37", "M3_e38")]
    return [*spoken, Spoken("F2_e37", "DH AH", 0.12, 0.16)]


@pytest.mark.parametrize("preset", ["facediffuser", "unitalker", "meshtalk"])
def test_lip_error_is_that_of_the_syllables_frames(small_set, preset: str) -> None:
    run = _measured(small_set, preset=preset)
    found = near_homophone_error(run, _spoken(), PAIRS)
    inside = [row.lip_errors[1:3] for row in run.rows]
    outside = [np.delete(row.lip_errors, [1, 2]) for row in run.rows]
    if preset == "meshtalk":
        inside, outside = ([np.sqrt(part) for part in parts] for parts in (inside, outside))
    if preset == "unitalker":
        expected = [np.mean([part.mean() for part in parts]) for parts in (inside, outside)]
    else:
        expected = [np.concatenate(parts).mean() for parts in (inside, outside)]
    assert [found["lve"], found["lve_elsewhere"]] == pytest.approx(expected)
    assert (found["n_frames"], found["n_frames_elsewhere"]) == (8, sum(row.n_frames for row in run.rows) - 8)


def test_a_frame_belongs_to_the_syllable_that_holds_its_centre() -> None:
    vertices = np.arange(5.0)[:, None, None] * np.ones((5, 2, 3))
    template, lips = np.zeros((2, 3)), np.array([1])
    spoken = [
        Spoken("c", "a", 0.0, 0.06),
        Spoken("c", "b", 0.06, 0.14),
        Spoken("c", "c", 0.141, 0.143),
        Spoken("c", "d", 0.9, 1.0),
    ]
    shapes = lip_shapes(vertices, template, lips, spoken, fps=25)  # centres at 0.02, 0.06, 0.10, 0.14, 0.18
    assert shapes[:2].tolist() == [[0, 0, 0], [1.5, 1.5, 1.5]]
    assert np.isnan(shapes[2:]).all()


def test_contrast_and_separation_equal_loops_over_token_pairs(small_set) -> None:
    run = _measured(small_set)
    spoken = [one for one in _spoken() if one.type != "DH AH"]
    found = homophone_measures(run, spoken, PAIRS)
    shapes = {"p": [], "g": []}
    for one in spoken:
        neutral = small_set.templates[one.clip[:2]][LIPS]
        for key, vertices in (("p", small_set.predictions["FaceFormer"]), ("g", small_set.truths)):
            shapes[key].append((vertices[one.clip][1:3][:, LIPS].astype(float).mean(axis=0) - neutral).ravel() / 2)
    a, b = (0, 2), (1, 3)
    products = [(shapes["p"][i] - shapes["p"][j]) @ (shapes["g"][i] - shapes["g"][j]) for i in a for j in b]
    powers = [np.sum((shapes["g"][i] - shapes["g"][j]) ** 2) for i in a for j in b]
    assert found["contrast_kept"] == pytest.approx(np.sum(products) / np.sum(powers), rel=1e-5)
    for key, side in (("p", "prediction"), ("g", "truth")):
        between = [np.linalg.norm(shapes[key][i] - shapes[key][j]) for i in a for j in b]
        within = [np.linalg.norm(shapes[key][i] - shapes[key][j]) for i, j in (a, b)]
        assert found[f"separation_{side}"] == pytest.approx(np.mean(between), rel=1e-5)
        assert found[f"within_{side}"] == pytest.approx(np.mean(within), rel=1e-5)
        assert found[f"between_within_{side}"] == pytest.approx(np.mean(between) / np.mean(within), rel=1e-5)


def _rewritten(tmp_path: Path, change) -> dict:
    """Measures of a run whose predictions are ``change(truth, template)``."""
    small_set = make_small_set(tmp_path / "biwi", lengths=(40, 40, 40, 40))
    rng = np.random.default_rng(5)
    spoken = []
    for clip, truth in small_set.truths.items():
        np.save(small_set.prediction_file(clip), change(truth, small_set.templates[clip[:2]], rng).astype(np.float32))
        for number in range(16):
            spoken.append(Spoken(clip, PAIRS[0][number % 2], number * 0.08, number * 0.08 + 0.08))
    return homophone_measures(_measured(small_set), spoken, PAIRS)


def test_ends_of_the_scale(tmp_path: Path) -> None:
    perfect = _rewritten(tmp_path / "a", lambda truth, template, rng: truth)
    assert perfect["contrast_kept"] == pytest.approx(1)
    assert perfect["lve"] == perfect["lve_elsewhere"] == 0
    assert perfect["separation_prediction"] == perfect["separation_truth"]
    still = _rewritten(tmp_path / "b", lambda truth, template, rng: np.broadcast_to(template, truth.shape))
    assert still["contrast_kept"] == pytest.approx(0, abs=1e-5)
    half = _rewritten(tmp_path / "c", lambda truth, template, rng: (truth + template) / 2)
    assert half["contrast_kept"] == pytest.approx(0.5, abs=1e-5)
    mirrored = _rewritten(tmp_path / "d", lambda truth, template, rng: 2 * template - truth)
    assert mirrored["contrast_kept"] == pytest.approx(-1, abs=1e-5)


def test_noise_raises_separation_but_not_contrast(tmp_path: Path) -> None:
    """An offset per clip that means nothing, as an additive utterance vector makes."""
    clean = _rewritten(tmp_path / "a", lambda truth, template, rng: (truth + template) / 2)
    noisy = [_rewritten(tmp_path / name, shift) for name, shift in (("b", _shifted(0.2)), ("c", _shifted(-0.2)))]
    assert min(found["separation_prediction"] for found in noisy) > 1.5 * clean["separation_prediction"]
    # contrast is linear in the prediction: a chance offset and its opposite, equally likely, shift it equally far either way
    assert np.mean([found["contrast_kept"] for found in noisy]) == pytest.approx(clean["contrast_kept"], abs=1e-5)


def _shifted(scale: float):
    return lambda truth, template, rng: (truth + template) / 2 + scale * rng.normal(size=(1, *template.shape))


def test_difference_of_two_runs(small_set) -> None:
    spoken = _spoken()
    without, with_module = (
        homophone_measures(_measured(small_set, run), spoken, PAIRS) for run in ("FaceFormer", "FaceFormer+Wav2Sem")
    )
    found = homophone_difference(without, with_module)
    assert found["contrast_kept"] == pytest.approx(with_module["contrast_kept"] - without["contrast_kept"])
    assert found["lve"] == with_module["lve"] - without["lve"]
    assert (found["n_pairs"], found["n_speakers"]) == (1, 2)
    assert np.isnan([found["ci_low"], found["ci_high"], found["p"]]).all()  # one pair says nothing of other pairs


def _planted(rng, n_speakers: int, n_pairs: int = 20, tokens: int = 16):
    """Lip shapes of tokens that keep half of the true contrast, give or take a fifth by speaker and by pair."""
    types = np.repeat(np.arange(2 * n_pairs), tokens)
    speaker = rng.integers(n_speakers, size=len(types))
    truths = rng.normal(size=(2 * n_pairs, 3))[types] + 0.5 * rng.normal(size=(len(types), 3))
    slope = 0.5 + 0.2 * rng.normal(size=n_speakers)[speaker] + 0.2 * rng.normal(size=n_pairs)[types // 2]
    shapes = slope[:, None] * truths + 0.3 * rng.normal(size=truths.shape)
    names = [f"T{number:02d}" for number in range(2 * n_pairs)]
    members = {name: np.flatnonzero(types == number) for number, name in enumerate(names)}
    pairs = list(zip(names[::2], names[1::2], strict=True))
    return shapes, truths, members, pairs, speaker


def testcontrasts_without_a_speaker_are_those_of_the_other_speakers() -> None:
    shapes, truths, members, pairs, speaker = _planted(np.random.default_rng(0), 3, n_pairs=2, tokens=4)
    whole, without = contrasts_without(shapes, truths, members, pairs, speaker, np.arange(3))
    for number, (a, b) in enumerate(pairs):
        for left_out in (None, 0, 1, 2):
            rows = [[i for i in members[name] if speaker[i] != left_out] for name in (a, b)]
            products = [(shapes[i] - shapes[j]) @ (truths[i] - truths[j]) for i in rows[0] for j in rows[1]]
            found = whole[number] if left_out is None else without[number, left_out]
            assert found == pytest.approx(np.mean(products)) if products else np.isnan(found)


@pytest.mark.parametrize("n_speakers", [3, 8])
def test_the_interval_of_contrast_kept_knows_speakers_and_pairs(n_speakers: int) -> None:
    held, pairs_only, n = 0, 0, 150
    rng = np.random.default_rng(1)
    for _ in range(n):
        shapes, truths, members, pairs, speaker = _planted(rng, n_speakers)
        contrast = contrasts_without(shapes, truths, members, pairs, speaker, np.arange(n_speakers))
        power = contrasts_without(truths, truths, members, pairs, speaker, np.arange(n_speakers))
        found = crossed_ratio(contrast[0], power[0], contrast[1], power[1], pairs)
        held += found.low <= 0.5 <= found.high
        residual = contrast[0] - found.estimate * power[0]
        error = 2.09 * np.sqrt(np.square(residual).sum() * 20 / 19) / power[0].sum()
        pairs_only += abs(found.estimate - 0.5) <= error
    assert held / n > 0.9
    assert pairs_only / n < held / n - 0.1  # what resampling pairs alone would hold


def test_fewer_than_two_of_either_have_no_interval() -> None:
    rng = np.random.default_rng(2)
    for n_speakers, n_pairs in ((1, 5), (4, 1)):
        shapes, truths, members, pairs, speaker = _planted(rng, n_speakers, n_pairs)
        parts = [
            part
            for first in (shapes, truths)
            for part in contrasts_without(first, truths, members, pairs, speaker, np.arange(n_speakers))
        ]
        found = crossed_ratio(parts[0], parts[2], parts[1], parts[3], pairs)
        assert np.isfinite(found.estimate)
        assert np.isnan([found.low, found.high, found.p]).all()


def test_token_and_pair_tables_are_read_and_refused(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    rows = [{"utterance": "F2_e37", "type": "SH IY P", "start": 0.1, "end": 0.3, "extra": 1}]
    pandas.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    pandas.DataFrame(rows).to_parquet(tmp_path / "t.parquet")
    assert read_spoken(tmp_path / "t.csv") == read_spoken(tmp_path / "t.parquet") == [Spoken("F2_e37", "SH IY P", 0.1, 0.3)]
    (tmp_path / "bad.csv").write_text("utterance,type,start,end\nx,a,soon,1\n")
    with pytest.raises(ConfigurationError, match="line 2: start is 'soon', which is no number"):
        read_spoken(tmp_path / "bad.csv")
    (tmp_path / "bad.csv").write_bytes(b"type_a,type_b\n\xe4,b\n")
    with pytest.raises(FaceError, match=r"The pair table .* cannot be read: 'utf-8' codec .* Save it as CSV in UTF-8"):
        pairs_of([Spoken("c", "SH IY P", 0.0, 0.1)], tmp_path / "bad.csv")
    spoken = [Spoken("c", name, 0.0, 0.1) for name in ("SH IY P", "SH IH P", "K AE T")]
    lines = ["type_a,type_b,relation", "SH IY P,SH IH P,near_homophone", "SH IY P,K AE T,unrelated", "A,B,near_homophone"]
    (tmp_path / "pairs.csv").write_text("\n".join(lines))
    assert pairs_of(spoken, tmp_path / "pairs.csv") == PAIRS
    assert pairs_of(spoken) == PAIRS  # mined
    with pytest.raises(FaceError, match=r"found no near-homophone pair with both its types among the 1 spoken ones \(K AE T"):
        pairs_of(spoken[2:], tmp_path / "pairs.csv")
    (tmp_path / "pairs.csv").write_text("a,b\n")
    with pytest.raises(FaceError, match="has no columns type_a and type_b; it has a, b"):
        pairs_of(spoken, tmp_path / "pairs.csv")


def test_tokens_of_other_clips_are_told(small_set) -> None:
    with pytest.raises(FaceError) as error:
        homophone_measures(_measured(small_set), [Spoken("x", "SH IY P", 0, 1), Spoken("x", "SH IH P", 0, 1)], PAIRS)
    assert str(error.value) == (
        "No near-homophone syllable lies in a measured clip. Tokens are of x, ...; clips are F2_e37, F2_e38, M3_e37, .... Name "
        "utterances as the clips."
    )


def test_alignments_give_syllables() -> None:
    spoken = spoken_from_alignments(builtin_alignments(1))
    assert "SH IY P" in {one.type for one in spoken}
    assert {one.clip for one in spoken} == {"builtin_000"}
    assert all(one.start < one.end for one in spoken)


def test_textgrids_of_the_clips(tmp_path: Path) -> None:
    from dataclasses import replace

    from analysis.alignment import write_textgrid
    from analysis.face.homophones import spoken_from_textgrids

    (alignment,) = builtin_alignments(1)
    write_textgrid(alignment, tmp_path / "F2_e37.TextGrid")
    found = spoken_from_textgrids(tmp_path, ["F2_e37"])
    expected = spoken_from_alignments([replace(alignment, utterance_id="F2_e37")])
    assert [(one.clip, one.type) for one in found] == [(one.clip, one.type) for one in expected]
    assert [one.start for one in found] == pytest.approx([one.start for one in expected], abs=1e-3)
    with pytest.raises(
        FaceError, match=r"There is no alignment .*F2_e38\.TextGrid\. Name TextGrids as the clips, or give --tokens\."
    ):
        spoken_from_textgrids(tmp_path, ["F2_e38"])
