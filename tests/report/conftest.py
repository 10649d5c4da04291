from __future__ import annotations

import pytest
from synthetic_report import synthetic_report


@pytest.fixture(scope="session")
def report(tmp_path_factory):
    """A synthetic report with sound."""
    return synthetic_report(tmp_path_factory.mktemp("speech"))
