"""What ``dioptra-worker jobs`` does to jobs of the real platform."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from tests.plugins.testbed import Entrypoint, Platform, platform_of_a_test
from tests.plugins.until import until
from tests.plugins.worker_process import worker

if TYPE_CHECKING:
    from pathlib import Path

    import redis
    from tests.plugins.clients import MlflowReader
    from tests.plugins.people import Person

    from dioptra_worker.tools.local import LocalStack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SOURCE = """
@pyplugs.register
def hold(path):
    print("holding")
    while not Path(path).exists():
        time.sleep(0.05)
    print("let go")


@pyplugs.register
def tell(name, note="none"):
    print("told", name, note)
    return name


@pyplugs.register
def boom():
    raise ValueError("no such luck")
"""


platform = platform_of_a_test


@pytest.fixture(name="holding")
def _holding(platform: Platform, tmp_path: Path) -> Entrypoint:
    """An entrypoint whose jobs run until there is a file."""
    return platform.entrypoint(SOURCE, {"held": {"hold": [str(tmp_path / "go")]}})


def test_submit_and_wait(
    platform: Platform, person: Person, stack: LocalStack, tmp_path: Path
) -> None:
    """A job is submitted by names, awaited, and its fate is the exit code."""
    graph = {"told": {"tell": ["$name"]}}
    entrypoint = platform.entrypoint(SOURCE, graph, parameters={"name": "World"})
    broken = platform.entrypoint(SOURCE, {"breaking": {"boom": []}})
    experiment = platform.experiment_name
    place = ("--experiment", experiment, "--queue", platform.queue, "--json")
    job = person.json("jobs", "submit", entrypoint.name, *place, "-P", "name=Ada")["id"]
    by_id = person.json("jobs", "submit", broken.id, *place)["id"]
    late = person.call("jobs", "wait", "--timeout", 0.2, job)
    assert late.returncode == 1
    assert f"job {job} is still queued after 0.2 s" in late.stderr
    with worker(stack.environment(), tmp_path, platform.queue):
        assert person.call("jobs", "wait", job).returncode == 0
        failed = person.call("jobs", "wait", by_id, "--json")
    assert failed.returncode == 1
    assert '"failed"' in failed.stdout
    assert "told Ada none" in platform.text(job)


def test_submit_what_is_not_there(platform: Platform, person: Person) -> None:
    """What does not exist is named, with what is near, and nothing is submitted."""
    entrypoint = platform.entrypoint(
        SOURCE, {"told": {"tell": ["$name"]}}, parameters={"name": "World"}, own=True
    )
    experiment = platform.experiment_name
    at = ("--experiment", experiment)
    for words, told in (
        ((f"{entrypoint.name}x", *at), f"there is {entrypoint.name!r}"),
        (
            (entrypoint.name, *at, "-P", "nam=x"),
            "has no parameter 'nam': it has 'name'",
        ),
        ((entrypoint.name, *at), "needs a queue"),
        ((entrypoint.name, *at, "--queue", "nowhere"), "no queue 'nowhere'"),
        ((entrypoint.name, *at, "--artifact", "x=1"), "no artifact parameter 'x'"),
    ):
        answer = person.call("jobs", "submit", *words)
        assert answer.returncode == 1, answer
        assert told in answer.stderr
        assert "Traceback" not in answer.stderr
    for wrong in (("-P", "name"), ("--artifact", "x=y"), ("-P", "a=1", "-P", "a=2")):
        assert person.call("jobs", "submit", "x", *at, *wrong).returncode == 2
    assert person.json("jobs", "list", "--queue", platform.queue, "--json") == []


def test_rerun(
    platform: Platform, person: Person, stack: LocalStack, tmp_path: Path
) -> None:
    """A job runs once more with its snapshot, values and inputs; the log tells so."""
    producer = platform.entrypoint(
        SOURCE,
        {"told": {"tell": ["a note"]}},
        artifact_outputs={"note": {"contents": "$told", "task": {"name": "Text"}}},
    )
    consumer = platform.entrypoint(
        SOURCE,
        {"told": {"tell": ["$name", "$note"]}},
        parameters={"name": "World"},
        artifact_inputs={"note": ["note"]},
    )
    with worker(stack.environment(), tmp_path, platform.queue):
        first = platform.run(producer)
        note = platform.artifacts(first)["note"]
        given = {"note": {"id": note["id"], "snapshotId": note["snapshot"]}}
        job = platform.submit(
            consumer, values={"name": "Ada"}, artifacts=given, timeout="7m"
        )
        platform.change(consumer, graph={"told": {"tell": ["$name"]}})
        again = person.json("jobs", "rerun", job, "--json")["id"]
        assert platform.wait(again) == "finished"
    old, new = platform.job(job), platform.job(again)
    assert again != job
    for key in ("entrypoint", "queue", "experiment", "values", "artifactValues"):
        assert new[key] == old[key]
    assert new["timeout"] == "7m"
    assert "told Ada a note" in platform.text(again)


def test_rerun_with_swaps(
    platform: Platform, person: Person, stack: LocalStack, tmp_path: Path
) -> None:
    """A job runs once more with the choices that it was submitted with, and inputs."""
    producer = platform.entrypoint(
        SOURCE,
        {"told": {"tell": ["a note"]}},
        artifact_outputs={"note": {"contents": "$told", "task": {"name": "Text"}}},
    )
    choices = {"one": {"tell": ["one", "$note"]}, "two": {"tell": ["$name", "$note"]}}
    graph = {
        "first": {"?how": {"?outputs": ["name"], **choices}},
        "last": {
            "?who": {"?outputs": [], "boom": {"boom": []}, "hold": {"hold": ["/"]}}
        },
        "told": {"tell": ["$first.name"]},
    }
    entrypoint = platform.entrypoint(
        SOURCE, graph, parameters={"name": "World"}, artifact_inputs={"note": ["note"]}
    )
    experiment = platform.experiment_name
    place = ("--experiment", experiment, "--queue", platform.queue, "--json")
    with worker(stack.environment(), tmp_path, platform.queue):
        first = platform.run(producer)
        note = platform.artifacts(first)["note"]["id"]
        given = ("-P", "name=Ada", "--artifact", f"note={note}")
        swaps = ("--swap", "how=two", "--swap", "who=hold")
        order = (entrypoint.name, *place, *given, *swaps)
        job = person.json("jobs", "submit", *order)["id"]
        assert platform.wait(job) == "finished", platform.text(job)
        again = person.json("jobs", "rerun", job, "--json")["id"]
        assert platform.wait(again) == "finished", platform.text(again)
    old, new = platform.job(job), platform.job(again)
    chosen = {swap["swapName"]: swap["taskAlias"] for swap in new["swaps"]}
    assert chosen == {"how": "two", "who": "hold"}
    kept = ("entrypoint", "queue", "experiment", "values", "artifactValues", "swaps")
    for key in kept:
        assert new[key] == old[key]
    assert "told Ada a note" in platform.text(again)
    shown = person.told("jobs", "show", again)
    assert "how = two" in shown
    assert "who = hold" in shown


def test_swaps_that_are_not_there(platform: Platform, person: Person) -> None:
    """A swap that is missing or misspelt is named with its choices, by both commands.

    Nothing is submitted then, and no experiment is made.
    """
    choices = {"loud": {"tell": ["loud"]}, "quiet": {"tell": ["quiet"]}}
    graph = {"told": {"?how": {"?outputs": ["name"], **choices}}}
    entrypoint = platform.entrypoint(SOURCE, graph)
    name = f"{entrypoint.name}-new"
    place = ("--experiment", name, "--queue", platform.queue)
    for words, told in (
        ((), "swap 'how' is open: choose 'loud' or 'quiet', such as --swap how=loud\n"),
        (("--swap", "ho=loud"), "has no swap 'ho': it has 'how'\n"),
        (("--swap", "how=quit"), "swap 'how' has no choice 'quit': choose 'quiet'\n"),
    ):
        answer = person.call("jobs", "submit", entrypoint.name, *place, *words)
        assert answer.returncode == 1, answer
        assert answer.stderr.endswith(told)
    assert not platform.api.get("/experiments/", search=f'name:"{name}"')["data"]
    order = (entrypoint.name, *place, "--swap", "how=quiet", "--json")
    job = person.json("jobs", "submit", *order)["id"]
    platform.change(entrypoint, graph={"told": {"tell": ["Ada"]}})
    answer = person.call("jobs", "rerun", "--latest", job)
    assert answer.returncode == 1
    assert f"has changed since job {job}" in answer.stderr
    assert "has no swap 'how': it has none" in answer.stderr
    assert person.json("jobs", "rerun", job, "--json")["id"] > job


def test_requeue_after_kill(
    platform: Platform,
    person: Person,
    stack: LocalStack,
    holding: Entrypoint,
    mlflow_reader: MlflowReader,
    tmp_path: Path,
) -> None:
    """A job whose worker was killed runs again under its id, on the next worker."""
    job = platform.submit(holding)
    options = ("--queue", platform.queue)
    with worker(stack.environment(), tmp_path, platform.queue) as running:
        platform.wait_for_line(job, "holding", seconds=60)
        refused = person.call("jobs", "requeue", job)
        assert refused.returncode == 1
        assert "--force stops it first" in refused.stderr
        assert platform.status(job) == "started"
        run = platform.run_id(job)
        running.send(signal.SIGKILL)
        running.wait()
    assert "next one" in person.told("jobs", "requeue", job)
    assert platform.status(job) == "queued"
    (row,) = person.json("jobs", "list", *options, "--json")
    assert (row["id"], row["status"]) == (job, "queued")
    (tmp_path / "go").touch()
    with worker(stack.environment(), tmp_path, platform.queue) as running:
        assert platform.wait(job) == "finished"
        # By any worker of the stack: one sweeps for all.
        until(lambda: mlflow_reader.status(run) == "KILLED")
    text = platform.text(job)
    assert "requeued by" in text
    assert text.count("let go") == 1
    statuses = [
        c["status"] for c in person.json("jobs", "show", job, "--json")["timeline"]
    ]
    assert statuses == ["queued", "started", "queued", "started", "finished"]


def test_requeue_by_force(
    platform: Platform,
    person: Person,
    stack: LocalStack,
    holding: Entrypoint,
    tmp_path: Path,
) -> None:
    """By force a job that runs is stopped first; one that has finished runs again."""
    job = platform.submit(holding)
    with worker(stack.environment(), tmp_path, platform.queue) as running:
        platform.wait_for_line(job, "holding", seconds=60)
        person.told("jobs", "requeue", "--force", job)
        (tmp_path / "go").touch()
        assert platform.wait(job) == "finished"
        running.wait_for(f"job {job} finished")
        refused = person.call("jobs", "requeue", job)
        assert refused.returncode == 1
        assert "has finished" in refused.stderr
        person.told("jobs", "requeue", "--force", job)
        running.wait_for(f"job {job} finished")
        assert platform.wait(job) == "finished"
    assert platform.text(job).count("let go") >= 1


def test_cancel_queued(
    platform: Platform, person: Person, redis_client: redis.Redis
) -> None:
    """A job that waits is taken out of its queue and has failed; once."""
    job = platform.submit(platform.entrypoint(SOURCE, {"breaking": {"boom": []}}))
    queue = f"rq:queue:{platform.queue}"
    assert redis_client.lrange(queue, 0, -1) == [str(job).encode()]
    assert "is cancelled" in person.told("jobs", "cancel", job)
    assert redis_client.lrange(queue, 0, -1) == []
    assert not redis_client.exists(f"rq:job:{job}", f"dioptra-worker:lease:{job}")
    assert platform.status(job) == "failed"
    assert "cancelled by worker" in platform.text(job)
    again = person.call("jobs", "cancel", job)
    assert again.returncode == 1
    assert again.stderr == f"job {job} has failed already\n"


def test_cancel_running(
    platform: Platform,
    person: Person,
    stack: LocalStack,
    holding: Entrypoint,
    mlflow_reader: MlflowReader,
    tmp_path: Path,
) -> None:
    """A job that runs is stopped by its worker, which then takes the next one."""
    job = platform.submit(holding)
    with worker(stack.environment(), tmp_path, platform.queue) as running:
        platform.wait_for_line(job, "holding", seconds=60)
        assert person.json("jobs", "cancel", job, "--json")["status"] == "failed"
        assert platform.status(job) == "failed"
        assert running.process.poll() is None
        graph = {"told": {"tell": ["next"]}}
        assert platform.wait(platform.submit(platform.entrypoint(SOURCE, graph))) == (
            "finished"
        )
    assert "cancelled by" in platform.text(job)
    assert "let go" not in platform.text(job)
    assert mlflow_reader.status(platform.run_id(job)) == "KILLED"


def test_cancel_after_kill(
    platform: Platform,
    person: Person,
    stack: LocalStack,
    holding: Entrypoint,
    tmp_path: Path,
) -> None:
    """A job whose worker was killed can be cancelled although nobody runs it."""
    job = platform.submit(holding)
    with worker(stack.environment(), tmp_path, platform.queue) as running:
        platform.wait_for_line(job, "holding", seconds=60)
        running.send(signal.SIGKILL)
        running.wait()
    assert person.told("jobs", "cancel", job)
    assert platform.status(job) == "failed"


def test_without_queues(platform: Platform, person: Person) -> None:
    """Without the address of the queues, or with a wrong one, a sentence says so."""
    job = platform.submit(platform.entrypoint(SOURCE, {"breaking": {"boom": []}}))
    for value, code, sentence in (
        ("", 2, "RQ_REDIS_URI is missing"),
        ("nonsense", 2, "RQ_REDIS_URI is no address of a Redis"),
        ("redis://127.0.0.1:9", 1, "Redis cannot be reached"),
    ):
        for command in ("cancel", "requeue"):
            answer = person.call("jobs", command, job, RQ_REDIS_URI=value)
            assert answer.returncode == code, answer
            assert sentence in answer.stderr
            assert answer.stderr.count("\n") == 1
    assert platform.status(job) == "queued"
    missing = person.call("jobs", "cancel", 999_999)
    assert missing.returncode == 1
    assert missing.stderr.startswith("there is no job 999999")
