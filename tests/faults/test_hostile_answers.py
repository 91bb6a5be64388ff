"""The REST API sends what it should not: the job fails and says what it was."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import requests
from tests.plugins.fault_proxy import (
    Answered,
    FaultProxy,
    Rule,
    fault_proxy,
    hang,
    lose_answer,
)
from tests.plugins.outcomes import FINISHED
from tests.plugins.scene import Scene, assert_gone
from tests.plugins.testbed import Platform
from tests.plugins.until import PATIENCE, until
from tests.plugins.worker_process import WorkerProcess, worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.plugins.clients import ApiClient
    from tests.plugins.fault_proxy import Exchange
    from tests.plugins.fault_report import FaultReport
    from tests.plugins.outcomes import Witness

    from dioptra_worker.tools.local import LocalStack

pytestmark = pytest.mark.timeout(300)

SOURCE = """
@pyplugs.register
def act():
    print("the step ran")
"""
CONFIG = r"/jobs/\d+/config$"
BUNDLE = r"/snapshots/\d+/plugins/bundle"


@pytest.fixture(scope="module", name="proxy")
def _proxy(stack: LocalStack) -> Iterator[FaultProxy]:
    with fault_proxy(stack.environment()["DIOPTRA_API"]) as proxy:
        yield proxy


@pytest.fixture(scope="module", name="daemon")
def _daemon(
    stack: LocalStack,
    proxy: FaultProxy,
    platform: Platform,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[WorkerProcess]:
    with worker(
        {**stack.environment(), "DIOPTRA_API": proxy.url},
        tmp_path_factory.mktemp("worker"),
        platform.queue,
        settings={
            "DIOPTRA_WORKER_KILL_GRACE": "1",
            "DIOPTRA_WORKER_STATUS_POLL": "0.5",
            "DIOPTRA_WORKER_API_TIMEOUT": "120",
        },
    ) as running:
        yield running


@pytest.fixture(name="scene")
def _scene(
    platform: Platform, daemon: WorkerProcess, proxy: FaultProxy
) -> Iterator[Scene]:
    yield Scene(platform, daemon)
    proxy.clear()


def _submit(scene: Scene) -> int:
    # Not one that the worker knows: what it knows it does not ask for.
    return scene.platform.submit(
        scene.platform.entrypoint(SOURCE, {"acting": {"act": []}}, own=True)
    )


def _body(body: bytes, kind: str = "application/json") -> Callable[[Exchange], None]:
    """Answer with a body of one's own, as if all were well."""
    return lambda exchange: exchange.reply(
        Answered(200, [("Content-Type", kind)], body)
    )


def _changed(change: Callable[[Any], Any]) -> Callable[[Exchange], None]:
    """Answer with what the API says, changed."""

    def act(exchange: Exchange) -> None:
        answered = exchange.forward()
        body = json.dumps(change(json.loads(answered.body))).encode()
        exchange.reply(replace(answered, body=body))

    return act


@pytest.mark.parametrize(
    ("name", "action", "words"),
    [
        ("nothing in it", _body(b"{}"), "graph"),
        (
            "an unknown task",
            _changed(lambda c: {**c, "graph": {"acting": {"no_such_task": []}}}),
            "no_such_task",
        ),
        (
            "an unknown package",
            _changed(
                lambda c: {
                    **c,
                    "tasks": {
                        name: {**task, "plugin": "no_such_package.tasks.act"}
                        for name, task in c["tasks"].items()
                    },
                }
            ),
            "no_such_package",
        ),
        ("a graph of text", _changed(lambda c: {**c, "graph": "later"}), "graph"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_config(
    name: str,
    action: Callable[[Exchange], None],
    words: str,
    scene: Scene,
    proxy: FaultProxy,
    witness: Witness,
    fault_report: FaultReport,
) -> None:
    """A configuration that is not what it must be fails the job with a sentence."""
    proxy.add(Rule("GET", CONFIG, action, times=1))
    job = _submit(scene)
    outcome = witness.outcome(job, says="the job failed")
    text = scene.platform.text(job)
    assert (outcome.api, outcome.rq) == ("failed", "failed"), text
    assert words in text, text
    assert "the step ran" not in text
    assert "the worker has a bug" not in text
    fault_report.job("26", f"a config with {name}", outcome)
    scene.assert_clean()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>welcome</html>", "something that is not JSON"),
        (b'{"graph": ', "something that is not JSON"),
        (b"[" * 20_000 + b"]" * 20_000, "something that is not JSON"),
        (b"[1, 2]", "JSON of another shape"),
        (b"7", "JSON of another shape"),
    ],
    ids=["HTML", "cut", "deep", "list", "number"],
)
def test_config_that_is_none(
    body: bytes, words: str, scene: Scene, proxy: FaultProxy, witness: Witness
) -> None:
    """What is no configuration comes from something else: it is asked for again."""
    proxy.add(Rule("GET", CONFIG, _body(body), times=2))
    job = _submit(scene)
    assert witness.outcome(job, says="the job finished").statuses == FINISHED
    text = scene.platform.text(job)
    assert "waiting: the Dioptra API answered" in text
    assert words in text
    scene.assert_clean()


def test_a_proxy_that_knows_no_api(
    scene: Scene, proxy: FaultProxy, witness: Witness, tmp_path: Path
) -> None:
    """While the API is replaced, a proxy's pages end no job and empty no log."""
    go = tmp_path / "go"
    source = f"""
@pyplugs.register
def act():
    for number in range(100):
        print("line", number)
    while not os.path.exists({str(go)!r}):
        time.sleep(0.02)
"""

    def page(status: int) -> Callable[[Exchange], None]:
        answer = Answered(status, [("Content-Type", "text/html")], b"<html>wait</html>")
        return lambda exchange: exchange.reply(answer)

    first = proxy.add(Rule("GET", CONFIG, page(403), times=2))
    job = scene.platform.submit(
        scene.platform.entrypoint(source, {"acting": {"act": []}}, own=True)
    )
    scene.platform.wait_for_line(job, "line 99", seconds=PATIENCE)
    rules = [
        proxy.add(Rule("GET", rf"/jobs/{job}$", page(404), times=3)),
        proxy.add(Rule("POST", rf"/jobs/{job}/log$", page(410), times=2)),
        proxy.add(Rule("PUT", rf"/jobs/{job}/status$", page(418), times=2)),
    ]
    until(lambda: rules[0].hits == 3, says=lambda: scene.daemon.log)
    go.touch()
    assert witness.outcome(job, says="the job finished").statuses == FINISHED
    assert [rule.hits for rule in [first, *rules]] == [2, 3, 2, 2]
    assert scene.platform.text(job).count("the job finished") == 1
    scene.assert_clean()


def _archive(*members: tarfile.TarInfo, size: int = 0) -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as tar:
        for member in members:
            member.size = size
            tar.addfile(member, io.BytesIO(bytes(size)))
    return whole.getvalue()


def _member(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = link
    return member


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        (
            "`..`",
            lambda: _archive(_member("../../evil")),
            "something unsafe: '../../evil'",
        ),
        (
            "an absolute path",
            lambda: _archive(_member("/evil")),
            "something unsafe: '/evil'",
        ),
        (
            "a link",
            lambda: _archive(_member("link", tarfile.SYMTYPE, "/etc")),
            "something unsafe: 'link'",
        ),
        (
            "a device",
            lambda: _archive(_member("null", tarfile.CHRTYPE)),
            "something unsafe: 'null'",
        ),
        (
            "a bomb",
            lambda: _archive(*(_member(f"f{n}") for n in range(5)), size=256 << 20),
            "is larger than 1,073,741,824 bytes when unpacked",
        ),
        ("garbage", lambda: bytes(range(256)) * 20, "is not a whole tar.gz archive"),
        ("nothing", lambda: b"", "is not a whole tar.gz archive"),
        (
            "half of it",
            lambda: _archive(_member("a"), size=9999)[:60],
            "is not a whole tar.gz",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bundle(
    name: str,
    body: Callable[[], bytes],
    words: str,
    scene: Scene,
    proxy: FaultProxy,
    witness: Witness,
    fault_report: FaultReport,
) -> None:
    """A bundle that is none, or that leads out of its folder, fails the job."""
    proxy.add(Rule("GET", BUNDLE, _body(body(), "application/gzip"), times=1))
    job = _submit(scene)
    outcome = witness.outcome(job, says="the job failed", seconds=90)
    assert (outcome.api, outcome.rq) == ("failed", "failed")
    assert words in outcome.line, scene.platform.text(job)
    assert not list(scene.daemon.work_dir.rglob("*evil*"))
    fault_report.job("18", f"a bundle with {name}", outcome)
    scene.assert_clean()


def _trickle(exchange: Exchange) -> None:
    """Answer a few bytes at a time, without an end."""
    handler = exchange.handler
    handler.send_response(200)
    handler.send_header("Content-Length", str(1 << 30))
    handler.end_headers()
    for _ in range(6000):
        handler.wfile.write(b"x" * 100)
        handler.wfile.flush()
        exchange.wait(0.1)
        if handler.proxy.closing.is_set():
            return


@pytest.mark.parametrize("action", [hang, _trickle])
def test_a_download_without_an_end(
    action: Callable[[Exchange], None],
    scene: Scene,
    proxy: FaultProxy,
) -> None:
    """A job whose bundle never comes is let go at once when it is deleted."""
    rule = proxy.add(Rule("GET", BUNDLE, action, times=1))
    job = _submit(scene)
    scene.platform.wait_for_line(job, "runs entrypoint", seconds=PATIENCE)
    until(lambda: rule.hits)
    scene.platform.api.delete(f"/jobs/{job}")
    scene.daemon.wait_for(f"job {job} dropped", seconds=PATIENCE)
    scene.assert_clean()


def test_the_end_of_a_worker_that_downloads(
    stack: LocalStack, proxy: FaultProxy, api: ApiClient, tmp_path: Path
) -> None:
    """A worker told to end gives back a job whose bundle never comes, and ends."""
    platform = Platform(api)
    job = platform.submit(
        platform.entrypoint(SOURCE, {"acting": {"act": []}}, own=True)
    )
    rule = proxy.add(Rule("GET", BUNDLE, hang, times=1))
    with worker(
        {**stack.environment(), "DIOPTRA_API": proxy.url},
        tmp_path,
        platform.queue,
        settings={
            "DIOPTRA_WORKER_SHUTDOWN_GRACE": "0.5",
            "DIOPTRA_WORKER_KILL_GRACE": "0.5",
            "DIOPTRA_WORKER_API_TIMEOUT": "120",
        },
    ) as running:
        platform.wait_for_line(job, "runs entrypoint", seconds=PATIENCE)
        until(lambda: rule.hits)
        below = running.descendants()
        running.send()
        assert running.wait(PATIENCE) == 0
        assert_gone(below)
    proxy.clear()
    assert platform.status(job) == "queued"
    with worker(stack.environment(), tmp_path, platform.queue) as again:
        assert platform.wait(job, seconds=PATIENCE) == "finished"
        assert again.process.poll() is None


def test_a_run_whose_creation_got_no_answer(
    stack: LocalStack, api: ApiClient, witness: Witness, tmp_path: Path
) -> None:
    """A run that MLflow made without telling is the job's; no second is made."""
    given = stack.environment()
    platform = Platform(api)
    with (
        fault_proxy(given["MLFLOW_TRACKING_URI"]) as mlflow,
        worker(
            {**given, "MLFLOW_TRACKING_URI": mlflow.url}, tmp_path, platform.queue
        ) as running,
    ):
        rule = mlflow.add(Rule("POST", r"/runs/create", lose_answer, times=2))
        entrypoint = platform.entrypoint(SOURCE, {"acting": {"act": []}}, own=True)
        job = platform.submit(entrypoint)
        outcome = witness.outcome(job, says="the job finished")
        assert outcome.statuses == FINISHED
        assert rule.hits >= 1
        assert "waiting for MLflow" in platform.text(job)
        found = requests.post(
            f"{given['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/runs/search",
            json={
                "experiment_ids": ["0"],
                "filter": f"tags.`dioptra.jobId` = '{job}'",
            },
            timeout=PATIENCE,
        ).json()
        assert [run["info"]["run_id"] for run in found["runs"]] == [
            platform.run_id(job)
        ]
        assert running.process.poll() is None
