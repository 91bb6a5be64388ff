"""Kills at random: every job ends, with a cause, and none runs twice at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.faults.soak import Soak
from tests.plugins.stack import fresh_stack

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugins.fault_report import FaultReport

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def test_soak(fault_report: FaultReport, tmp_path: Path) -> None:
    """Twenty jobs survive kills and restarts; the long form has two hundred."""
    with fresh_stack(tmp_path / "stack") as stack:
        soak = Soak(stack, tmp_path, seed=7)
        problems = soak.run(20, seconds=150, calm_after=18)
    assert problems == [], soak.events
    assert soak.events
    fault_report.worker(
        "20",
        f"two workers, 20 jobs, {len(soak.events)} kills and restarts of all kinds",
        "every job finished, or failed with its cause; none ran twice at once",
        says="",
    )
