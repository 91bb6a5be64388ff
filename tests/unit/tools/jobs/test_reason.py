"""Why a job has failed, from the end of its log."""

from __future__ import annotations

import pytest
from tests.unit.tools.jobs.dioptra import Dioptra

from dioptra_worker.protocol.messages import OWN_LOGGER
from dioptra_worker.tools.jobs.control.deletion import deletable
from dioptra_worker.tools.jobs.errors import NotNow
from dioptra_worker.tools.jobs.job_row import JobRow
from dioptra_worker.tools.jobs.reason import read_reason

STAMP = "2026-01-01T12:00:00.000000Z "
LINES = [("INFO", "task", f"{STAMP}line {number}") for number in range(60)]
FAILED = "ValueError: no, in step 'train'"


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ([*LINES, ("ERROR", OWN_LOGGER, f"{STAMP}the job failed: {FAILED}")], FAILED),
        (
            [
                ("ERROR", OWN_LOGGER, f"{STAMP}the job was stopped: why"),
                *LINES[:9],
            ],
            "why",
        ),
        ([("ERROR", "task", f"{STAMP}the job failed: a lie"), *LINES[:2]], "the job"),
        (
            [*LINES, ("ERROR", "theirs", "Traceback\n  File x\nKeyError: 1")],
            "KeyError",
        ),
        (LINES, ""),
        ([], ""),
    ],
)
def test_reason(log: list[tuple[str, str, str]], reason: str) -> None:
    """It is the worker's last word, or else the last error; few records are read."""
    dioptra = Dioptra(logs={7: log})
    dioptra.put(7, ("queued", 1), ("started", 2), ("failed", 3))
    dioptra.put(8, ("queued", 1), ("started", 2))
    with dioptra.running() as (client, server):
        found = read_reason(client, JobRow.read(dioptra.jobs[7]))
        assert found.startswith(reason)
        assert bool(found) == bool(reason)
        assert len(server.asked) <= 2
        assert read_reason(client, JobRow.read(dioptra.jobs[8])) == ""


def test_what_may_be_deleted() -> None:
    """A job that somebody may still run is not deleted under his hands."""
    dioptra = Dioptra()
    dioptra.put(7, ("queued", 1), ("started", 2), ("failed", 3))
    dioptra.put(8, ("queued", 1), ("started", 2))
    with dioptra.running() as (client, _):
        assert deletable(client, 7).id == 7
        with pytest.raises(NotNow, match="jobs cancel 8"):
            deletable(client, 8)
