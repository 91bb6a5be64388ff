"""A worker that nobody told what to import learns it from its jobs."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from tests.acceptance.bench import Bench, opened
from tests.unit.tools.workbench.folders import write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.plugins.clients import ApiClient

    from dioptra_worker.tools.local import LocalStack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # a stack, and several jobs

CONFIG = """
[[plugins]]
path = "plugins/{name}"
description = "Imports something that takes its time."

  [[plugins.tasks.functions]]
  filename = "tasks.py"
  name = "act"
  input_params = []
  output_params = [{{ name = "value", type = "any" }}]

[[entrypoints]]
path = "{name}.yml"
name = "{name}"
plugins = ["{name}"]
"""
GRAPH = "graph:\n  acting:\n    act: []\n"
TASKS = """
{before}
import sys, time
from dioptra import pyplugs

there = "slow_one" in sys.modules
started = time.monotonic()
import slow_one
waited = time.monotonic() - started

@pyplugs.register
def act():
    print("WAITED", waited > 0.2, "THERE", there, "MADE IN", slow_one.made_in)
"""
PACKAGES = {
    "slow_one": (
        "import os, time\ntime.sleep(0.4)\nmade_in = 'job' if '__JOB_ID' in os.environ"
        " else 'worker'\n"
    ),
    "bad_one": "import os, time\ntime.sleep(0.2)\nos.umask(0o077)\n",
}


KINDS = {
    "waits": "",
    "sets": "import os\nos.environ['KERAS_BACKEND'] = 'jax'",
    "bad": "import bad_one",
}


_TRIES = 12


@pytest.fixture(name="folder", scope="module")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packages, and an example for each kind."""
    folder = tmp_path_factory.mktemp("learning")
    site = folder / "site-packages"
    info = site / "packages_of_the_test-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: packages_of_the_test\nVersion: 1.0\n")
    (info / "RECORD").write_text("".join(f"{name}.py,,\n" for name in PACKAGES))
    for name, source in PACKAGES.items():
        (site / f"{name}.py").write_text(source)
    for name, before in KINDS.items():
        write(
            folder / name,
            {
                "dioptra.toml": CONFIG.format(name=f"learning_{name}"),
                f"learning_{name}.yml": GRAPH,
                f"plugins/learning_{name}/__init__.py": "",
                f"plugins/learning_{name}/tasks.py": TASKS.format(before=before),
            },
        )
    return folder


@contextmanager
def _learning(
    stack: LocalStack, api: ApiClient, folder: Path, work: Path, *, slots: int
) -> Iterator[Bench]:
    settings = {
        "DIOPTRA_WORKER_PRELOAD": "auto",
        "DIOPTRA_WORKER_CONCURRENCY": str(slots),
        "PYTHONPATH": str(folder / "site-packages"),
    }
    examples = [folder / name for name in KINDS]
    with opened(stack, api, work, *examples, settings=settings) as bench:
        yield bench


@pytest.fixture(name="bench", scope="module")
def _bench(stack: LocalStack, api: ApiClient, folder: Path) -> Iterator[Bench]:
    with _learning(stack, api, folder, folder, slots=1) as bench:
        yield bench


def _words(bench: Bench, kind: str) -> str:
    job = bench.run(f"learning_{kind}")
    assert job.timeline[-1].status == "finished", job.log
    (line,) = (line.message for line in job.log if "WAITED" in line.message)
    assert not any("too late" in line.message for line in job.log)
    return line.partition("WAITED ")[2].strip()


def _run_until_learned(bench: Bench) -> None:
    """Run jobs until one has what others waited for.

    On a machine that is so busy that a job would wait longer for it than it gains, a
    job does without; and a slot's first job always does.
    """
    for _ in range(_TRIES):
        said = _words(bench, "waits")
        if said == "False THERE False MADE IN worker":
            return
        assert said == "True THERE False MADE IN job"
    pytest.fail(f"none of {_TRIES} jobs had it")


def test_the_next_job_waits_no_more(bench: Bench) -> None:
    """It has at once what the first one waited for, and cannot tell otherwise."""
    assert _words(bench, "waits") == "True THERE False MADE IN job"
    bench.worker.wait_for("jobs do not wait any more for slow_one")
    _run_until_learned(bench)


def test_who_sets_a_variable_imports_it(bench: Bench) -> None:
    """Each of its jobs does: the library may read what the job has set."""
    for _ in range(2):
        assert _words(bench, "sets") == "True THERE False MADE IN job"


def test_what_cannot_be_learned(bench: Bench) -> None:
    """It is imported by each job, as before, and the worker says why."""
    _words(bench, "bad")
    bench.worker.wait_for(
        "bad_one is not imported before jobs that wait for it: its import changed the"
        " umask"
    )
    _words(bench, "bad")
    bench.worker.wait_for("jobs do not wait any more for slow_one")


def test_slots_learn(
    stack: LocalStack, api: ApiClient, folder: Path, tmp_path: Path
) -> None:
    """Each of a worker's slots has, after a job of its own, what any has waited for."""
    with _learning(stack, api, folder, tmp_path, slots=2) as bench:
        assert _words(bench, "waits") == "True THERE False MADE IN job"
        bench.worker.wait_for("jobs do not wait any more for slow_one")
        _run_until_learned(bench)
