"""What user code, other users of the machine and readers of a log must not see."""

from __future__ import annotations

import base64
import json
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
import requests
from rq.job import Job
from tests.plugins.testbed import Platform
from tests.plugins.until import PATIENCE, until
from tests.plugins.worker_process import WorkerProcess, worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis
    from tests.plugins.clients import ApiClient, MlflowReader

    from dioptra_worker.tools.local import LocalStack

PROGRAM = Path(sys.executable).with_name("dioptra-worker")

SOURCE = """
@pyplugs.register
def show(folder, secrets):
    secret = os.environ["AWS_SECRET_ACCESS_KEY"]
    half = len(secret) // 2
    print("print:", secret)
    LOG.warning("logged", value=secret)
    sys.stdout.write("split: " + secret[:half])
    sys.stdout.flush()
    time.sleep(0.3)
    sys.stdout.write(secret[half:] + "\\n")
    os.write(1, b"native: " + secret[:half].encode())
    time.sleep(0.3)
    os.write(1, secret[half:].encode() + b"\\n")
    subprocess.run(["sh", "-c", "echo child: $AWS_SECRET_ACCESS_KEY >&2"])
    for each in secrets:
        print("known:", each)
    Path("of the job").write_text("x")
    Path(folder, "pid").write_text(str(os.getpid()))
    while not Path(folder, "go").exists():
        time.sleep(0.05)
    raise ValueError("in an error: " + secret)
"""


@pytest.fixture(scope="module", name="daemon", params=["fork", "spawn"])
def _daemon(
    request: pytest.FixtureRequest,
    stack: LocalStack,
    platform: Platform,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[WorkerProcess]:
    folder = tmp_path_factory.mktemp("worker")
    password = folder / "password"
    environment = dict(stack.environment())
    password.write_text(environment.pop("DIOPTRA_WORKER_PASSWORD"))
    with worker(
        environment,
        folder,
        *("--isolation", request.param, platform.queue),
        settings={"DIOPTRA_WORKER_PASSWORD_FILE": str(password)},
    ) as running:
        yield running


def test_secrets_stay_where_they_belong(
    stack: LocalStack, platform: Platform, daemon: WorkerProcess, tmp_path: Path
) -> None:
    """No secret is in a runner's environment, in `ps`, in a log; files are private."""
    given = stack.environment()
    password = given["DIOPTRA_WORKER_PASSWORD"]
    aws = given["AWS_SECRET_ACCESS_KEY"]
    secrets = [password, quote(password, safe="")]
    entrypoint = platform.entrypoint(
        SOURCE, {"showing": {"show": [str(tmp_path), secrets]}}
    )
    job = platform.submit(entrypoint)
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")

    runner = int((tmp_path / "pid").read_text())
    below = daemon.descendants()
    assert runner in below
    for pid in below:
        environment = _environment(pid)
        assert password not in environment.values()
        assert not {"RQ_REDIS_URI", "DIOPTRA_WORKER_PASSWORD"} & environment.keys()
        assert "DIOPTRA_WORKER_PASSWORD_FILE" not in environment
        assert given["RQ_REDIS_URI"] not in environment.values()
    for pid in {daemon.process.pid, *below}:
        command = Path(f"/proc/{pid}/cmdline").read_text()
        assert password not in command
        assert aws not in command
        assert given["RQ_REDIS_URI"] not in command

    folders = [daemon.work_dir, *daemon.work_dir.glob("job-*")]
    assert len(folders) == 2
    for folder in folders:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
    for file in daemon.work_dir.iterdir():
        if file.is_file():
            assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file

    (tmp_path / "go").touch()
    assert platform.wait(job, seconds=PATIENCE) == "failed"
    text = platform.text(job)
    for beginning in ("print", "split", "native", "child", "known"):
        assert f"{beginning}: ***" in text, text
    assert "in an error: ***" in text
    daemon.wait_for(f"job {job} failed")
    for hidden in (password, aws):
        assert hidden not in text
        assert hidden not in daemon.log


MASKED = """
import base64
from urllib.parse import quote


@pyplugs.register
def tell(secrets):
    assert "DIOPTRA_PASSWORD" not in os.environ
    aws = os.environ["AWS_SECRET_ACCESS_KEY"]
    forms = [form for each in [*secrets, aws, os.environ["HF_TOKEN"]] for form in (
        each, quote(each, safe=""), quote(quote(each, safe="")), repr(each),
        base64.b64encode(f"someone:{each}".encode()).decode(), f"x://u:{each}@h/",
    )]
    for form in forms:
        print("told:", form)
    report()
    LOG.error("logged", forms=forms)
    raise ValueError("in an error: " + " ".join(forms))


def report():
    from dioptra_worker.sdk.worker import bridge
    cookies = dict(bridge.installed().session().cookies)
    assert cookies
    print("cookies:", *cookies.values())
"""


def test_every_way_out_is_masked(
    stack: LocalStack,
    api: ApiClient,
    redis_client: redis.Redis,
    mlflow_reader: MlflowReader,
    tmp_path: Path,
) -> None:
    """However a job spells a secret, it is in no log, in Redis, MLflow or the API."""
    given = stack.environment()
    platform = Platform(api)  # a queue that no other worker of this file serves
    personal, address, token = (
        "pass w/rd-of-a-person",
        "in-the-address/1",
        "hf_0123456789",
    )
    password = given["DIOPTRA_WORKER_PASSWORD"]
    url = given["MLFLOW_TRACKING_URI"].replace(
        "://", f"://me:{quote(address, safe='')}@", 1
    )
    more = {
        "DIOPTRA_PASSWORD": personal,
        "MLFLOW_TRACKING_URI": url,
        "HF_TOKEN": token,
        "DIOPTRA_WORKER_HEALTH_PORT": str(_free_port()),
    }
    secrets = [password, personal, address]
    source = MASKED.replace("def tell(secrets)", f"def tell(secrets={secrets!r})")
    entrypoint = platform.entrypoint(source, {"telling": {"tell": []}})
    with worker(given, tmp_path, platform.queue, settings=more) as running:
        job = platform.submit(entrypoint)
        assert platform.wait(job, seconds=PATIENCE) == "failed"
        running.wait_for(f"job {job} failed")
        port = more["DIOPTRA_WORKER_HEALTH_PORT"]
        shown = [
            requests.get(f"http://127.0.0.1:{port}/{page}", timeout=10).text
            for page in ("livez", "readyz", "metrics")
        ]
        shown += [file.read_text() for file in running.work_dir.glob("health-*.json")]
        shown += [str(_redis_contents(redis_client, job))]
    shown += [
        running.log,
        platform.text(job),
        json.dumps(platform.job(job)),
        json.dumps(mlflow_reader.run(platform.run_id(job))),
    ]
    for command in (["jobs", "show"], ["jobs", "logs"], ["jobs", "logs", "--json"]):
        done = subprocess.run(
            [str(PROGRAM), *command, str(job)],
            env={**given, "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **more},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        shown.append(done.stdout + done.stderr)
    assert "told: ***" in platform.text(job)
    assert "cookies: ***" in platform.text(job)
    aws = given["AWS_SECRET_ACCESS_KEY"]
    for secret in (*secrets, token, aws):
        basic = base64.b64encode(f"someone:{secret}".encode()).decode()
        for form in (
            secret,
            quote(secret, safe=""),
            quote(quote(secret, safe="")),
            basic,
        ):
            assert [text for text in shown if form in text] == [], form


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _redis_contents(client: redis.Redis, job: int) -> list[object]:
    """All that Redis knows of a job, results unpacked."""
    found: list[object] = [client.hgetall(f"rq:job:{job}")]
    found += list(client.xrange(f"rq:results:{job}") or ())
    result = Job.fetch(str(job), connection=client).latest_result()
    assert result is not None
    found.append(result.exc_string)
    assert "in an error" in str(result.exc_string)
    for key in client.scan_iter("dioptra-worker:*"):
        kind = client.type(key)
        found.append(client.hgetall(key) if kind == b"hash" else client.dump(key))
    return found


def _environment(pid: int) -> dict[str, str]:
    raw = Path(f"/proc/{pid}/environ").read_bytes().decode()
    pairs = [entry.partition("=") for entry in raw.split("\0") if entry]
    return {name: value for name, _, value in pairs}
