"""The main loop takes an entry only while its worker could see it through."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self, cast

import pytest
from tests.plugins.until import until

from dioptra_worker.common.stop import StopRequests
from dioptra_worker.daemon import main_loop
from dioptra_worker.daemon.health.snapshot import API
from dioptra_worker.daemon.health.state import HealthState
from dioptra_worker.daemon.main_loop import MainLoop
from dioptra_worker.daemon.options import DaemonOptions
from dioptra_worker.errors import (
    LoginRefused,
    PlatformTooOld,
    ServiceError,
    ServiceUnavailable,
)

if TYPE_CHECKING:
    from dioptra_worker.common.stop import JobStop

LONG = 60.0
SOON = 10.0


@dataclass
class Platform:
    """Redis and the REST API, as far as the main loop asks them.

    Attributes:
        entries: What waits.
        is_suspended: What ``rq suspend`` has said.
        api_away: Whether the API does not answer.
        refusal: Why it refuses the worker, if it does.
        asked: What was asked, in order.
        handled: What was handled.
    """

    entries: list[str] = field(default_factory=lambda: ["an entry"])
    is_suspended: bool = False
    api_away: bool = False
    refusal: ServiceError | None = None
    asked: list[str] = field(default_factory=list)
    handled: list[str] = field(default_factory=list)

    def suspended(self) -> bool:
        """Whether all workers are to pause."""
        self.asked.append("suspended")
        return self.is_suspended

    def reach(self) -> None:
        """See whether the API is there."""
        self.asked.append("reach")
        if self.api_away:
            raise ServiceUnavailable("it is away", service="REST API")

    def check_platform(self) -> None:
        """See whether the API is new enough."""
        self.asked.append("version")
        if self.refusal is not None:
            raise self.refusal

    def dequeue(self) -> str | None:
        """Take an entry."""
        self.asked.append("dequeue")
        return self.entries.pop() if self.entries else None

    trouble = SimpleNamespace(pause=0.0)

    def handle(self, entry: str, stop: JobStop) -> bool:
        """Handle an entry."""
        del stop
        self.handled.append(entry)
        return True

    def watch(self) -> None:
        """Wait for an entry."""

    def pause(self) -> None:
        """Wait for none."""
        self.asked.append("pause")


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_loop, "SUSPENDED_CHECK_INTERVAL", 0.01)


class _Nothing:
    """Nothing is to be done between jobs."""

    def idle(self) -> None:
        """There is no job."""

    def busy(self) -> None:
        """There is one."""


class Running:
    """A main loop in a thread, as long as a block lasts or until its first job."""

    def __init__(self, platform: Platform) -> None:
        self.health = HealthState()
        self._stops = StopRequests()
        there = cast("Any", platform)
        loop = MainLoop(
            DaemonOptions(queues=("q",), max_jobs=1),
            api=there,
            rq=there,
            handler=there,
            queue_watcher=there,
            stops=self._stops,
            health=self.health,
            preloading=_Nothing(),
            shutdown_grace=0.0,
            kill_grace=0.0,
        )
        self._thread = threading.Thread(target=loop.run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stops.shut_down()
        self._thread.join(LONG)
        assert not self._thread.is_alive()


def test_an_entry_is_taken_and_handled() -> None:
    """With everything there, an entry is taken after a look at both services."""
    platform = Platform()
    with Running(platform):
        until(lambda: bool(platform.handled), seconds=SOON)
    assert platform.asked == ["suspended", "reach", "version", "dequeue", "pause"]


def test_no_entry_is_taken_while_the_api_is_away() -> None:
    """An entry stays in its queue as long as the API is away, and is taken then."""
    platform = Platform(api_away=True)
    with Running(platform):
        until(lambda: platform.asked.count("reach") >= 3, seconds=SOON)
        assert platform.entries == ["an entry"]
        assert "dequeue" not in platform.asked
        platform.api_away = False
        until(lambda: bool(platform.handled), seconds=SOON)


def test_no_entry_is_taken_while_workers_are_suspended() -> None:
    """An entry stays in its queue until ``rq resume``."""
    platform = Platform(is_suspended=True)
    with Running(platform):
        until(lambda: platform.asked.count("suspended") >= 5, seconds=SOON)
        assert "dequeue" not in platform.asked
        platform.is_suspended = False
        until(lambda: bool(platform.handled), seconds=SOON)


def test_no_entry_is_taken_by_a_worker_that_shuts_down() -> None:
    """A worker that is told to end while the API is away ends without an entry."""
    platform = Platform(api_away=True)
    with Running(platform):
        until(lambda: "reach" in platform.asked, seconds=SOON)
    assert platform.entries == ["an entry"]


@pytest.mark.parametrize("refused", [PlatformTooOld, LoginRefused])
def test_who_is_refused_meanwhile_takes_no_entry(refused: type[ServiceError]) -> None:
    """An entry stays in its queue until somebody has mended why the API refuses us."""
    platform = Platform(refusal=refused("not you", service=API))
    with Running(platform) as running:
        until(lambda: platform.asked.count("version") >= 3, seconds=SOON)
        assert "dequeue" not in platform.asked
        assert running.health.snapshot().waiting_for == (API,)
        platform.refusal = None
        until(lambda: bool(platform.handled), seconds=SOON)
        assert running.health.snapshot().waiting_for == ()
