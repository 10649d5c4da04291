"""A pytest fixture that holds a model's separation to a committed baseline.

In the project's ``conftest.py``::

    pytest_plugins = ["analysis.pytest_plugin"]

and in a test::

    def test_the_encoder_still_tells_ship_from_sheep(separation_baseline):
        report = analysis.run(corpus="speech/", encoder=["my/encoder"])
        separation_baseline("tests/baseline.json", report)

``pytest --accept-separation-baseline`` writes the baselines instead of holding reports to them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.errors import AnalysisError

__all__ = ["pytest_addoption", "separation_baseline"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--accept-separation-baseline``."""
    group = parser.getgroup("separation")
    group.addoption(
        "--accept-separation-baseline", action="store_true", help="write separation baselines from the reports of this run"
    )


@pytest.fixture
def separation_baseline(request: pytest.FixtureRequest) -> Callable[[str | Path, Any], Any]:
    """``check(path, report)``: fails with the table when a row regressed or is missing, or the settings differ.

    The path is relative to the folder that pytest was started for (``rootdir``). Returns the comparison.
    """

    def check(path: str | Path, report: Any) -> Any:
        from analysis.regression import compare, read_baseline, write_baseline

        path = request.config.rootpath / path
        try:
            if request.config.getoption("--accept-separation-baseline"):
                write_baseline(report, path)
            comparison = compare(report, read_baseline(path))
        except AnalysisError as error:
            pytest.fail(_in_pytest(str(error)), pytrace=False)
        if comparison.exit_code:
            pytest.fail(_in_pytest(str(comparison)), pytrace=False)
        return comparison

    return check


def _in_pytest(text: str) -> str:
    """What the gate says, with the option as it is called here."""
    return text.replace("--accept-baseline", "--accept-separation-baseline")
