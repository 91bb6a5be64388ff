"""Faults at random: every job ends as it has to, and nothing is left."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.plugins.stack import fresh_stack
from tests.soak.report import report
from tests.soak.soak import Plan, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugins.fault_report import FaultReport

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def test_soak(fault_report: FaultReport, tmp_path: Path) -> None:
    """Fifteen jobs survive faults of all kinds; ``make soak`` has ten thousand."""
    plan = Plan(
        jobs=15, seed=7, workers=2, seconds=60, fault_interval=1.5, longest_calm=4.0
    )
    with fresh_stack(tmp_path / "stack") as stack:
        result = run(stack, tmp_path / "soak", plan)
    found = report(result)
    details = json.dumps(result.details, indent=1)
    assert found["problems"] == [], details
    assert result.faults
    fault_report.worker(
        "20",
        f"two workers, {found['jobs']} jobs, {len(result.faults)} faults of all kinds",
        "every job finished, or failed with its cause; none ran twice at once",
        says="",
    )
