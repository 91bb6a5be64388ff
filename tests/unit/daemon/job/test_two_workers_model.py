"""However many workers have a job, and lose it: one attempt is seen, and one end.

Of whatever becomes of workers, the model says: the artifacts of one attempt at most are
registered, and all of one that finished; one final status is set, after one last line;
a job at which the API fails alone stops nobody; nothing is left.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.unit.daemon.job.simulated_platform import OUTPUTS
from tests.unit.daemon.job.simulated_workers import Event, Life, World

from dioptra_worker.protocol.messages import OWN_LOGGER

ENDS = {"finished", "failed"}
END_LINE = re.compile(r"the job (finished$|failed: |was stopped: )")
MOST_LIVES = 8
"""Turns after which a job that is not over counts as stuck."""
WRITES = ["post_log", "register_artifact", "set_mlflow_run"]
TOLD = ["set_status finished", "set_status failed"]
BOOKS = ["begin", "pending_status", "record_pending_status"]
AFTERWARDS = ["end_job", "clear_pending_status", "release"]
MOMENTS = ["begun", "run", "planned", "ending"]
KILLS = ["killed before", "killed after"]

EVENTS = st.one_of(
    st.builds(
        Event,
        where=st.sampled_from([*WRITES, *TOLD, "record_pending_status"]),
        nth=st.sampled_from([0, 0, 0, 1, 2]),
        what=st.sampled_from([*KILLS, "superseded", "no answer", "shutdown"]),
    ),
    # These arrive whenever they do: a job with an end is not attempted again.
    st.builds(
        Event,
        where=st.sampled_from([*TOLD, "register_artifact"]),
        nth=st.sampled_from([0, 1]),
        what=st.just("overtaken"),
    ),
    st.builds(
        Event,
        where=st.sampled_from(
            [*BOOKS, *AFTERWARDS, "set_status started", "start_job", *MOMENTS]
        ),
        nth=st.sampled_from([0, 0, 1]),
        what=st.sampled_from([*KILLS, "superseded", "shutdown"]),
    ),
)
LIVES = st.builds(
    Life,
    machine=st.sampled_from(["here", "there"]),
    end=st.sampled_from(["finished", "finished", "failed"]),
    event=st.none() | EVENTS,
    broken=st.sampled_from([None, None, None, *WRITES[1:], "set_status finished"]),
    waited=st.sampled_from([False, False, False, True]),
)
A_KILL = Event(where="register_artifact", nth=0, what="killed after")
BETWEEN = Event(where="record_pending_status", nth=0, what="killed after")
HERE_ONLY = Event(where="record_pending_status", nth=0, what="killed before")
LINE_SAID = Event(where="set_status finished", nth=0, what="killed before")
PUT_LATE = Event(where="set_status finished", nth=0, what="overtaken")
OVERTAKEN = Event(where="register_artifact", nth=1, what="overtaken")


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(st.lists(LIVES, min_size=1, max_size=3))
@example([Life(machine="here", event=A_KILL), Life(machine="there")])
@example([Life(machine="here", event=BETWEEN), Life(machine="there")])
@example([Life(machine="here", event=BETWEEN), Life(machine="here")])
@example([Life(machine="here", event=LINE_SAID), Life(machine="there")])
@example([Life(machine="here", event=LINE_SAID), Life(machine="here")])
@example([Life(machine="here", event=OVERTAKEN), Life(machine="there")])
@example([Life(machine="here", broken="register_artifact"), Life(machine="there")])
@example(
    [
        Life(machine="here", event=HERE_ONLY),
        Life(machine="there", event=BETWEEN),
        Life(machine="here"),
    ]
)
@example([Life(machine="here", event=OVERTAKEN, waited=True)])
@example(
    [
        Life(machine="here", broken="set_status finished"),
        Life(machine="there", broken="set_mlflow_run", waited=True),
    ]
)
@example(
    [
        Life(machine="here", broken="set_status finished"),
        Life(machine="there", broken="register_artifact", waited=True),
    ]
)
@example(
    [
        Life(machine="here", broken="set_status finished"),
        Life(machine="there", broken="mlflow_run", waited=True),
    ]
)
@example(
    [
        Life(machine="here", event=PUT_LATE),
        Life(machine="here", waited=True),
    ]
)
def test_one_attempt_and_one_end(lives: list[Life]) -> None:
    """One attempt's artifacts at most, one last line, one final status."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), list(lives))
        while world.lives:
            life = world.lives.pop(0)
            worker = world.live(life)
            if life.broken and life.event is None and worker.fate is not None:
                # Another job can run by now: this one was not waited for.
                assert worker.fate in {"parked", "finished", "failed", "dropped"}
        for _ in range(MOST_LIVES):
            if world.api.status in ENDS and not world.queued:
                break
            world.live(Life(machine="elsewhere"))
        for _ in range(2):
            world.sweep()
        assert world.journals() == []
    _check(world)


def test_an_end_without_a_run() -> None:
    """An attempt that ended before it had an MLflow run counts, not the one before."""
    attempts = [
        Life(machine="here", event=HERE_ONLY),
        Life(machine="there", has_run=False, end="failed"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), attempts)
        while world.lives:
            world.live(world.lives.pop(0))
        world.sweep()
        assert world.journals() == []
    api = world.api
    assert (api.status, api.artifacts) == ("failed", [])
    at_work = [record.message for record in api.log if "at work" in record.message]
    assert len(at_work) == 2
    assert sum("[attempt 1] " in message for message in at_work) == 1


def _check(world: World) -> None:
    api = world.api
    ends = [(status, length) for status, length in api.statuses if status in ENDS]
    assert len(ends) == 1
    assert api.statuses[-1] == ends[0]
    ((end, length),) = ends

    said = [
        number
        for number, record in enumerate(api.log)
        if record.logger == OWN_LOGGER
        and END_LINE.match(record.message.partition("Z ")[2])
    ]
    assert len(said) == 1
    assert said[0] < length
    assert ("the job finished" in api.log[said[0]].message) == (end == "finished")
    assert len({record.message for record in api.log}) == len(api.log)

    attempts = {uri.split("/")[3] for uri in api.artifacts}
    assert attempts <= {api.run_id}
    assert len(set(api.artifacts)) == len(api.artifacts)
    if end == "finished":
        assert {uri.split("/")[4] for uri in api.artifacts} == set(OUTPUTS)

    assert world.redis.owner is None
