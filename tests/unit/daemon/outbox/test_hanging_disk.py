"""A disk that hangs under the journal: what a job says is taken as ever."""

from __future__ import annotations

import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any

from tests.unit.daemon.outbox.simulated_api import EXPERIMENT, JOB, SimulatedApi

from dioptra_worker.common.stop import JobStop
from dioptra_worker.common.text.masking import Mask
from dioptra_worker.daemon.outbox.job_log import JobLog
from dioptra_worker.daemon.outbox.journal import Journals
from dioptra_worker.daemon.outbox.outbox import Outbox
from dioptra_worker.protocol.messages import Log, Metric, RunStarted

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

ENOUGH = 200
"""Lines and metrics at least."""
SOON = 20.0
AT_ONCE = 2.0
"""Seconds that a call which waits for nothing may take on a busy machine."""


def test_nothing_that_takes_what_a_job_says_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While each statement of SQLite's hangs, lines, metrics and the run are taken."""
    goes_on, hangs = threading.Event(), threading.Event()
    goes_on.set()

    def wait(_statement: str) -> None:
        if not goes_on.is_set():
            hangs.set()
            assert goes_on.wait(SOON)

    connect: Any = sqlite3.connect

    def connect_to_slow_disk(*given: Any, **more: Any) -> sqlite3.Connection:
        database: sqlite3.Connection = connect(*given, **more)
        database.set_trace_callback(wait)
        return database

    monkeypatch.setattr(sqlite3, "connect", connect_to_slow_disk)
    api, stop = SimulatedApi(), JobStop()
    journal = Journals(tmp_path, api="http://api").open(
        job_id=JOB, experiment_id=EXPERIMENT, attempt=1, worker="w"
    )
    assert journal is not None
    with (
        journal,
        JobLog(api, JOB, mask=Mask([]), stop=stop, journal=journal) as job_log,
        Outbox(
            api,
            job_log,
            job_id=JOB,
            experiment_id=EXPERIMENT,
            stop=stop,
            journal=journal,
        ) as outbox,
    ):
        outbox.put(RunStarted(run_id="0" * 32))
        goes_on.clear()
        worst = 0.0
        deadline = time.monotonic() + SOON
        count = 0
        # How soon the disk is asked depends on how soon the API takes what there is.
        while count < ENOUGH or not hangs.is_set():
            began = time.monotonic()
            assert began < deadline, "the disk was never asked"
            job_log.put(Log(severity="INFO", logger="job", message=f"line {count}"))
            job_log.say("INFO", f"the worker says {count}")
            outbox.put(Metric(name="loss", value=0.5, step=count))
            len(outbox)
            worst = max(worst, time.monotonic() - began)
            count += 1
            if count > ENOUGH:
                time.sleep(0.005)
        assert worst < AT_ONCE
        goes_on.set()
        assert outbox.finish("finished", SOON)
    assert sum("line" in text for text in api.messages()) == count
