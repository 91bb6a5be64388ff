"""Whatever JSON the REST API answers, a call ends, with a value or an error of ours."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.plugins.hostile_server import hostile_server

from dioptra_worker.api.client import DioptraApi
from dioptra_worker.api.models import Job
from dioptra_worker.api.user_client import UserClient
from dioptra_worker.errors import ServiceUnavailable, WorkerError
from dioptra_worker.sdk.client.errors import JSONDecodeError, StatusCodeError
from dioptra_worker.sdk.client.transport import Transport
from dioptra_worker.tools.jobs.job_row import JobRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.plugins.hostile_server import Conversation

KEYS = (
    *("id", "data", "totalNumResults", "status", "experiment", "group", "entrypoint"),
    *("snapshotId", "name", "queue", "mlflowRunId", "artifacts", "fileSize", "isDir"),
    *("artifact_task", "outputs", "parameters", "message", "username", "createdOn"),
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["\ud800", "../..", 1 << 80, "0" * 32])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS) | st.text(max_size=4), inner, max_size=6
        )
    ),
    max_leaves=12,
)
JOB = Job(
    id=7,
    experiment_id=3,
    group_id=1,
    status="queued",
    entrypoint_id=5,
    entrypoint_snapshot_id=50,
    entrypoint_name="train",
    queue="cpu",
)
CALLS: list[Callable[[DioptraApi], Any]] = [
    lambda api: api.identity(),
    lambda api: api.platform_version(),
    lambda api: api.job(7),
    lambda api: api.jobs_with_status("queued"),
    lambda api: api.mlflow_run(7),
    lambda api: api.set_mlflow_run(7, "0" * 32),
    lambda api: api.job_config(7),
    lambda api: api.entrypoint_config(JOB),
    lambda api: api.parameters(7),
    lambda api: api.artifact_parameters(7),
    lambda api: api.artifact_plugins(JOB),
    lambda api: api.declared_parameters(JOB),
    lambda api: api.artifact(1),
    lambda api: api.artifacts(7),
    lambda api: api.artifact_extent(1),
    lambda api: list(api.log_backwards(7, first=2)),
    lambda api: api.queue_names(),
]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(body=VALUES, status=st.sampled_from([200, 200, 200, 400, 404, 500]))
def test_any_json_is_a_value_or_an_error(body: object, status: int) -> None:
    """Each call that the daemon makes ends, and with nothing but errors of ours."""
    content = json.dumps(body).encode()

    def answer(them: Conversation) -> None:
        # A list that says it goes on has an end here, since each page is one less.
        said = content if them.number < len(CALLS) * 2 else b'{"data": []}'
        them.answer(said, status=f"{status} X")

    with (
        hostile_server(answer) as url,
        DioptraApi(url=url, username="w", password="p", timeout=5) as api,
    ):
        for call in CALLS:
            with contextlib.suppress(WorkerError):
                call(api)


USER_CALLS: list[Callable[[UserClient], Any]] = [
    lambda client: client.import_archive(b"x", group=1, strategy="fail"),
    lambda client: client.find("queues", "a"),
    lambda client: client.names("queues"),
    lambda client: client.entrypoint(5),
    lambda client: client.swaps(5, 50),
    lambda client: client.create_experiment("a", group=1),
    lambda client: client.tags(),
    lambda client: client.tagged_entrypoints(1),
    lambda client: client.whoami(),
    lambda client: [
        JobRow.read(body) for body in client.jobs_page(index=0, length=9)[0]
    ],
    lambda client: JobRow.read(client.job(7)),
    lambda client: client.create_job(1, {}),
    lambda client: client.timeline(7),
    lambda client: client.second_status(7),
    lambda client: client.log(7),
    lambda client: client.metrics(7),
    lambda client: client.artifacts(7),
]
BODIES = VALUES | st.fixed_dictionaries({"data": VALUES, "totalNumResults": VALUES})


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(body=BODIES)
@example(body={"data": [{}], "totalNumResults": 1})
@example(body=[{"name": "a/../../b", "id": 1}])
def test_what_people_ask_for_is_a_value_or_an_error(body: object) -> None:
    """Each call of people's commands ends likewise; no KeyError of our own comes."""
    content = json.dumps(body).encode()

    def answer(them: Conversation) -> None:
        said = content if them.number < len(USER_CALLS) * 2 else b'{"data": []}'
        them.answer(said)

    with (
        hostile_server(answer) as url,
        DioptraApi(url=url, username="w", password="p", timeout=5) as api,
    ):
        for call in USER_CALLS:
            with contextlib.suppress(WorkerError):
                call(UserClient(api))


DUPLICATES = (
    b'{"id": 7, "status": "queued", "id": 8}',
    b'{"data": [{"a": 1, "a": 1}]}',
    b'{"\\u0061": 1, "a": 2}',
)


@pytest.mark.parametrize("body", DUPLICATES)
def test_two_members_of_a_name(body: bytes) -> None:
    """What one reader takes for one value and another for another is no answer."""
    with (
        hostile_server(lambda them: them.answer(body)) as url,
        DioptraApi(url=url, username="w", password="p", timeout=5) as api,
        pytest.raises(ServiceUnavailable, match="has two members"),
    ):
        api.request("GET", "jobs/7")


@pytest.mark.parametrize(
    "body", [*DUPLICATES, b"[" * 100_000, b"9" * 5000, b"\xff", b"", b"{", b"NaNN"]
)
def test_a_plugin_reads_what_is_wrong(body: bytes) -> None:
    """A plugin's client raises the platform's error, whatever is no honest JSON."""
    with hostile_server(lambda them: them.answer(body)) as url:
        transport = Transport(url, parse=True)
        with pytest.raises(JSONDecodeError) as caught:
            transport.send("GET", "/jobs/7")
        transport.close()
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("body", [b"[" * 100_000, b"9" * 5000, b"\xff", b"{}"])
def test_a_plugin_reads_a_refusal(body: bytes) -> None:
    """What an API says of its refusal is passed on, and never another error."""
    with hostile_server(lambda them: them.answer(body, status="400 X")) as url:
        transport = Transport(url, parse=True)
        with pytest.raises(StatusCodeError):
            transport.send("GET", "/jobs/7")
        transport.close()
