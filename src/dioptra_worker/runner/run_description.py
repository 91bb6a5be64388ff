"""Describes a job in its MLflow run while the job runs: parameters and task graph."""

from __future__ import annotations

import contextlib
import logging
import threading
from pathlib import Path
from time import monotonic  # bound here: plugin code may put its own into the module
from typing import TYPE_CHECKING, Any, Protocol

import yaml

from dioptra_worker.engine.wording import format_exception
from dioptra_worker.errors import ServiceError
from dioptra_worker.protocol.messages import NO_JOB
from dioptra_worker.provenance.run_tags import ENTRYPOINT_SNAPSHOT_ID, source_tags
from dioptra_worker.provenance.surroundings import surroundings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from dioptra_worker.protocol.messages import Plan
    from dioptra_worker.tracking.artifact_store import Store

log = logging.getLogger("dioptra_worker.job")


class Describe(Protocol):
    """Gives a run its name and parameters; see `tracking.base.Tracking`."""

    def __call__(
        self,
        run_id: str,
        *,
        name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
    ) -> None:
        """Do it; what fails is only logged."""
        ...


DESCRIPTION_TIMEOUT = 30.0
"""Seconds that a job which is done waits for its description to arrive."""
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # the fast one, where it is


@contextlib.contextmanager
def describing_run(
    plan: Plan,
    *,
    run_id: str,
    store: Store,
    describe: Describe,
    timeout: float = DESCRIPTION_TIMEOUT,
) -> Iterator[None]:
    """Describe the job from threads; at the end of the block it has arrived.

    It never fails the job, nor holds it up: a job that is told to stop does not wait.

    Args:
        plan: What runs.
        run_id: Its MLflow run.
        store: Where the run's artifacts go.
        describe: Gives the run its name and parameters.
        timeout: Seconds that a job which is done waits for its description to arrive.
    """
    file = Path.cwd() / f"{plan.entrypoint.replace('/', '_')}.yml"
    text = yaml.dump(
        dict(plan.config), Dumper=_DUMPER, sort_keys=False, allow_unicode=True
    )
    file.write_text(text, encoding="utf-8")
    name = plan.entrypoint
    if plan.job_id != NO_JOB:
        name += f" (job {plan.job_id})"
    tags = source_tags(plan.entrypoint, plan.stamp.get(ENTRYPOINT_SNAPSHOT_ID, ""))
    if plan.stamp:
        tags |= {**plan.stamp, **surroundings()}
    threads = [
        _start_thread(
            lambda: describe(run_id, name=name, params=plan.parameters, tags=tags)
        ),
        _start_thread(lambda: _store_graph(file, store)),
    ]
    try:
        yield
    except (Exception, SystemExit, KeyboardInterrupt):
        _join(threads, timeout)
        raise
    _join(threads, timeout)


def _start_thread(work: Callable[[], None]) -> threading.Thread:
    def guarded() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - it must never fail the job
            words = format_exception(error)
            log.warning("the job is not described in its MLflow run: %s", words)

    thread = threading.Thread(target=guarded, name="dioptra-description", daemon=True)
    thread.start()
    return thread


def _store_graph(file: Path, store: Store) -> None:
    try:
        store.put(file, "")
    except ServiceError as error:
        log.warning("the task graph is not in the run's artifacts: %s", error)


def _join(threads: list[threading.Thread], timeout: float) -> None:
    until = monotonic() + timeout
    for thread in threads:
        thread.join(max(0.0, until - monotonic()))
    if any(thread.is_alive() for thread in threads):
        log.warning(
            "MLflow and its store have not taken the job's parameters and task graph"
            " within %.0f seconds of its end, so they may be missing there",
            timeout,
        )
