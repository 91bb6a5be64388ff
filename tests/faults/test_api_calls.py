"""Every call of a job's life goes wrong in every way; the job ends as if none had."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
from tests.plugins import fault_proxy as proxying
from tests.plugins.fault_proxy import FaultProxy, Rule, answer, fault_proxy
from tests.plugins.outcomes import FINISHED
from tests.plugins.worker_process import WorkerProcess, worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.plugins.clients import MlflowReader
    from tests.plugins.fault_proxy import Exchange
    from tests.plugins.fault_report import FaultReport
    from tests.plugins.outcomes import Witness
    from tests.plugins.testbed import Entrypoint, Platform

    from dioptra_worker.tools.local import LocalStack

pytestmark = pytest.mark.timeout(300)

LINES = 30
STEPS = 3
TIMEOUT = 5.0
"""Seconds after which this daemon breaks a silent request off.

A busy API may take longer, and does what it was asked though nobody waits for it any
more: the daemon looks whether an artifact arrives before it registers it again.
"""

SOURCE = """
from dioptra.sdk.utilities.auth_client import get_authenticated_worker_client


@pyplugs.register
def give():
    return "from another job"


@pyplugs.register
def work(folder, lines, steps, given):
    job = os.environ["__JOB_ID"]
    Path(folder, f"run-{job}-{time.time_ns()}").touch()
    client = get_authenticated_worker_client(LOG, "json")
    assert client.jobs.get_by_id(job)["status"] == "started"
    for number in range(lines):
        print("line", number)
    for step in range(steps):
        client.jobs.append_metric_by_id(
            job_id=job,
            metric_name="seen",
            metric_value=float(step),
            metric_step=step,
        )
    return given + ", kept"
"""

CALLS = {
    "login": ("POST", r"/auth/login$", ""),
    "PUT started": ("PUT", r"/status$", "started"),
    "GET job": ("GET", r"/jobs/\d+$", ""),
    "GET config": ("GET", r"/jobs/\d+/config$", ""),
    "GET plugins/bundle": ("GET", r"/snapshots/\d+/plugins/bundle", ""),
    "GET artifactPlugins/bundle": ("GET", r"/artifactPlugins/bundle", ""),
    "GET artifactPlugins": ("GET", r"/artifactPlugins$", ""),
    "GET parameters": ("GET", r"/jobs/\d+/parameters$", ""),
    "GET artifactParameters": ("GET", r"/artifactParameters$", ""),
    "GET files/bundle": ("GET", r"/plugins/\d+/snapshots/\d+/files/bundle", ""),
    "GET artifact": ("GET", r"/artifacts/\d+$", ""),
    "GET contents": ("GET", r"/artifacts/\d+/snapshots/\d+/contents", ""),
    "POST mlflowRun": ("POST", r"/mlflowRun$", ""),
    "POST artifacts": ("POST", r"/artifacts/$", ""),
    "POST metrics": ("POST", r"/metrics$", ""),
    "POST log": ("POST", r"/log$", ""),
    "PUT finished": ("PUT", r"/status$", "finished"),
}
"""What a daemon asks of the REST API for one job: method, path, body."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """A way in which a call goes wrong.

    Attributes:
        action: What happens instead.
        row: Beside which row of the peer's it is shown.
        words: The fault in words.
        times: How often in a row, at each call.
        not_for: Calls where it means something else, which other tests are about.
        done: Whether the API has done what it was asked.
        lost_runs: How many MLflow runs are perhaps begun beside a claim that fails:
            one at most, however often it does.
    """

    action: Callable[[Exchange], None]
    row: str
    words: str
    times: int = 2
    not_for: tuple[str, ...] = ()
    done: bool = False
    lost_runs: int = 0


BUNDLES = ("GET plugins/bundle", "GET artifactPlugins/bundle", "GET files/bundle")
KINDS = {
    "500": Kind(answer(500), "9", "500"),
    "502": Kind(answer(502, html=True), "9", "502 with a page of HTML"),
    "503": Kind(answer(503, retry_after=1), "9b", "503 with Retry-After"),
    "429": Kind(answer(429, retry_after=1), "9b", "429 with Retry-After"),
    # A login that is refused is a wrong password.
    "401": Kind(answer(401), "9b", "401", times=1, not_for=("login",)),
    "drop": Kind(proxying.drop, "9", "a reset connection"),
    "lost answer": Kind(proxying.lose_answer, "9", "a lost answer", done=True),
    "cut short": Kind(proxying.cut_short, "9", "an answer cut short", done=True),
    "hang": Kind(proxying.hang, "9c", "silence", times=1, lost_runs=1),
    # A bundle or an artifact that is a page of HTML cannot be told from a broken one.
    "page": Kind(
        answer(200, html=True),
        "9",
        "200 and a page of HTML",
        not_for=(*BUNDLES, "GET contents", "login"),
    ),
}


@pytest.fixture(scope="module", name="proxy")
def _proxy(stack: LocalStack) -> Iterator[FaultProxy]:
    with fault_proxy(stack.environment()["DIOPTRA_API"]) as proxy:
        yield proxy


@pytest.fixture(scope="module", name="daemon")
def _daemon(
    stack: LocalStack,
    platform: Platform,
    proxy: FaultProxy,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[WorkerProcess]:
    endpoint = "MLFLOW_S3_ENDPOINT_URL"
    with (
        fault_proxy(stack.environment()[endpoint]) as store,
        worker(
            {**stack.environment(), "DIOPTRA_API": proxy.url, endpoint: store.url},
            tmp_path_factory.mktemp("worker"),
            platform.queue,
            settings={
                "DIOPTRA_WORKER_API_TIMEOUT": str(TIMEOUT),
                "DIOPTRA_WORKER_CACHE_SIZE": "0",  # so that every job makes every call
            },
        ) as running,
    ):
        # The artifact that jobs read is to come through the API.
        store.add(Rule("HEAD", r"/gift/", answer(403), times=1_000_000))
        yield running


@pytest.fixture(scope="module", name="given")
def _given(platform: Platform, daemon: WorkerProcess) -> dict[str, int]:
    """An artifact that the jobs read, from a job without any fault."""
    del daemon
    entrypoint = platform.entrypoint(
        SOURCE,
        {"giving": {"give": []}},
        artifact_outputs={"gift": {"contents": "$giving", "task": {"name": "Text"}}},
    )
    job = platform.submit(entrypoint)
    assert platform.wait(job) == "finished"
    gift = platform.artifacts(job)["gift"]
    return {"id": gift["id"], "snapshotId": gift["snapshot"]}


@pytest.fixture(scope="module", name="marks")
def _marks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("marks")


@pytest.fixture(scope="module", name="entrypoint")
def _entrypoint(platform: Platform, marks: Path) -> Entrypoint:
    graph = {"working": {"work": [str(marks), LINES, STEPS, "$gift"]}}
    return platform.entrypoint(
        SOURCE,
        graph,
        artifact_inputs={"gift": ["gift"]},
        artifact_outputs={"kept": {"contents": "$working", "task": {"name": "Text"}}},
        own=True,  # with a plugin that the worker has not fetched yet
    )


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name == "hang" else ())
        for name in KINDS
    ],
)
def test_every_call(
    name: str,
    platform: Platform,
    proxy: FaultProxy,
    daemon: WorkerProcess,
    given: dict[str, int],
    marks: Path,
    entrypoint: Entrypoint,
    witness: Witness,
    mlflow_reader: MlflowReader,
    fault_report: FaultReport,
) -> None:
    """A job whose every call goes wrong runs once and brings everything, once."""
    kind = KINDS[name]
    proxy.clear()
    # The session is forgotten, so that logging in is a part of the job, too.
    forgotten = proxy.add(Rule("PUT", r"/status$", answer(401)))
    rules = {
        call: proxy.add(_rule(call, kind)) for call in CALLS if call not in kind.not_for
    }
    job = platform.submit(entrypoint, artifacts={"gift": given})
    outcome = witness.outcome(job, says=f"line {LINES - 1}", seconds=200)
    assert outcome.statuses == FINISHED
    assert forgotten.hits == 1
    missed = {call: rule.hits for call, rule in rules.items() if rule.hits < rule.times}
    assert missed == {}, proxy.calls
    assert len(list(marks.glob(f"run-{job}-*"))) == 1
    _check_results(platform, job)
    runs = _runs_of(mlflow_reader, job)
    assert runs.count("FINISHED") == 1
    lost = [status for status in runs if status != "FINISHED"]
    assert lost in [["KILLED"] * count for count in range(kind.lost_runs + 1)]
    daemon.wait_for(f"job {job} finished")
    assert list(daemon.work_dir.glob("job-*")) == []
    often = "once" if kind.times == 1 else "twice in a row"
    fault = f"each of {len(rules)} calls of a job meets {kind.words} {often}"
    fault_report.job(kind.row, fault, outcome)


def test_next_job(
    platform: Platform,
    proxy: FaultProxy,
    daemon: WorkerProcess,
    given: dict[str, int],
    entrypoint: Entrypoint,
) -> None:
    """After all of that the same daemon runs the next job without a warning."""
    proxy.clear()
    before = daemon.log.count("waiting")
    job = platform.submit(entrypoint, artifacts={"gift": given})
    assert platform.wait(job) == "finished"
    _check_results(platform, job)
    daemon.wait_for(f"job {job} finished")
    assert daemon.log.count("waiting") == before
    assert daemon.process.poll() is None


def test_answers_of_another_shape(
    platform: Platform,
    proxy: FaultProxy,
    daemon: WorkerProcess,
    given: dict[str, int],
    entrypoint: Entrypoint,
    witness: Witness,
    fault_report: FaultReport,
) -> None:
    """Good JSON that is no answer of the API is asked for again, and breaks nothing."""
    proxy.clear()
    rules = [
        proxy.add(Rule(*CALLS[call][:2], answer(200), times=2))
        for call in ("GET job", "GET artifactParameters")
    ]
    job = platform.submit(entrypoint, artifacts={"gift": given})
    outcome = witness.outcome(job, says=f"line {LINES - 1}", seconds=200)
    assert outcome.statuses == FINISHED
    assert [rule.hits for rule in rules] == [2, 2]
    _check_results(platform, job)
    assert "Traceback" not in daemon.log
    fault_report.job("9", "two calls meet 200 and JSON of another shape", outcome)


def test_login_at_the_start(
    platform: Platform, stack: LocalStack, proxy: FaultProxy, tmp_path: Path
) -> None:
    """A daemon whose first logins go wrong waits, says so once, and starts."""
    proxy.clear()
    kinds = [kind for name, kind in KINDS.items() if name not in {"401", "hang"}]
    rules = [proxy.add(Rule("POST", r"/auth/login$", kind.action)) for kind in kinds]
    with worker(
        {**stack.environment(), "DIOPTRA_API": proxy.url},
        tmp_path,
        platform.queue,
        ready=False,
        settings={"DIOPTRA_WORKER_API_TIMEOUT": str(TIMEOUT)},
    ) as running:
        running.wait_for("listens on", seconds=120)
        assert [rule.hits for rule in rules] == [1] * len(rules)
        assert running.log.count("waiting: ") == 1
        assert "Traceback" not in running.log


def _rule(call: str, kind: Kind) -> Rule:
    method, path, body = CALLS[call]
    # A run or an artifact that the API has is found, and not sent again.
    found = kind.done and call in {"POST mlflowRun", "POST artifacts"}
    once = call == "login" or found
    times = 1 if once else kind.times
    return Rule(method, path, kind.action, times, body)


def _check_results(platform: Platform, job: int) -> None:
    """Everything that the job made is there, in order, and nothing of it twice."""
    log = platform.log(job)
    said = [line.text for line in log if line.logger == "stdout"]
    assert said == [f"line {number}" for number in range(LINES)]
    assert sum("runs entrypoint" in line.text for line in log) == 1
    metrics = platform.api.get(f"/jobs/{job}/metrics/seen/snapshots", pageLength=100)
    assert sorted(entry["step"] for entry in metrics["data"]) == list(range(STEPS))
    assert len(platform.job(job)["artifacts"]) == 1
    kept = platform.artifacts(job)["kept"]
    assert platform.content(kept) == b"from another job, kept"


def _runs_of(mlflow: MlflowReader, job: int) -> list[str]:
    """The status of each MLflow run that was made for a job."""
    found = mlflow.search(f"tags.`dioptra.jobId` = '{job}'")
    return [run["info"]["status"] for run in found]
