"""Redis as people run it: addresses, users, sockets, a planned failover."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, cast
from uuid import uuid4

import pytest
from redis.exceptions import NoPermissionError
from tests.plugins.stepwise import StepwiseJob
from tests.plugins.tcp_proxy import tcp_proxy
from tests.plugins.until import until
from tests.plugins.valkey import valkey
from tests.plugins.worker_process import worker

from dioptra_worker.broker.connection import connect
from dioptra_worker.broker.leases import Leases
from dioptra_worker.broker.rights import RULES, check_rights
from dioptra_worker.errors import ServiceRefused, ServiceUnavailable
from dioptra_worker.tools.doctor.checks import broker

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis
    from tests.plugins.testbed import Platform

    from dioptra_worker.tools.local import LocalStack

DOCS = Path(__file__).parents[2] / "docs/how-to/run-the-daemon.md"
PASSWORD = "p@ss/w#rd?%:"
ENCODED = "p%40ss%2Fw%23rd%3F%25%3A"


def acl(admin: redis.Redis, *words: str) -> object:
    """Change, or ask for, what users may do."""
    return admin.execute_command("ACL", *words)  # type: ignore[no-untyped-call]


@pytest.fixture(name="user")
def _user(stack: LocalStack) -> Iterator[tuple[redis.Redis, str, str]]:
    """An administrator, and the name and the address of a user without any right."""
    url = stack.environment()["RQ_REDIS_URI"]
    name = f"user-{uuid4().hex[:8]}"
    with connect(url) as admin:
        acl(admin, "SETUSER", name, "on", f">{PASSWORD}")
        yield admin, name, re.sub("//[^@]*@", f"//{name}:{ENCODED}@", url)
        acl(admin, "DELUSER", name)


def _documented_rules() -> list[str]:
    """The rights as the documentation gives them, to be copied."""
    line = re.search("ACL SETUSER .*", DOCS.read_text())
    assert line is not None
    return [word for word in line[0].split()[3:] if not word.startswith((">", "on"))]


def test_the_rights_that_the_documentation_gives(
    stack: LocalStack,
    platform: Platform,
    user: tuple[redis.Redis, str, str],
    tmp_path: Path,
) -> None:
    """A user with these rights, and no more, serves jobs and satisfies doctor."""
    admin, name, url = user
    assert _documented_rules() == list(RULES)
    acl(admin, "SETUSER", name, *RULES)
    environment = {**stack.environment(), "RQ_REDIS_URI": url}
    with worker(environment, tmp_path, platform.queue) as running:
        stepwise = StepwiseJob(platform, tmp_path / "marks")
        stepwise.go_on()
        assert platform.wait(stepwise.job) == "finished"
        running.wait_for(f"job {stepwise.job} finished")
        running.send()
        assert running.wait() == 0
    assert "NOPERM" not in running.log
    assert "fail" not in {finding.status for finding in broker.check(url)}
    refused = [str(entry) for entry in cast("list[object]", acl(admin, "LOG"))]
    # Redis 6.2 takes nobody's `CLIENT SETINFO`, which the client does not mind.
    assert not [it for it in refused if name in it and "cmd=client" not in it]


@pytest.mark.parametrize(
    "without",
    ["~dioptra-worker:*", "~rq:*", "&rq:pubsub:*", "+@scripting", "+@blocking"],
)
def test_a_right_that_is_missing(
    without: str, user: tuple[redis.Redis, str, str]
) -> None:
    """Is found out at the start, and told with what is needed."""
    admin, name, url = user
    rules = [rule for rule in RULES if rule != without]
    if without == "+@blocking":  # which other categories have, too
        rules.append("-blmove")
    acl(admin, "SETUSER", name, *rules)
    with connect(url) as client, pytest.raises(ServiceRefused, match="these rights"):
        check_rights(client)
    findings = list(broker.check(url))
    assert [finding for finding in findings if finding.status == "fail"]


def test_the_worker_ends_without_its_rights(
    stack: LocalStack, user: tuple[redis.Redis, str, str], tmp_path: Path
) -> None:
    """It takes no job that it could not keep, and says why in one sentence."""
    admin, name, url = user
    acl(admin, "SETUSER", name, "~rq:*", "&*", "+@all")
    environment = {**stack.environment(), "RQ_REDIS_URI": url}
    with worker(environment, tmp_path, "some-queue", ready=False) as running:
        assert running.wait(60) == 3
    assert "may not do what a worker does" in running.log
    assert "~dioptra-worker:*" in running.log
    assert "Traceback" not in running.log
    assert PASSWORD not in running.log


def test_a_right_that_is_taken_away(user: tuple[redis.Redis, str, str]) -> None:
    """While it runs, a worker waits and says which."""
    admin, name, url = user
    acl(admin, "SETUSER", name, *RULES)
    with connect(url) as client:
        leases = Leases(client, worker="a")
        assert leases.acquire(1) is None
        leases.release(1)
        acl(admin, "SETUSER", name, "resetkeys", "~rq:*")
        with pytest.raises(ServiceUnavailable, match="not let its user") as failed:
            leases.acquire(1)
    assert isinstance(failed.value.__cause__, NoPermissionError)


@pytest.mark.parametrize(
    "query",
    ["decode_responses=True", "protocol=3", "socket_timeout=1&max_connections=1"],
)
def test_what_an_address_says_of_the_client(stack: LocalStack, query: str) -> None:
    """Is the worker's own business: it is as if it were not there."""
    url = f"{stack.environment()['RQ_REDIS_URI']}?{query}"
    with connect(url) as client:
        leases = Leases(client, worker="a")
        assert leases.acquire(5) is None
        assert leases.acquire(5) is None
        leases.release(5)
        assert isinstance(client.randomkey(), bytes | None)


def test_a_unix_socket(tmp_path: Path) -> None:
    """A Redis may listen at a socket only, and may have many databases."""
    with (
        valkey(tmp_path) as _,
        connect(f"unix://{tmp_path}/valkey.sock?db=3") as client,
    ):
        check_rights(client)
        assert client.client_info()["db"] == 3
        assert "fail" not in {
            finding.status for finding in broker.check(f"unix://{tmp_path}/valkey.sock")
        }


def test_a_planned_failover(tmp_path: Path) -> None:
    """The old primary stays up as a replica; the address leads to the new one."""
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    with (
        valkey(folders[0]) as first,
        valkey(folders[1]) as second,
        tcp_proxy(first) as proxy,
        connect(f"redis://127.0.0.1:{first}") as old,
        connect(f"redis://127.0.0.1:{second}") as new,
        connect(f"redis://127.0.0.1:{proxy.port}") as client,
    ):
        leases = Leases(client, worker="a")
        assert leases.acquire(7) is None
        with client.pipeline() as pipeline:
            pipeline.set("x", 1).execute()
        new.replicaof("127.0.0.1", first)
        until(lambda: new.info()["master_link_status"] == "up", seconds=30)
        new.replicaof("NO", "ONE")
        old.replicaof("127.0.0.1", second)
        proxy.target = second
        assert leases.acquire(8) is None  # a script, on the connection that was there
        with client.pipeline() as pipeline:
            pipeline.set("x", 2).execute()
        assert new.get("x") == b"2"
