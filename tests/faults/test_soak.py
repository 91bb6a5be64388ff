"""Kills at random: every job ends, with a cause, and none runs twice at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.faults.soak import Soak
from tests.plugins.stack import fresh_stack

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.xdist_group("soak"), pytest.mark.timeout(240)]


def test_soak(tmp_path: Path) -> None:
    """Twenty jobs survive kills and restarts; the long form has two hundred."""
    with fresh_stack(tmp_path / "stack") as stack:
        soak = Soak(stack, tmp_path, seed=7)
        problems = soak.run(20, seconds=150, calm_after=18)
    assert problems == [], soak.events
    assert soak.events
