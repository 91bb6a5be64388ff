"""A pytest plugin: tests of faults write down what they saw, for a page of the docs.

A test that takes the fixture `fault_report` calls it once for each fault::

    outcome = witness.outcome(job, says="killed by SIGKILL")
    assert outcome.statuses == FAILED
    fault_report.job("4", "SIGKILL of the job's process", outcome)

and, where a worker and no job is what one looks at::

    fault_report.worker("13", "wrong password", "ends with code 3", says=running.log)

The first argument is the row of ``tests/faults/peer.toml`` beside which it is shown.
``pytest --fault-report=FILE`` runs those tests and no others, and brings the file up to
what those saw that passed; ``make faults`` does that with all, from nothing.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.plugins.outcomes import Witness
from tests.plugins.worker_process import TIMES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plugins.outcomes import Outcome

    from dioptra_worker.tools.local import LocalStack

PEER = Path(__file__).parents[1] / "faults/peer.toml"
Entry = dict[str, Any]
_PROPERTY = "fault"
_LONGEST_LINE = 260
_CHANCE = (
    (re.compile(r"(?:/[\w.+-]+)*/pytest-of-[\w./+-]+"), "…"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "…"),
    (re.compile(r"(?:/[\w.+-]+)+/\.venv\b"), "….venv"),
    (re.compile(r"(?<=/)tmp[a-z0-9_]{8}\b"), "…"),
    (re.compile(r"\b(127\.0\.0\.1|localhost|[\w-]+\.invalid):\d+"), r"\1:…"),
    (re.compile(r"\b([qtx])[0-9a-f]{10}\b"), r"…"),
    (re.compile(r"\bjobs?/\d+"), "jobs/…"),
    (re.compile(r"\bexperiments/\d+"), "experiments/…"),
    (re.compile(r"\bjob \d+"), "job …"),
)
"""What is another in each run, and what is shown instead."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was seen of one fault.

    Attributes:
        row: The row of ``peer.toml``.
        fault: The fault, in a few words.
        status: The status in the REST API, RQ and MLflow; or what the worker did.
        says: The line that tells a user.
        seconds: Until it had settled, if that means something.
        after: What the seconds count from.
    """

    row: str
    fault: str
    status: str
    says: str
    seconds: float | None
    after: str


class FaultReport:
    """Writes down what a test saw."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._properties = request.node.user_properties

    def job(self, row: str, fault: str, outcome: Outcome) -> None:
        """Write down how a job ended under a fault.

        Args:
            row: The row of ``tests/faults/peer.toml``, such as ``"5b"``.
            fault: The fault in a few words, such as ``"`os._exit(1)` in a task"``.
            outcome: What `Witness.outcome` has found.
        """
        self._add(
            row,
            fault,
            status=" · ".join(outcome.statuses),
            says=outcome.line,
            seconds=round(outcome.seconds, 1),
            after=outcome.after,
        )

    def worker(
        self,
        row: str,
        fault: str,
        what: str,
        *,
        says: str,
        seconds: float | None = None,
        after: str = "",
    ) -> None:
        """Write down what a worker did under a fault that no job ends by.

        Args:
            row: The row of ``tests/faults/peer.toml``.
            fault: The fault in a few words.
            what: What the worker did: ``the worker ends with code 3``.
            says: The line that tells a user.
            seconds: Until it had settled, if that means something.
            after: What the seconds count from.
        """
        rounded = None if seconds is None else round(seconds, 1)
        self._add(row, fault, status=what, says=says, seconds=rounded, after=after)

    def _add(self, row: str, fault: str, *, says: str, **seen: Any) -> None:
        assert row in rows(), f"{PEER.name} has no row {row!r}"
        entry = Seen(row=row, fault=fault, says=_without_chance(says), **seen)
        self._properties.append((_PROPERTY, asdict(entry)))


@pytest.fixture
def fault_report(request: pytest.FixtureRequest) -> FaultReport:
    """Where a test of a fault writes down what it saw."""
    return FaultReport(request)


@pytest.fixture(scope="session")
def witness(stack: LocalStack) -> Iterator[Witness]:
    """Looks at jobs of `stack` from all sides."""
    looking = Witness(stack.environment())
    yield looking
    looking.close()


def rows() -> list[str]:
    """The rows of ``peer.toml``."""
    groups = tomllib.loads(PEER.read_text(encoding="utf-8"))["group"]
    return [row["id"] for group in groups for row in group["row"]]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--fault-report``."""
    parser.addoption(
        "--fault-report",
        type=Path,
        metavar="FILE",
        help="run the tests of faults only, and bring FILE up to what they saw",
    )


def pytest_configure(config: pytest.Config) -> None:
    """With ``--fault-report``, let workers wait as long as anybody's do."""
    if config.getoption("--fault-report") is not None:
        TIMES.clear()


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """With ``--fault-report``, leave the tests that report, and no others."""
    if config.getoption("--fault-report") is None:
        return
    chosen = [item for item in items if "fault_report" in _fixtures(item)]
    config.hook.pytest_deselected(items=[i for i in items if i not in chosen])
    items[:] = chosen


def pytest_terminal_summary(
    terminalreporter: Any, exitstatus: int, config: pytest.Config
) -> None:
    """Write the file, in the session's main process."""
    target = config.getoption("--fault-report")
    if target is None or hasattr(config, "workerinput"):
        return
    if exitstatus not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
        terminalreporter.write_line(f"{target} is left as it was: the run was cut off")
        return
    seen = [
        entry
        for report in terminalreporter.stats.get("passed", [])
        for name, entry in report.user_properties
        if name == _PROPERTY and report.when == "call"
    ]
    known = json.loads(target.read_text(encoding="utf-8")) if target.exists() else []
    text = json.dumps(_in_order(seen, known), indent=1, ensure_ascii=False) + "\n"
    target.write_text(text, encoding="utf-8")
    terminalreporter.write_line(f"{len(seen)} faults are written to {target}")


def _in_order(seen: list[Entry], known: list[Entry]) -> list[Entry]:
    """The entries as the page shows them; of one seen twice, the slower."""
    order = rows()

    def place(entry: Entry) -> tuple[int, str]:
        return order.index(entry["row"]), entry["fault"]

    chosen: dict[tuple[int, str], Entry] = {}
    for entry in seen:
        before = chosen.get(place(entry), entry)
        slower = max(before, entry, key=lambda each: each["seconds"] or 0.0)
        chosen[place(entry)] = slower
    for entry in known:
        if entry["row"] in order:
            chosen.setdefault(place(entry), entry)
    return [chosen[key] for key in sorted(chosen)]


def _fixtures(item: pytest.Item) -> list[str]:
    return list(getattr(item, "fixturenames", []))


def _without_chance(line: str) -> str:
    """A line for the docs: in one row, of a bearable length, alike in each run."""
    text = " ".join(line.split())
    for pattern, instead in _CHANCE:
        text = pattern.sub(instead, text)
    return text if len(text) <= _LONGEST_LINE else text[: _LONGEST_LINE - 1] + "…"
