"""Runs scenarios on one local stack, and keeps what each has measured."""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError
from redis.exceptions import RedisError

from benchmarks import results
from benchmarks.environment import fresh
from benchmarks.errors import BenchmarkError
from benchmarks.machine import circumstances
from benchmarks.rivals import OURS, PEER, Rival
from benchmarks.scenario import Plan
from benchmarks.stage import open_stage
from dioptra_worker.errors import WorkerError
from dioptra_worker.tools.local import LocalStack
from dioptra_worker.tools.local.progress import step

if TYPE_CHECKING:
    from benchmarks.report import Report
    from benchmarks.scenario import Scenario
    from benchmarks.stage import Stage

KINDS = ("full", "slim", "none")
FULL, _SLIM, _NONE = KINDS

_FAILURES = (
    BenchmarkError,
    WorkerError,
    OSError,  # requests' errors among them
    RedisError,
    BotoCoreError,
    ClientError,
)


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to measure.

    Attributes:
        scenarios: Which, in order.
        quick: Only see that it works.
        runs: How often, instead of what each scenario thinks best.
        out: Where the results go.
        peer: The peer's environment: ``full``, ``slim`` or ``none``.
        peer_python: An interpreter with dioptra-platform to use for it.
        cache: Where that is kept.
    """

    scenarios: list[Scenario]
    quick: bool
    runs: int | None
    out: Path
    peer: str
    peer_python: Path | None
    cache: Path | None


@dataclass(frozen=True)
class Failure:
    """A scenario that could not be measured.

    Attributes:
        scenario: Its name.
        error: Why.
    """

    scenario: str
    error: Exception


def run(order: Order, report: Report) -> list[Failure]:
    """Measure it all.

    Args:
        order: What.
        report: Told what goes on.

    Returns:
        What could not be measured.

    Raises:
        BenchmarkError: There is nothing to measure on.
        StackError: The services do not come up.
    """
    if not sys.platform.startswith("linux"):
        raise BenchmarkError(
            "They need Linux: memory and processor time are read from /proc."
        )
    failures = []
    with ExitStack() as stack:
        stage = _open(order, report, stack)
        for scenario in order.scenarios:
            report.begin(scenario)
            about = _about(order, scenario, stage)
            plan = Plan(quick=order.quick, runs=order.runs, say=report.progress)
            try:
                result = scenario.run(stage, plan)
            except _FAILURES as error:
                report.failed(scenario, error)
                failures.append(Failure(scenario.name, error))
                continue
            result.about = about
            path = order.out / f"{scenario.name}.json"
            results.write(result, path)
            report.measured(result, path)
    return failures


def _open(order: Order, report: Report, stack: ExitStack) -> Stage:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
    services = stack.enter_context(
        LocalStack.up(
            folder / "stack",
            # Its API runs in the peer's environment, which is what the option chooses.
            full_peer=order.peer == FULL,
            peer_python=None if order.peer == FULL else order.peer_python,
            cache=order.cache,
            progress=report.step,
        )
    )
    rivals = [Rival(OURS, _ours(order, report, folder))]
    if order.peer != _NONE:
        rivals.append(Rival(PEER, services.peer_python))
    for rival in rivals:
        rival.check()
    return stack.enter_context(open_stage(services, rivals, folder))


def _ours(order: Order, report: Report, folder: Path) -> Path:
    """The interpreter of our worker's environment: one as users have it, if it counts.

    The one that this runs in has much more, for the local stack and for tests, and
    MLflow imports whatever it finds.
    """
    if order.quick:
        return Path(sys.executable)
    with step(report.step, "install our worker as its users do"):
        fresh(OURS, folder / "ours")
    return folder / "ours/bin/python"


def _about(order: Order, scenario: Scenario, stage: Stage) -> dict[str, object]:
    return {
        "scenario": scenario.name,
        "quick": order.quick,
        "peer": order.peer,
        **circumstances(stage.rivals),
    }
