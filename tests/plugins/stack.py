"""A pytest plugin: one local stack for the whole test session.

It starts when the first test asks for it. Under pytest-xdist all workers share it:
`LocalStack.up` starts it for whoever comes first and finds it running for the others.
The session's main process takes it down at its very end; when that one is killed, a
guard does.

Put ``pytest_plugins = ["tests.plugins.stack"]`` into the top ``conftest.py``. A test
that stops, pauses or kills services uses `own`, not `stack`, and one that breaks them
for ever `fresh_stack`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
from tests.plugins.clients import ApiClient, MlflowReader, s3_client

from dioptra_worker.common.processes.process_identity import ProcessId, identify
from dioptra_worker.tools.local import LocalStack, NoStack
from dioptra_worker.tools.local.paths import default_cache

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mypy_boto3_s3 import S3Client

QUEUES = ("local", "other")
SHARED_STACKS = "DIOPTRA_WORKER_TEST_STACKS"
"""Variable that names the stacks of a parent process which runs pytest many times."""


@dataclass(frozen=True)
class Session:
    """The test session, over all of its processes.

    Attributes:
        folder: Where its stacks lie.
        owner: Its main process.
    """

    folder: Path
    owner: ProcessId


_session = pytest.StashKey[Session]()


def cache_folder() -> Path:
    """Return where the REST API's environment is kept between sessions."""
    chosen = os.environ.get("DIOPTRA_WORKER_CACHE_DIR")
    return Path(chosen).absolute() if chosen else default_cache()


def peer_python() -> Path | None:
    """Return the interpreter of an environment with dioptra-platform, if one is given.

    Without one an environment is made in the cache folder.
    """
    chosen = os.environ.get("DIOPTRA_WORKER_PEER_PYTHON")
    return Path(chosen) if chosen else None


@contextmanager
def fresh_stack(
    folder: Path,
    *,
    queues: Sequence[str] = QUEUES,
    proxied_artifacts: bool = False,
    python: Path | None = None,
) -> Iterator[LocalStack]:
    """A stack of one's own, whose services may be stopped, paused and killed.

    Args:
        folder: Where it lies.
        queues: What its queues are called.
        proxied_artifacts: Let artifacts pass through MLflow.
        python: The interpreter of its REST API; today's platform's by default.
    """
    with LocalStack.up(
        folder,
        queues=queues,
        proxied_artifacts=proxied_artifacts,
        peer_python=python or peer_python(),
        cache=cache_folder(),
    ) as stack:
        yield stack


@contextmanager
def shared_stacks(folder: Path) -> Iterator[str]:
    """Stacks for all test sessions that this process starts; a value for the variable.

    Args:
        folder: Where they lie; not there yet.
    """
    owner = identify(os.getpid())
    assert owner is not None
    session = Session(folder, owner)
    try:
        _shared(session, "direct", proxied_artifacts=False)
        yield json.dumps([str(folder), owner.pid, owner.start_time])
    finally:
        _take_down(session)


def pytest_configure(config: pytest.Config) -> None:
    """Learn which session this process belongs to, or begin it."""
    given = getattr(config, "workerinput", {}).get("dioptra_stack")
    given = given or json.loads(os.environ.get(SHARED_STACKS, "null"))
    if given:
        folder, pid, birth = given
        session = Session(Path(folder), ProcessId(pid, birth))
    else:
        owner = identify(os.getpid())
        assert owner is not None
        session = Session(Path(tempfile.mkdtemp(prefix="dioptra-tests-")), owner)
    config.stash[_session] = session


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist which session it belongs to."""
    session = node.config.stash[_session]
    owner = session.owner
    node.workerinput["dioptra_stack"] = (
        str(session.folder),
        owner.pid,
        owner.start_time,
    )


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take the session's stacks down, in its main process only."""
    session = config.stash.get(_session, None)
    if session is not None and session.owner.pid == os.getpid():
        _take_down(session)


def _take_down(session: Session) -> None:
    for folder in session.folder.glob("*"):
        try:
            LocalStack.attach(folder, cache=cache_folder()).down()
        except NoStack:
            continue
    shutil.rmtree(session.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def stack(pytestconfig: pytest.Config) -> LocalStack:
    """The session's stack, with artifacts that go to S3 directly."""
    return _shared(pytestconfig.stash[_session], "direct", proxied_artifacts=False)


@pytest.fixture(scope="session")
def proxied_stack(pytestconfig: pytest.Config) -> LocalStack:
    """The session's stack whose artifacts pass through MLflow."""
    return _shared(pytestconfig.stash[_session], "proxied", proxied_artifacts=True)


@pytest.fixture(scope="session")
def api(stack: LocalStack) -> Iterator[ApiClient]:
    """The REST API of `stack`, logged in."""
    client = ApiClient(stack.environment())
    yield client
    client.close()


@pytest.fixture(scope="session")
def redis_client(stack: LocalStack) -> Iterator[redis.Redis]:
    """The Redis of `stack`, which has the queues."""
    with redis.Redis.from_url(stack.environment()["RQ_REDIS_URI"]) as client:
        yield client


@pytest.fixture(scope="session")
def mlflow_reader(stack: LocalStack) -> Iterator[MlflowReader]:
    """The MLflow server of `stack`."""
    reader = MlflowReader(stack.environment())
    yield reader
    reader.close()


@pytest.fixture(scope="session")
def s3(stack: LocalStack) -> Iterator[S3Client]:
    """The S3 endpoint of `stack`."""
    client = s3_client(stack.environment())
    yield client
    client.close()


@pytest.fixture(scope="session")
def stack_of_this_process(pytestconfig: pytest.Config) -> LocalStack:
    """A stack that no other process of pytest-xdist uses; see `own`."""
    name = os.environ.get("PYTEST_XDIST_WORKER", "main")
    return _shared(pytestconfig.stash[_session], f"own-{name}", proxied_artifacts=False)


@pytest.fixture
def own(stack_of_this_process: LocalStack) -> Iterator[LocalStack]:
    """A stack whose services a test may stop, kill and pause; `restore` follows."""
    yield stack_of_this_process
    restore(stack_of_this_process)


def restore(stack: LocalStack) -> None:
    """Start what a test has left stopped or paused, and assert that all is healthy."""
    if not all(health.healthy for health in stack.status()):
        LocalStack.up(
            stack.directory,
            queues=QUEUES,
            peer_python=peer_python(),
            cache=stack.cache,
        )
    ill = [health for health in stack.status() if not health.healthy]
    assert ill == []


@pytest.fixture
def own_api(own: LocalStack) -> Iterator[ApiClient]:
    """The REST API of `own`, logged in."""
    client = ApiClient(own.environment())
    yield client
    client.close()


def _shared(session: Session, name: str, *, proxied_artifacts: bool) -> LocalStack:
    stack = LocalStack.up(
        session.folder / name,
        queues=QUEUES,
        proxied_artifacts=proxied_artifacts,
        peer_python=peer_python(),
        cache=cache_folder(),
    )
    if not stack.was_running:
        _guard(stack, session)
    return stack


def _guard(stack: LocalStack, session: Session) -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            str(Path(__file__).with_name("guard.py")),
            str(stack.directory),
            str(stack.cache),
            str(session.owner.pid),
            session.owner.start_time,
        ],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    # It outlives this process on purpose; the session's end ends it.
    process.returncode = 0
