"""The client against the real REST API."""

from __future__ import annotations

import io
import logging
import tarfile
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import requests

from dioptra_worker.api import USER_AGENT
from dioptra_worker.sdk.auth_client import get_authenticated_worker_client
from dioptra_worker.sdk.client import (
    DioptraClient,
    DioptraFile,
    connect_json_dioptra_client,
    connect_response_dioptra_client,
)
from dioptra_worker.sdk.client.errors import StatusCodeError
from dioptra_worker.sdk.worker import bridge
from dioptra_worker.sdk.worker.bridge import JobContext, Session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dioptra_worker.tools.local import LocalStack

LOG = logging.getLogger("test")
TASK_GRAPH = "say:\n  hello: [World]\n"
PLUGIN = """
from dioptra import pyplugs

@pyplugs.register
def hello(name):
    pass
"""


@pytest.fixture(scope="module")
def client(stack: LocalStack) -> Iterator[DioptraClient[dict[str, Any]]]:
    """A client that has logged in by itself, as on a laptop."""
    environment = stack.environment()
    connected = connect_json_dioptra_client(environment["DIOPTRA_API"])
    connected.auth.login(
        environment["DIOPTRA_WORKER_USERNAME"], environment["DIOPTRA_WORKER_PASSWORD"]
    )
    yield connected
    connected.close()


@pytest.fixture(scope="module")
def job_id(client: DioptraClient[dict[str, Any]]) -> int:
    """A job that waits on a queue which nobody watches."""
    unique = uuid.uuid4().hex[:8]
    queue = client.queues.create(1, f"unwatched-{unique}", description="for a test")
    plugin = client.plugins.create(group_id=1, name=f"plugin_{unique}")
    text = client.plugin_parameter_types.get(search='name:"string"')["data"][0]["id"]
    parameter = {"name": "name", "parameterType": text, "required": True}
    client.plugins.files.create(
        plugin["id"],
        filename="tasks.py",
        contents=PLUGIN,
        function_tasks=[
            {"name": "hello", "inputParams": [parameter], "outputParams": []}
        ],
    )
    entrypoint = client.entrypoints.create(
        1,
        f"entrypoint_{unique}",
        TASK_GRAPH,
        queues=[queue["id"]],
        plugins=[plugin["id"]],
    )
    experiment = client.experiments.create(
        1, f"experiment_{unique}", entrypoints=[entrypoint["id"]]
    )
    job = client.experiments.jobs.create(
        experiment["id"], entrypoint["id"], queue["id"], timeout="1h"
    )
    return int(job["id"])


@dataclass
class ApiBridge:
    """A bridge with a session of the real API; the daemon's outbox is a list."""

    job_id: int
    stack: LocalStack
    cookies: dict[str, str]
    renewed: int = 0
    metrics: list[tuple[str, float, int | None]] = field(default_factory=list)
    context: JobContext = field(default_factory=JobContext)

    def set_element_state(
        self, element: str, state: str, *, error: str = "", last: bool = False
    ) -> str:
        """Record nothing."""
        del element, state, error, last
        return "off"

    def append_metric(self, name: str, value: float, step: int | None) -> None:
        """Take a metric."""
        self.metrics.append((name, value, step))

    def session(self) -> Session:
        """Return the present session."""
        return Session(self.stack.environment()["DIOPTRA_API"], self.cookies)

    def renew(self) -> Session:
        """Log in as the daemon does."""
        environment = self.stack.environment()
        answer = requests.post(
            f"{environment['DIOPTRA_API']}/api/v1/auth/login",
            json={
                "username": environment["DIOPTRA_WORKER_USERNAME"],
                "password": environment["DIOPTRA_WORKER_PASSWORD"],
            },
            headers={"User-Agent": USER_AGENT},
            timeout=30,
        )
        self.renewed += 1
        self.cookies = answer.cookies.get_dict()
        return self.session()


@pytest.fixture
def installed(stack: LocalStack, job_id: int) -> Iterator[ApiBridge]:
    """A runner's bridge whose session has run out."""
    made = ApiBridge(job_id, stack, {"session": "long-gone"})
    bridge.install(made)
    yield made
    bridge.install(None)


def test_a_session_that_has_run_out_is_renewed(installed: ApiBridge) -> None:
    """The real API's 401 leads to one renewal, and to the answer."""
    client = get_authenticated_worker_client(LOG, "json")
    assert client.jobs.get_by_id(installed.job_id)["id"] == installed.job_id
    assert client.users.get_current()["username"]
    assert installed.renewed == 1


# NaN is not here: the API stores it as NULL in SQLite, and answers 500.
@pytest.mark.parametrize("value", [0.5, float("inf"), -float("inf"), 3])
def test_the_bridge_answers_a_metric_as_the_api_does(
    installed: ApiBridge, client: DioptraClient[dict[str, Any]], value: float
) -> None:
    """What a plugin gets back for a metric is what the real API would have said."""
    over_bridge = get_authenticated_worker_client(LOG, "json")
    ours = over_bridge.jobs.append_metric_by_id(installed.job_id, "m", value, 1)
    theirs = client.jobs.append_metric_by_id(installed.job_id, "m", value, 1)
    assert ours == theirs
    assert len(installed.metrics) == 1


@pytest.mark.parametrize(
    ("name", "step"),
    [
        *[("a", 0), ("_", 0), ("_a", 0), ("A1_", 2), ("1a", 0), ("a b", 0), ("", 0)],
        *[
            ("a-b", 0),
            ("ä", 0),
            ("a\n", 0),
            ("a\n\n", 0),
            ("ok", "3"),
            ("ok", "x"),
            ("ok", None),
        ],
        *[("ok", 1.5), ("ok", "")],
    ],
)
def test_the_bridge_refuses_what_the_api_refuses(
    installed: ApiBridge, client: DioptraClient[dict[str, Any]], name: str, step: Any
) -> None:
    """A name or step is refused at once exactly when the real API would refuse it."""

    def status(sender: DioptraClient[Any]) -> int:
        try:
            sender.jobs.append_metric_by_id(installed.job_id, name, 1.0, step)
        except StatusCodeError as error:
            return error.status_code
        return 200

    assert status(get_authenticated_worker_client(LOG, "json")) == status(client)


def test_metrics_and_logs_can_be_read_back(
    client: DioptraClient[dict[str, Any]], job_id: int
) -> None:
    """What is appended to a job without a bridge is there."""
    client.jobs.append_metric_by_id(str(job_id), "loss", 0.25, 4)
    history = client.jobs.get_metrics_snapshots_by_id(job_id, "loss")["data"]
    assert [(point["value"], point["step"]) for point in history] == [(0.25, 4)]
    record = {"severity": "INFO", "loggerName": "t", "message": "hello"}
    client.jobs.append_logs_by_id(job_id, [record])
    assert client.jobs.get_logs_by_id(job_id)["data"][0]["message"] == "hello"


def test_resources_with_tags_snapshots_and_drafts(
    client: DioptraClient[dict[str, Any]],
) -> None:
    """A queue lives through its whole life: draft, change, tag, snapshots, deletion."""
    unique = uuid.uuid4().hex[:8]
    draft = client.queues.new_resource_drafts.create(
        group_id=1, name=f"draft-{unique}", description=None
    )
    client.queues.new_resource_drafts.delete(draft_id=draft["id"])
    queue = client.queues.create(1, f"queue-{unique}")["id"]
    client.queues.modify_by_id(queue, f"queue-{unique}", description="changed")
    tag = client.tags.create(1, f"tag-{unique}")["id"]
    client.queues.tags.append(queue, ids=[tag])
    assert [t["id"] for t in client.queues.tags.get(queue)] == [tag]
    snapshots = client.queues.snapshots.get(queue)["data"]
    assert {s["description"] for s in snapshots} == {None, "changed"}
    client.queues.delete_by_id(queue)
    assert client.queues.get_by_id(queue)["deleted"] is True


def test_an_archive_of_resources_is_imported_and_comes_back(
    client: DioptraClient[dict[str, Any]], tmp_path: Path
) -> None:
    """An uploaded archive becomes a plugin whose files can be downloaded."""
    unique = uuid.uuid4().hex[:8]
    name = f"imported_{unique}"
    files = {
        "dioptra.toml": f'[[plugins]]\npath = "{name}"\n',
        f"{name}/tasks.py": PLUGIN,
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path, text in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    packed.seek(0)
    client.workflows.import_resources(
        1,
        DioptraFile("resources.tar.gz", packed, "application/gzip"),
        config_path="dioptra.toml",
        resolve_name_conflicts_strategy="overwrite",
    )
    plugin = client.plugins.get(search=f'name:"{name}"')["data"][0]
    saved = client.plugins.snapshots.get_files_bundle(
        plugin["id"], plugin["snapshot"], output_dir=tmp_path
    )
    with tarfile.open(saved) as archive:
        assert f"{name}/tasks.py" in archive.getnames()


def test_wrong_credentials_are_the_caller_s_to_see(stack: LocalStack) -> None:
    """A refused login is a StatusCodeError of one client and a 401 of the other."""
    address = stack.environment()["DIOPTRA_API"]
    answer = connect_response_dioptra_client(address).auth.login("nobody", "nothing")
    assert answer.status_code in (401, 403)
    with pytest.raises(StatusCodeError):
        connect_json_dioptra_client(address).auth.login("nobody", "nothing")
