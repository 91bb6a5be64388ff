"""Where the worker may change users, a job is another one, and each slot has its own.

Attack: plugins in two slots read the daemon's environment, memory and maps, the file
with the password, the outbox and the cache; they look around in the work folder, go
into the neighbour's folder, end its processes and the worker's, rewrite their own
plugin, and leave processes, shared memory and semaphores behind.
Promise: all of that is refused, or gone when the job has ended; what a job is for
(artifacts in and out, its folder, its home, downloads that all share) works as ever;
what is refused to it, its log explains. Without a setting that is so where jobs would
miss nothing that root has; elsewhere they are root, and the worker says why.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.plugins import open_home
from tests.plugins.fault_proxy import Rule, fault_proxy
from tests.plugins.testbed import Platform
from tests.plugins.until import until
from tests.plugins.worker_process import alive, worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plugins.clients import ApiClient
    from tests.plugins.fault_proxy import Exchange
    from tests.plugins.worker_process import WorkerProcess

    from dioptra_worker.tools.local import LocalStack

SOURCE = """
import json


@pyplugs.register
def stay():
    Path("kept").write_text("the neighbour's")
    print("HERE", json.dumps([os.getuid(), os.getpid(), os.getcwd()]), "END")
    while not Path("go").exists():
        time.sleep(0.02)


@pyplugs.register
def attack(work, secret, neighbour, pid, daemons):
    def tried(action):
        try:
            return action() or "done"
        except OSError as error:
            return type(error).__name__

    inside = Path(work, "outbox"), Path(work, "cache", "snapshots")
    found = {"uid": os.getuid(), "groups": os.getgroups()}
    for each in daemons:
        for name in ("environ", "mem", "maps", "cwd/x"):
            path = Path(f"/proc/{each}", name)
            found[f"{each} {name}"] = tried(lambda: path.open("rb").read(1) and "read")
        found[f"{each} kill"] = tried(lambda: os.kill(each, signal.SIGKILL))
    for path in (Path(work), *inside, Path(neighbour)):
        found[f"list {path}"] = tried(lambda: os.listdir(path) and "listed")
        found[f"write {path}"] = tried(lambda: Path(path, "x").write_text("x"))
    found["secret"] = tried(lambda: Path(secret).read_text())
    found["neighbour"] = tried(lambda: Path(neighbour, "kept").read_text())
    found["kill neighbour"] = tried(lambda: os.kill(pid, signal.SIGKILL))
    found["plugin"] = tried(lambda: Path(__file__).write_text("evil = True"))
    own = Path(".dioptra")
    found["replace plugins"] = tried(lambda: own.rename("elsewhere"))
    found["become root"] = tried(lambda: os.setuid(0))
    print("FOUND", json.dumps(found), "END")


@pyplugs.register
def make():
    return {"a/b.txt": "deep", "c.txt": "flat"}


@pyplugs.register
def use(text, folder):
    Path("own").write_text(text)
    Path(os.environ["HOME"], "of the home").write_text("x")
    print("USER", os.getuid(), "END")
    return [text, folder, os.getuid()]
"""


@contextmanager
def _worker(
    stack: LocalStack, platform: Platform, *arguments: str, **settings: str
) -> Iterator[tuple[WorkerProcess, Path]]:
    """A worker in a folder that others may enter; its password is in a file."""
    prefix = open_home.prefix()
    if isinstance(prefix, str):
        pytest.skip(prefix)
    folder = Path(tempfile.mkdtemp(prefix="dioptra-worker-test-"))
    folder.chmod(0o755)
    environment = dict(stack.environment())
    secret = folder / "password"
    secret.touch(mode=0o600)
    secret.write_text(environment.pop("DIOPTRA_WORKER_PASSWORD"))
    settings["DIOPTRA_WORKER_PASSWORD_FILE"] = str(secret)
    settings.setdefault("DIOPTRA_WORKER_JOB_USERS", "70000")
    try:
        with worker(
            environment,
            folder,
            *(*arguments, platform.queue),
            settings=settings,
            prefix=prefix,
        ) as running:
            yield running, folder
    finally:
        shutil.rmtree(folder)


@dataclass(frozen=True)
class Place:
    """A worker that serves one test after the other, on a queue of its own.

    Attributes:
        platform: Where jobs are submitted.
        running: The worker.
        folder: Where it and its password are.
    """

    platform: Platform
    running: WorkerProcess
    folder: Path


@pytest.fixture(scope="module", name="one")
def _one(stack: LocalStack, api: ApiClient) -> Iterator[Place]:
    platform = Platform(api)
    with _worker(stack, platform) as (running, folder):
        yield Place(platform, running, folder)


@pytest.fixture(scope="module", name="two")
def _two(stack: LocalStack, api: ApiClient) -> Iterator[Place]:
    """With two slots."""
    platform = Platform(api)
    with _worker(stack, platform, "--concurrency", "2") as (running, folder):
        until(lambda: running.log.count("listens on") == 2)
        yield Place(platform, running, folder)


def _said(text: str, word: str) -> Any:
    found = re.search(word + r" (.*) END", text)
    assert found, text
    return json.loads(found[1])


def test_neighbours_and_the_worker_are_out_of_reach(two: Place) -> None:
    """Nothing of the daemons, of the pool, of the fork servers or the neighbour."""
    platform, running, folder = two.platform, two.running, two.folder
    staying = platform.entrypoint(SOURCE, {"staying": {"stay": []}})
    first = platform.submit(staying)
    platform.wait_for_line(first, "HERE")
    uid, pid, neighbour = _said(platform.text(first), "HERE")
    ours = [running.process.pid, *running.descendants()]
    others = [each for each in ours if _uid(each) not in {0, uid}]
    daemons = [each for each in ours if _uid(each) == 0]
    assert len(daemons) == 3
    assert others  # the shared fork server, and that of the other slot
    second = platform.submit(
        platform.entrypoint(
            SOURCE,
            {
                "attacking": {
                    "attack": [
                        *(str(running.work_dir), str(folder / "password")),
                        *(neighbour, pid, daemons),
                    ]
                }
            },
        )
    )
    assert platform.wait(second) == "finished", platform.text(second)
    found = _said(platform.text(second), "FOUND")
    assert found.pop("uid") not in {0, uid}
    assert found.pop("groups") == [70000 + 2047]
    assert set(found.values()) <= {"PermissionError"}, found
    Path(neighbour, "go").touch()
    assert platform.wait(first) == "finished"
    assert stat.S_IMODE(running.work_dir.stat().st_mode) == 0o711


def test_a_job_does_what_jobs_do(one: Place) -> None:
    """It writes artifacts and reads them, in its folder and its home, as its user."""
    _do_what_jobs_do(one.platform, one.running)


def test_a_spawned_job_does_what_jobs_do(stack: LocalStack, platform: Platform) -> None:
    """It does so, too."""
    with _worker(stack, platform, "--isolation", "spawn") as (running, _):
        _do_what_jobs_do(platform, running)


def _do_what_jobs_do(platform: Platform, running: WorkerProcess) -> None:
    made = platform.submit(
        platform.entrypoint(
            SOURCE,
            {"making": {"make": []}, "telling": {"use": ["told", {}]}},
            artifact_outputs={
                "folder": {"contents": "$making", "task": {"name": "Folder"}},
                "text": {"contents": "$telling", "task": {"name": "Text"}},
            },
        )
    )
    assert platform.wait(made) == "finished", platform.text(made)
    artifacts = platform.artifacts(made)
    used = platform.submit(
        platform.entrypoint(
            SOURCE,
            {"using": {"use": ["$text", "$folder"]}},
            artifact_outputs={
                "result": {"contents": "$using", "task": {"name": "Text"}}
            },
            artifact_inputs={"text": ["text"], "folder": ["folder"]},
        ),
        artifacts={
            name: {"id": kept["id"], "snapshotId": kept["snapshot"]}
            for name, kept in (
                ("text", artifacts["text"]),
                ("folder", artifacts["folder"]),
            )
        },
    )
    assert platform.wait(used) == "finished", platform.text(used)
    result = platform.content(platform.artifacts(used)["result"]).decode()
    assert "{'a/b.txt': 'deep', 'c.txt': 'flat'}" in result
    until(lambda: not list(running.work_dir.glob("job-*")))
    assert "did not come straight from its store" not in platform.text(used)


DOWNLOAD = """
@pyplugs.register
def download():
    folder = Path(os.environ["HF_HOME"], "hub")
    folder.mkdir(parents=True, exist_ok=True)
    with Path(folder, "refs").open("a") as file:
        file.write(f"{os.getuid()} ")
    print("REFS", Path(folder, "refs").read_text(), "END")
    time.sleep(2)  # the other slot takes the next job


@pyplugs.register
def refused():
    subprocess.run(["touch", "/etc/dioptra-worker-test"], check=True)
"""


def test_downloads_are_shared(two: Place) -> None:
    """What the user of one slot has downloaded, that of the other goes on with."""
    platform = two.platform
    entrypoint = platform.entrypoint(DOWNLOAD, {"downloading": {"download": []}})
    jobs = [platform.submit(entrypoint) for _ in range(2)]
    assert [platform.wait(job) for job in jobs] == ["finished"] * 2
    said = [platform.text(job) for job in jobs]
    users = {
        uid
        for text in said
        for found in re.findall(r"REFS ([0-9 ]+) END", text)
        for uid in found.split()
    }
    assert len(users) == 2, said


def test_a_job_that_is_refused_something_is_told_why(one: Place) -> None:
    """Its log has the setting's name, in the worker's own voice."""
    platform = one.platform
    entrypoint = platform.entrypoint(DOWNLOAD, {"refusing": {"refused": []}})
    job = platform.run(entrypoint, ends="failed")
    said = [line for line in platform.log(job) if "JOB_USERS=none" in line.text]
    assert [line.logger for line in said] == ["dioptra_worker"], platform.text(job)


def test_without_a_setting(stack: LocalStack, platform: Platform) -> None:
    """A job has a user of its own, unless this machine has something to miss."""
    with _worker(stack, platform, DIOPTRA_WORKER_JOB_USERS="") as (running, _):
        job = platform.run(platform.entrypoint(SOURCE, {"using": {"use": ["", {}]}}))
        if _said(platform.text(job), "USER") == 0:
            running.wait_for("jobs run as the worker's own user")
            pytest.skip(running.log)


def test_where_jobs_would_miss_something(stack: LocalStack, platform: Platform) -> None:
    """Jobs are the worker's user as ever, and one line at the start says why."""
    with tempfile.TemporaryDirectory() as closed:
        kept = str(Path(closed, "data"))
        Path(kept).write_text("only root reads it")
        given = {"DATA": kept, "DIOPTRA_WORKER_JOB_USERS": "auto"}
        with _worker(stack, platform, **given) as (running, _):
            running.wait_for(f"cannot read {kept}, which DATA names: let others read")
            job = platform.run(
                platform.entrypoint(SOURCE, {"using": {"use": ["", {}]}})
            )
            assert running.log.count("jobs run as the worker's own user") == 1
            assert "JOB_USERS" not in platform.text(job)


LEAVE = """
import ctypes
import json
from multiprocessing.shared_memory import SharedMemory


@pyplugs.register
def leave(kills):
    libc = ctypes.CDLL(None)
    numbers = [libc.shmget(0, 4096, 0o1600), libc.semget(0, 1, 0o1600)]
    block = SharedMemory(create=True, size=1 << 20)
    raw = f"raw-of-job-{os.getpid()}"
    Path("/dev/shm", raw).write_bytes(b"x")
    left = Path("/tmp", raw)
    (left / "deep" / "er").mkdir(parents=True)
    (left / "link").symlink_to("/etc/hostname")
    (left / "deep" / "folder").symlink_to("/etc")
    (left / "deep").chmod(0)
    Path("/var/tmp", raw).symlink_to("/etc")
    reader, writer = os.pipe()
    if not os.fork():
        os.setsid()
        if not os.fork():
            os.write(writer, str(os.getpid()).encode())
            time.sleep(300)
        os._exit(0)
    left = [numbers, int(os.read(reader, 20)), [block.name, raw]]
    print("LEFT", json.dumps(left), "END", flush=True)
    if kills:
        time.sleep(1)
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(300)
"""


@pytest.mark.parametrize("kills", [False, True])
@pytest.mark.parametrize("slots", ["one", "two"])
def test_nothing_of_a_job_stays(
    kills: bool, slots: str, request: pytest.FixtureRequest
) -> None:
    """Processes that left their session, shared memory and semaphores are gone."""
    platform: Platform = request.getfixturevalue(slots).platform
    entrypoint = platform.entrypoint(LEAVE, {"leaving": {"leave": [kills]}})
    job = platform.submit(entrypoint)
    ended = platform.wait(job)
    assert ended == ("failed" if kills else "finished"), platform.text(job)
    numbers, pid, names = _said(platform.text(job), "LEFT")
    assert min(numbers) >= 0
    left = [Path("/dev/shm", name) for name in names]  # noqa: S108 - as Linux
    left += [Path(folder, names[1]) for folder in ("/tmp", "/var/tmp")]  # noqa: S108
    until(lambda: not alive(pid))
    until(lambda: not any(map(os.path.lexists, left)))
    assert Path("/etc/hostname").exists()
    words = f"removed what the job left where anybody writes: '{left[2]}'"
    assert kills or words in platform.text(job)
    for kind, number in zip(("shm", "sem"), numbers, strict=True):
        until(partial(_is_removed, kind, number))
    platform.run(platform.entrypoint(SOURCE, {"using": {"use": ["x", {}]}}))


@contextmanager
def _process_of(uid: int) -> Iterator[None]:
    """A process that has a number which was taken, as one of another container may."""
    code = f"import os, time; os.setuid({uid}); print('here', flush=True)"
    process = subprocess.Popen(
        [
            *("unshare", "--pid", "--fork", "--kill-child"),
            *(sys.executable, "-c", f"{code}; time.sleep(60)"),
        ],
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        yield
    finally:
        process.kill()
        process.communicate()


def test_a_runner_that_is_lost_with_its_fork_server(
    stack: LocalStack, platform: Platform
) -> None:
    """Where the next one has another user, the job begins again with its own folder."""
    first, second = 75000, 75001
    asked, may_end = threading.Event(), threading.Event()

    def hold(exchange: Exchange) -> None:
        asked.set()
        may_end.wait(60)
        exchange.reply(exchange.forward())

    with fault_proxy(stack.environment()["MLFLOW_TRACKING_URI"]) as proxy:
        settings = {
            "DIOPTRA_WORKER_JOB_USERS": str(first),
            "MLFLOW_TRACKING_URI": proxy.url,
        }
        with _worker(stack, platform, **settings) as (running, _):
            proxy.add(Rule("POST", "/runs/create", hold))
            job = platform.submit(
                platform.entrypoint(SOURCE, {"using": {"use": ["x", {}]}})
            )
            assert asked.wait(60)
            lost = [pid for pid in running.descendants() if _uid(pid) == first]
            with _process_of(first):
                for pid in lost:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                ended = platform.wait(job)
            may_end.set()
            assert ended == "finished", platform.text(job) + running.log
        assert "none of the job's code has run" in platform.text(job)
        assert _said(platform.text(job), "USER") == second


CHILDREN = """
import multiprocessing, os, structlog
from dioptra import pyplugs
from dioptra.sdk.utilities.auth_client import get_authenticated_worker_client

JOB = os.environ.get("__JOB_ID")


def ask(name):
    client = get_authenticated_worker_client(structlog.get_logger(), "json")
    client.jobs.append_metric_by_id(job_id=JOB, metric_name=name, metric_value=1)
    print(name, "sees the job", client.jobs.get_by_id(JOB)["status"])


@pyplugs.register
def have_children():
    print("before")
    for method in ("fork", "spawn"):
        child = multiprocessing.get_context(method).Process(target=ask, args=[method])
        child.start()
        child.join(60)
    print("after")
"""


@pytest.mark.parametrize("users", ["auto", "none"])
def test_children_of_a_job_ask_the_worker(
    users: str, stack: LocalStack, platform: Platform
) -> None:
    """Forked and spawned, as whatever user: answered, in the order of their words."""
    with _worker(stack, platform, DIOPTRA_WORKER_JOB_USERS=users):
        job = platform.submit(
            platform.entrypoint(CHILDREN, {"having": {"have_children": []}})
        )
        assert platform.wait(job) == "finished", platform.text(job)
        said = [line.text for line in platform.log(job)]
        words = ["before", "fork sees the job started", "spawn sees the job started"]
        at = [said.index(word) for word in (*words, "after")]
        assert at == sorted(at)
        metrics = platform.api.get(f"/jobs/{job}/metrics")
        assert {metric["name"] for metric in metrics} >= {"fork", "spawn"}


def _is_removed(kind: str, number: int) -> bool:
    lines = Path("/proc/sysvipc", kind).read_text().splitlines()[1:]
    return str(number) not in [line.split()[1] for line in lines]


def _uid(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^Uid:\s+(\d+)", status, re.MULTILINE)
    assert found
    return int(found[1])
