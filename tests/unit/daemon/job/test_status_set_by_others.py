"""A job whose status somebody sets in the REST API while a worker has it.

Handlers, attempts and journals are real; what they ask is simulated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest
from tests.plugins.until import until
from tests.unit.daemon.job.simulated_platform import OUTPUTS
from tests.unit.daemon.job.simulated_workers import Event, Life, World

if TYPE_CHECKING:
    from pathlib import Path

Set = Literal["set finished", "set failed", "set reset"]


def _set_while_it_runs(what: Set) -> Life:
    event = Event(where="stored", nth=0, what=what)
    return Life(machine="here", end="waits", event=event)


@pytest.mark.parametrize("status", ["finished", "failed"])
def test_ended_while_it_runs(
    status: Literal["finished", "failed"], tmp_path: Path
) -> None:
    """It is stopped, its log says why, RQ has its status, its results are ignored."""
    world = World(tmp_path, [])
    worker = world.live(_set_while_it_runs("set " + status))  # type: ignore[arg-type]
    assert worker.fate == status
    assert [each for each, _ in world.api.statuses] == ["started", status]
    assert world.api.artifacts == []
    assert world.api.messages()[-1] == (
        f"the job was stopped: its status was set to {status!r} in the REST API, and"
        " not by this worker"
    )
    assert (world.queued, world.redis.owner, world.redis.attempts) == (0, None, [])
    assert world.journals() == []


def test_reset_while_it_runs(tmp_path: Path) -> None:
    """It is stopped and begins anew, as if for the first time; its log says so."""
    world = World(tmp_path, [])
    world.on_moment["stored"] = lambda: until(lambda: world.api.run_id is not None)
    worker = world.live(_set_while_it_runs("set reset"))
    world.on_moment.clear()
    assert (worker.fate, world.queued) == ("given back", 1)
    assert (world.redis.owner, world.redis.attempts) == (None, [])
    assert world.api.messages()[-1] == (
        "the job was stopped: its status was reset in the REST API, and not by this"
        " worker"
    )
    assert world.live(Life(machine="there")).fate == "finished"
    assert len(world.api.artifacts) == len(OUTPUTS)
    assert {uri.split("/")[3] for uri in world.api.artifacts} == {world.api.run_id}


def test_deleted_while_it_runs(tmp_path: Path) -> None:
    """RQ keeps no record of a job that the API has not."""
    world = World(tmp_path, [])
    world.on_moment["stored"] = lambda: setattr(world.api, "deleted", True)
    worker = world.live(Life(machine="here", end="waits"))
    assert (worker.fate, world.is_removed) == ("dropped", True)


def test_deleted_before_its_turn(tmp_path: Path) -> None:
    """Neither of one that was deleted while it waited."""
    world = World(tmp_path, [])
    world.api.deleted = True
    assert world.live(Life(machine="here")).fate is None
    assert world.is_removed


@pytest.mark.parametrize(
    ("what", "fate"), [("set failed", "failed"), ("set reset", "given back")]
)
def test_set_while_its_end_is_told(what: Set, fate: str, tmp_path: Path) -> None:
    """A status that was set meanwhile is left as it is, and RQ has the same."""
    world = World(tmp_path, [])
    event = Event(where="post_log", nth=0, what=what)
    worker = world.live(Life(machine="here", event=event))
    assert worker.fate == fate
    assert world.api.status == ("failed" if fate == "failed" else "queued")
    assert world.api.messages()[-1].endswith(
        "in the REST API, and not by this worker: this worker leaves it so"
    )


def test_set_while_it_was_parked(tmp_path: Path) -> None:
    """Who takes up a job that was parked, and is over by now, tells RQ so."""
    world = World(tmp_path, [])
    life = Life(machine="here", broken="register_artifact")
    assert world.live(life).fate == "parked"
    world.api.status = "failed"
    worker = world.live(Life(machine="there"))
    assert (worker.fate, worker.dropped_as) == (None, "failed")
