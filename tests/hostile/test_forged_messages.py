"""What a plugin writes to the runner's socket does nothing to what is not its job's.

Attack: messages in the runner's name: another MLflow run, another job's artifact, an
end before the end, a step that the task graph has not, metrics that the API refuses,
answers that nobody asked for.
Promise: the first run is the job's run and no other is closed; what is not the job's
own is ignored with a line; the job goes on and ends as it does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.hostile.conftest import Ran

SAY = """
    import dioptra_worker.protocol.messages as m
    from dioptra_worker.protocol.codec import encode
    from dioptra_worker.sdk.worker.bridge import installed

    def say(*messages):
        installed()._channel._sock.sendall(b"".join(map(encode, messages)))
"""


def test_forged_messages_change_nothing(run_task: Callable[[str], Ran]) -> None:
    """The job finishes, with its own run and metric, and its log says what it tried."""
    ran = run_task(f"""{SAY}
    @pyplugs.register
    def act():
        say(
            m.RunStarted(run_id="f" * 32),
            m.RunStarted(run_id="../../other"),
            m.StepStarted(step="forged", task="act", index=1, total=1),
            m.StepEnded(step="forged", seconds=1.0),
            m.ServiceState(service="the forged service", away=True),
            m.Metric(name="no name", value=1.0, step=0),
            m.Metric(name="loss", value="forged", step=0),
            m.Metric(name="loss", value=0.5, step=1),
            m.SessionReply(request_id=1, url="http://forged", cookies=dict()),
            m.BatchClaimReply(request_id=1, outcome="granted"),
        )
    """)
    assert ran.status == "finished"
    assert ran.code == 0
    assert ran.metrics["loss"]["value"] == 0.5
    assert list(ran.metrics) == ["loss"]
    assert ran.text.count("in the name of the job's runner is ignored") >= 7
    assert "the job has its MLflow run, and 'ffff" in ran.text


def test_an_end_is_said_once(run_task: Callable[[str], Ran]) -> None:
    """A second end does not replace the first, whoever says either."""
    ran = run_task(f"""{SAY}
    @pyplugs.register
    def act():
        say(
            m.RunnerResult(ending="failed", reason="x" * 100_000, run_closed=True),
            m.RunnerResult(ending="finished", reason="", run_closed=True),
        )
    """)
    assert ran.status == "failed"
    assert "x" * 9_000 in ran.text
    assert "x" * 10_001 not in ran.text


def test_a_flood_of_what_is_not_its_own_fails_the_job(
    run_task: Callable[[str], Ran],
) -> None:
    """A job that goes on forging is stopped for it, at once and with a sentence."""
    ran = run_task(f"""{SAY}
    @pyplugs.register
    def act():
        while True:
            say(m.RunStarted(run_id="f" * 32))
    """)
    assert ran.status == "failed"
    assert "more than 1,000 messages that are not its own to send" in ran.text
    assert ran.text.count("is ignored") <= 50
