"""Manifests are stored one after the other, and what fails is tried again."""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.plugins.until import until
from tests.unit.provenance.test_manifest import example

from dioptra_worker.daemon.record.held_by_api import count_lost_lines
from dioptra_worker.daemon.record.pending_records import PendingRecords
from dioptra_worker.daemon.record.records import Records
from dioptra_worker.errors import NotFound, RunnerError, ServiceUnavailable
from dioptra_worker.provenance.manifest import LogFacts, LogSegment
from dioptra_worker.supervision.forkserver.runner_process import ProcessHandle

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.supervision.launcher import Launcher

API = "http://localhost:1"
LOG = LogFacts(
    lines=3, segments=(LogSegment(worker="w", attempt=1, lines=3, first="b", last="d"),)
)


class Lines:
    """An API with a log and the points of one metric.

    Attributes:
        texts: The log.
        status: The job's status; empty for one that was deleted.
        away: Whether the API is away.
    """

    def __init__(self, *texts: str) -> None:
        self.texts = texts
        self.status = "finished"
        self.away = False

    def count_log(self, _job_id: int) -> int:
        """How many lines."""
        if self.away:
            raise ServiceUnavailable("away", service="REST API")
        return len(self.texts)

    def log_backwards(self, _job_id: int, *, first: int) -> Iterator[list[str]]:
        """The lines, from the end."""
        del first
        for text in reversed(self.texts):
            yield [text]

    def count_metric(self, _job_id: int, _name: str) -> int:
        """How many points."""
        return 1

    def job(self, _job_id: int) -> Any:
        """The job."""
        if not self.status:
            raise NotFound("no job", service="REST API")
        return self


class Storing:
    """Starts processes that store manifests, or something.

    Attributes:
        reports: What each of them says; None for one that cannot be started.
        stored: The manifests, and what was known of each.
    """

    def __init__(self, *reports: dict[str, Any] | None) -> None:
        self.reports = list(reports)
        self.stored: list[tuple[bytes, int]] = []

    def start_record(
        self, manifest: int, *, lost_lines: int, points: Mapping[str, int] | None
    ) -> tuple[ProcessHandle, int]:
        """Start one."""
        assert points is not None
        with os.fdopen(os.dup(manifest), "rb") as file:
            self.stored.append((file.read(), lost_lines))
        report = self.reports.pop(0)
        if report is None:
            raise RunnerError("there is no fork server")
        ours, theirs = os.pipe()
        os.write(theirs, json.dumps(report).encode())
        os.close(theirs)
        return ProcessHandle(1), ours

    def signal(self, _process: ProcessHandle, _signum: int) -> None:
        """Nothing: they have ended."""


def _records(folder: Path, api: Lines, launcher: Storing) -> Records:
    return Records(
        PendingRecords(folder, api=API),
        api=cast("DioptraApi", api),
        launcher=cast("Launcher", launcher),
        pace=0.001,
    )


@pytest.mark.parametrize(
    ("texts", "lost"),
    [
        (["b 1", "c 2", "d 3", "e the end"], 0),
        (["b 1", "d 3", "e the end"], 1),
        (["b 1", "c 2"], 2),
        ([], 4),
        # Of an attempt that nobody here knows of: as many lines, but not these.
        (["a other", "b 1", "c 2", "d 3"], 1),
        (["a other", "b 1", "c 2", "d 3", "e the end", "f later"], 0),
    ],
)
def test_lost_lines_are_counted(texts: list[str], lost: int) -> None:
    """What others have written makes up for none of ours."""
    log = LOG
    if texts and texts[0].startswith("a"):
        log = LogFacts(
            lines=3, segments=(*LOG.segments, LogSegment(worker="v", attempt=2))
        )
    api = cast("DioptraApi", Lines(*texts))
    assert count_lost_lines(api, 7, log, end="e") == lost


def test_a_manifest_is_stored_and_goes(tmp_path: Path) -> None:
    """It reaches the process as it was kept, with what the API lacks."""
    storing = Storing({"receipt": "complete", "complete": True})
    with _records(tmp_path, Lines("x"), storing) as records:
        path = records.keep(7, end="e", manifest=example().to_bytes())
        assert path is not None
        records.store(path)
    assert storing.stored == [(example().to_bytes(), 2)]
    assert not path.exists()


def test_what_fails_is_tried_again(tmp_path: Path) -> None:
    """A store that is away, a fork server that is not there, an API that is away."""
    good = {"receipt": "complete", "complete": True}
    storing = Storing(None, {}, {"error": "away"}, good)
    api = Lines()
    api.away = True
    with _records(tmp_path, api, storing) as records:
        path = records.keep(7, end="e", manifest=example().to_bytes())
        assert path is not None
        records.store(path)
        threading.Timer(0.2, setattr, [api, "away", False]).start()
        until(lambda: not path.exists())
    assert len(storing.stored) == 4


class Unswept(PendingRecords):
    """Manifests of which no sweep finds any, as if all had just been written."""

    def left(self, *, age: float) -> Iterator[Path]:
        """None."""
        del age
        return iter(())


def test_what_fails_once_is_tried_again_soon(tmp_path: Path) -> None:
    """A receipt that fails at the API, then at MLflow, waits for no sweep."""
    good = {"receipt": "complete", "complete": True}
    storing = Storing({"error": "the database is locked"}, good)
    api = Lines()
    api.away = True
    records = Records(
        Unswept(tmp_path, api=API),
        api=cast("DioptraApi", api),
        launcher=cast("Launcher", storing),
        pace=0.01,
    )
    with records:
        path = records.keep(7, end="e", manifest=example().to_bytes())
        assert path is not None
        records.store(path)
        threading.Timer(0.05, setattr, [api, "away", False]).start()
        until(lambda: not path.exists())
    assert len(storing.stored) == 2


def test_trouble_with_one_holds_up_no_other(tmp_path: Path) -> None:
    """Of two that were left, the second is stored though the first cannot be yet."""
    left = _records(tmp_path, Lines(), Storing())
    for job_id in (7, 8):
        left.keep(job_id, end="", manifest=example().to_bytes())

    class First(Lines):
        asked = 0

        def count_log(self, _job_id: int) -> int:
            self.asked += 1
            if self.asked == 1:
                raise ServiceUnavailable("of this job only", service="REST API")
            return 0

    storing = Storing(*[{"receipt": "complete", "complete": True}] * 2)
    with _records(tmp_path, First(), storing):
        until(lambda: not list(tmp_path.glob("records/*.json")))
    assert len(storing.stored) == 2


def test_what_a_lost_worker_left_is_stored_once_the_job_is_over(tmp_path: Path) -> None:
    """Not before: whoever has the job may yet end it otherwise."""
    kept = _records(tmp_path, Lines(), Storing()).keep(
        7, end="", manifest=example().to_bytes()
    )
    assert kept is not None
    api, storing = Lines(), Storing({"receipt": "complete"})
    api.status = "started"
    with _records(tmp_path, api, storing):
        threading.Timer(0.3, setattr, [api, "status", "finished"]).start()
        until(lambda: not kept.exists())
    assert api.status == "finished"
    assert len(storing.stored) == 1


def test_the_manifest_of_a_job_that_is_gone_goes(tmp_path: Path) -> None:
    """Nobody could look at it."""
    kept = _records(tmp_path, Lines(), Storing()).keep(
        7, end="", manifest=example().to_bytes()
    )
    assert kept is not None
    api = Lines()
    api.status = ""
    with _records(tmp_path, api, Storing()):
        until(lambda: not kept.exists())


def test_a_run_that_was_deleted_is_given_up(tmp_path: Path) -> None:
    """MLflow says so, and nobody asks it again."""
    storing = Storing({"error": "no such run", "over": True})
    with _records(tmp_path, Lines(), storing) as records:
        path = records.keep(7, end="e", manifest=example().to_bytes())
        assert path is not None
        records.store(path)
        until(lambda: not path.exists())
