"""Where it runs is an argument: the results and their order are the same everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial

import pytest

from analysis import engine
from analysis.errors import ConfigurationError, WorkerError


def total(shard):
    return sum(shard)


def fails_on_three(shard):
    if 3 in shard:
        raise ValueError("three")
    return shard


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_back_in_order(workers):
    shards = [range(first, first + 4) for first in range(0, 20, 4)]
    assert list(engine.map(total, shards, workers=workers)) == [sum(shard) for shard in shards]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_shard_reaches_the_caller(workers):
    with pytest.raises(ValueError, match="three"):
        list(engine.map(fails_on_three, [[1], [3], [5]], workers=workers))


def stopped_on_three(shard):
    if 3 in shard:
        os._exit(9)
    return shard


def test_a_worker_that_is_stopped_from_outside_is_an_error_with_the_remedy():
    with pytest.raises(WorkerError) as caught:
        list(engine.map(stopped_on_three, [[1], [3], [5]], workers=2))
    assert str(caught.value) == (
        "One of 2 worker processes ended without an answer; systems stop processes when memory runs out. Give fewer workers, or a "
        "machine with more memory. What was finished is kept."
    )


def test_an_unknown_place_lists_the_valid_ones():
    with pytest.raises(ConfigurationError, match=r"Cannot run on 'cloud'\. Valid places: local, ray\."):
        list(engine.map(total, [[1]], where="cloud"))


def test_ray_gives_the_results_of_this_process_and_is_told_what_a_shard_needs(ray_stand_in):
    shards = [range(first, first + 4) for first in range(0, 20, 4)]
    assert list(engine.map(total, shards, where="ray", workers=3, gpus=0.5)) == [sum(shard) for shard in shards]
    assert ray_stand_in == [{"num_cpus": 3, "num_gpus": 0.5}] * 5
    with pytest.raises(ValueError, match="three"):
        list(engine.map(fails_on_three, [[1], [3], [5]], where="ray"))
    assert ray_stand_in[-2:] == [{"cancelled": True}] * 2, "what fails and what comes after it"


def test_the_real_ray_gives_the_results_of_this_process():
    pytest.importorskip("ray", reason="Ray is not installed")
    import operator

    shards = list(range(6))
    assert list(engine.map(operator.neg, shards, where="ray")) == [-shard for shard in shards]
    with pytest.raises(ConfigurationError, match="is not on"):
        list(engine.map(partial(engine._run_shard, "analysis.alignment.__main__", (), "/no/such/folder", 1), [0], where="ray"))


def test_without_ray_its_place_is_refused_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigurationError) as raised:
        list(engine.map(total, [[1]], where="ray"))
    assert str(raised.value) == "Running on Ray needs the `cluster` extra: pip install 'wav2sem-analysis[cluster]'."


def test_a_command_is_asked_for_each_of_its_shards(tmp_path, monkeypatch):
    (tmp_path / "three_shards.py").write_text(
        "import os, sys\n"
        "def main(arguments):\n"
        "    print(os.getcwd(), *arguments)\n"
        "    print('complaint', file=sys.stderr)\n"
        "    return int(arguments[arguments.index('--shard') + 1])\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    runs = list(engine.command_shards("three_shards", ["corpus"], 3))
    assert [run.code for run in runs] == [0, 1, 2]
    assert runs[1].output == f"{tmp_path} corpus --shard 1 --num-shards 3\n" and runs[1].errors == "complaint\n"


@pytest.mark.parametrize("workers", [1, 2])
def test_work_beside_gives_its_result_or_its_error(workers):
    with engine.beside(workers) as start:
        futures = [start(total, [1, 2]), start(fails_on_three, [3]), start(os.getpid)]
        assert futures[0].result() == 3
        with pytest.raises(ValueError, match="three"):
            futures[1].result()
        assert (futures[2].result() == os.getpid()) == (workers == 1)


def test_a_script_without_a_guard_is_run_once(tmp_path, repository):
    script = tmp_path / "analyse.py"
    script.write_text(
        "import operator\n"
        "from analysis import engine\n"
        "print('begun', flush=True)\n"
        "with engine.beside(2) as start:\n"
        "    print(start(operator.add, 1, 2).result())\n"
        "print(list(engine.map(operator.neg, [1, 2], workers=2)), __spec__, __file__)\n",
        encoding="utf-8",
    )
    path = os.pathsep.join([str(repository), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path})
    assert done.stdout == f"begun\n3\n[-1, -2] None {script}\n", done.stderr
