"""A worker that cannot prepare jobs: how often it tries, and how long it pauses."""

from __future__ import annotations

from dioptra_worker.daemon.health.probes import why_not_ready
from dioptra_worker.daemon.health.state import TROUBLE_SHOWN, HealthState
from dioptra_worker.daemon.job.own_trouble import LONGEST_PAUSE, MAX_TRIES, OwnTrouble


def test_pauses_grow_and_end() -> None:
    """Each pause is twice the last one, up to a limit; one job that runs ends them."""
    trouble = OwnTrouble(HealthState())
    pauses = []
    for job in range(8):
        trouble.note(job, "no space")
        pauses.append(trouble.pause)
    assert pauses[:4] == [1.0, 2.0, 4.0, 8.0]
    assert pauses[-1] == LONGEST_PAUSE
    trouble.note_well(9)
    assert trouble.pause == 0.0
    trouble.note(1, "no space")
    assert trouble.pause == 1.0


def test_one_job_is_not_tried_for_ever() -> None:
    """What is short for one job only ends that job, however others do."""
    trouble = OwnTrouble(HealthState())
    tries = 1
    while trouble.may_try_again(7):
        trouble.note(7, "no space")
        trouble.note_well(8)
        tries += 1
    assert tries == MAX_TRIES
    trouble.note_well(7)
    assert trouble.may_try_again(7)


def test_it_is_shown() -> None:
    """The worker is not ready, and says why, until a job runs or none comes long."""
    time = [0.0]
    health = HealthState(clock=lambda: time[0])
    health.registered("w", ["q"])
    trouble = OwnTrouble(health)

    def says() -> str:
        health.tick()
        return " ".join(why_not_ready(health.snapshot()))

    trouble.note(7, "no space")
    assert "jobs cannot be prepared here: no space" in says()
    assert health.snapshot().state == "waiting"
    trouble.note_well(8)
    assert "prepared" not in says()
    trouble.note(7, "no space")
    time[0] += TROUBLE_SHOWN
    assert "prepared" not in says()
