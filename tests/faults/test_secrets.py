"""What user code, other users of the machine and readers of a log must not see."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from tests.plugins.until import PATIENCE, until
from tests.plugins.worker_process import WorkerProcess, worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plugins.testbed import Platform

    from dioptra_worker.tools.local import LocalStack

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


def _environment(pid: int) -> dict[str, str]:
    raw = Path(f"/proc/{pid}/environ").read_bytes().decode()
    pairs = [entry.partition("=") for entry in raw.split("\0") if entry]
    return {name: value for name, _, value in pairs}
