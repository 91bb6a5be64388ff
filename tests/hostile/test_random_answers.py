"""Whatever JSON the REST API answers, a call ends, with a value or an error of ours."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.plugins.hostile_server import hostile_server

from dioptra_worker.api.client import DioptraApi
from dioptra_worker.api.models import Job
from dioptra_worker.errors import WorkerError

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
    lambda api: api.config(JOB),
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
