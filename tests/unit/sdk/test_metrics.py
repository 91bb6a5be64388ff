"""The helpers that spare authors of plugins some lines."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.tools.workbench.folders import sums

from dioptra_worker.sdk.metrics import log_metric
from dioptra_worker.sdk.no_debugger import hint
from dioptra_worker.tools.workbench.planning.run_request import RunRequest
from dioptra_worker.tools.workbench.running.api_sessions import sessions
from dioptra_worker.tools.workbench.running.inprocess import run

if TYPE_CHECKING:
    from pathlib import Path


def test_a_metric_of_a_run(tmp_path: Path) -> None:
    """What a task reports is in the result, with its step."""
    file = sums(tmp_path)
    code = tmp_path / "plugins/sums/tasks.py"
    code.write_text(
        code.read_text().replace(
            'print("adding", a, b)',
            "from dioptra_worker.sdk.metrics import log_metric\n"
            '    log_metric("added", a, step=b)',
        )
    )
    run_plan = RunRequest(path=file).prepare()
    result = run(run_plan, folder=tmp_path / "runs", sessions=sessions({}))
    assert result.finished, result.log
    metric = result.metrics["added"]
    assert (metric.value, metric.step) == (2.0, 10)


@pytest.mark.parametrize(
    ("name", "value", "step"),
    [("1st", 1, None), ("a b", 1, None), ("a", "x", None), ("a", 1j, 0), ("a", 1, "x")],
)
def test_what_the_api_would_refuse(name: str, value: Any, step: Any) -> None:
    """A mistake is told where it is made, also where no worker is."""
    with pytest.raises(ValueError, match=r"metric|integer"):
        log_metric(name, value, step)
    log_metric("fine", math.nan, 1)


def test_a_breakpoint_that_nobody_can_reach() -> None:
    """It says at which line, and how to get there, and goes on."""
    with pytest.warns(UserWarning, match="run --debug") as caught:
        hint()
    assert caught[0].filename == __file__
