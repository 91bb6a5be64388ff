"""The scenarios, one module each, in the order in which they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.scenarios import (
    artifacts,
    cold_start,
    drain,
    evidence,
    hello_world,
    install,
    log_lines,
    memory,
    scale,
    slots,
)

if TYPE_CHECKING:
    from benchmarks.scenario import Scenario

SCENARIOS: tuple[Scenario, ...] = (
    hello_world.SCENARIO,
    cold_start.SCENARIO,
    drain.SCENARIO,
    memory.SCENARIO,
    install.SCENARIO,
    log_lines.SCENARIO,
    artifacts.SMALL_FILES,
    artifacts.LARGE_FILE,
    evidence.SCENARIO,
    scale.SCENARIO,
    slots.SCENARIO,
)
