"""`python -m analysis.alignment CORPUS`: shards, tables, what a second run does again."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import soundfile

from analysis.alignment.__main__ import main


@pytest.fixture
def corpus(tmp_path):
    """Three second-long recordings with transcripts, and a folder of TextGrids for them."""
    folder, grids = tmp_path / "speech", tmp_path / "grids"
    folder.mkdir()
    grids.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        soundfile.write(folder / f"{name}.wav", 0.1 * rng.standard_normal(16000), 16000)
        (folder / f"{name}.txt").write_text("sheep", encoding="utf-8")
        intervals = "".join(
            f'        intervals [{i}]:\n            xmin = {start}\n            xmax = {end}\n            text = "{label}"\n'
            for i, (start, end, label) in enumerate([(0, 0.3, ""), (0.3, 0.8, "sheep"), (0.8, 1, "")], 1)
        )
        (grids / f"{name}.TextGrid").write_text(
            'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 1\ntiers? <exists>\nsize = 1\nitem []:\n'
            f'    item [1]:\n        class = "IntervalTier"\n        name = "words"\n        xmin = 0\n        xmax = 1\n'
            f"        intervals: size = 3\n{intervals}",
            encoding="utf-8",
        )
    return folder, grids


def arguments(corpus, out, *more):
    folder, grids = corpus
    return [str(folder), "--aligner", "textgrid", "--option", f"folder={grids}", "--out", str(out), *more]


def test_shards_share_the_folder_and_keep_their_own_tables(corpus, tmp_path, capsys):
    for shard in range(2):
        assert main(arguments(corpus, tmp_path / "parts", "--shard", str(shard), "--num-shards", "2")) == 0
    assert main(arguments(corpus, tmp_path / "whole")) == 0
    made = sorted(path.name for path in (tmp_path / "parts").glob("*.TextGrid"))
    assert made == ["a.TextGrid", "b.TextGrid", "c.TextGrid"]
    parts = [pd.read_csv(tmp_path / "parts" / f"alignment-{shard}-of-2.csv") for shard in range(2)]
    assert [sorted(part["utterance"].unique()) for part in parts] == [["a", "c"], ["b"]]
    whole = pd.read_csv(tmp_path / "whole" / "alignment.csv")
    together = pd.concat(parts).sort_values(["utterance", "start"], ignore_index=True)
    pd.testing.assert_frame_equal(together, whole.sort_values(["utterance", "start"], ignore_index=True))


def test_settings_that_the_aligner_has_no_use_for_are_checked_all_the_same(corpus, tmp_path, capsys):
    for more, message in (
        (["--inventory", "klingon"], "error: There is no inventory 'klingon'. Choose one of arpabet, "),
        (["--num-shards", "0"], "error: --num-shards must be at least 1, not 0.\n"),
        (["--num-shards", "2", "--shard", "1", "--where", "ray"], "error: --where ray makes every shard: leave out --shard 1.\n"),
    ):
        assert main(arguments(corpus, tmp_path / "out", *more)) == 2
        assert capsys.readouterr().err.startswith(message)


def test_a_shard_that_does_not_exist_is_refused(corpus, tmp_path, capsys):
    assert main(arguments(corpus, tmp_path / "out", "--shard", "2", "--num-shards", "2")) == 2
    assert capsys.readouterr().err == "error: --shard must lie in 0 to 1, not be 2.\n"


def test_results_do_not_replace_the_textgrids_of_others(corpus, tmp_path, capsys):
    folder, grids = corpus
    before = (grids / "a.TextGrid").read_bytes()
    assert main(arguments(corpus, grids)) == 2
    assert capsys.readouterr().err == (
        f"error: --out {grids} is the folder of the TextGrids that are read: its TextGrids would be replaced. Name another folder.\n"
    )
    (folder / "a.TextGrid").write_bytes(before)
    assert main([str(folder), "--out", str(folder)]) == 2
    assert capsys.readouterr().err == (
        f"error: --out {folder} is the folder of the corpus: its TextGrids would be replaced. Name another folder.\n"
    )
    assert (grids / "a.TextGrid").read_bytes() == (folder / "a.TextGrid").read_bytes() == before
    assert main(arguments(corpus, tmp_path / "out")) == main(arguments(corpus, tmp_path / "out")) == 0
