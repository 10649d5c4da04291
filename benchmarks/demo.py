"""What `make demo` costs after installation: first and second run, their stages, peak memory, `--help`; and whether both agree.

``python benchmarks/demo.py [--second-only]``: runs ``python -m analysis.decouple`` twice with a cache folder that is empty at
first (numba's too), in new processes, and compares the two ``report.json`` but for times. With ``--second-only`` the caches are
the user's, and the second run is timed twice. Memory is the largest sum of resident sizes of the run and its worker processes,
looked at ten times a second; pages that processes share count in each, so it is an upper bound.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).resolve().parent.parent
COMMAND = [sys.executable, "-m", "analysis.decouple"]
TIMES = ("started", "finished")


def resident(process: psutil.Process) -> int:
    """Bytes that the process and its descendants hold."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:  # it has ended meanwhile
            continue
    return total


def run(out: Path, environment: dict[str, str]) -> dict:
    """One run: seconds on the clock, of processors, and by stage; peak memory in GB."""
    began, before = time.perf_counter(), os.times()
    done = psutil.Popen(
        [*COMMAND, "--out", str(out)],
        cwd=REPOSITORY,
        env=environment,
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    peak = 0
    while done.poll() is None:
        try:
            peak = max(peak, resident(done))
        except psutil.NoSuchProcess:
            break
        time.sleep(0.1)
    said = done.stderr.read()
    if done.returncode:
        sys.exit(f"{' '.join(COMMAND)} ended with {done.returncode}:\n{said}")
    after = os.times()
    stages = {name: float(seconds) for name, seconds in re.findall(r"^([^:\n]+): .*\((\d+\.\d) s\)$", said, flags=re.M)}
    spent = sum(after[2:4]) - sum(before[2:4])
    return {"clock": time.perf_counter() - began, "processors": spent, "peak": peak / 1e9, "stages": stages}


def report(folder: Path) -> dict:
    """What the run found, without its times."""
    found = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    for name in TIMES:
        del found["provenance"][name]
    return found


def help_seconds(repeats: int = 5) -> float:
    """Median time of ``--help``."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        subprocess.run([*COMMAND, "--help"], cwd=REPOSITORY, stdout=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - began)
    return sorted(times)[repeats // 2]


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as scratch:
        environment, names = dict(os.environ), ("second", "third")
        if "--second-only" not in sys.argv[1:]:
            environment |= {"ANALYSIS_CACHE": f"{scratch}/cache", "NUMBA_CACHE_DIR": f"{scratch}/numba"}
            names = ("first", "second")
        found = []
        for name in names:
            cost = run(Path(scratch) / "report", environment)
            found.append(report(Path(scratch) / "report"))
            print(
                f"{name} run: {cost['clock']:.1f} s on the clock, {cost['processors']:.1f} s of processors, "
                f"{cost['peak']:.2f} GB at most"
            )
            for stage, seconds in cost["stages"].items():
                print(f"  {stage:32}{seconds:6.1f} s")
            print(f"  {'start, assembly, console':32}{cost['clock'] - sum(cost['stages'].values()):6.1f} s")
    print(f"--help: {help_seconds():.2f} s")
    print(f"the two reports are {'equal' if found[0] == found[1] else 'NOT equal'} but for times")


if __name__ == "__main__":
    main()
