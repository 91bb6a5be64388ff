"""What people ask of the API, where its answers need care."""

from __future__ import annotations

import pytest
from tests.unit.api.scripted import Answer, Request, ScriptedApi

from dioptra_worker.api.client import DioptraApi
from dioptra_worker.api.user_client import UserClient
from dioptra_worker.errors import NotFound


def _long_series(request: Request) -> Answer:
    """The API's way with a metric's values: the index counts pages."""
    if request.path == "jobs/7/metrics":
        return Answer(body=[{"name": "loss", "value": 0.5}])
    page, length = int(request.query["index"]), int(request.query["pageLength"])
    steps = range(page * length, min((page + 1) * length, 1200))
    data = [{"value": 1.0, "step": step} for step in steps]
    return Answer(body={"data": data, "totalNumResults": 1200})


def test_long_series() -> None:
    """Every value of a long metric is read, each once."""
    with (
        ScriptedApi(_long_series).running() as server,
        DioptraApi(url=server.url, username="me", password="x") as api,
    ):
        points = UserClient(api).metrics(7)
    assert [point.step for point in points] == list(range(1200))


@pytest.mark.parametrize("deleted", [True, False])
def test_a_job_that_says_it_is_deleted(deleted: bool) -> None:
    """A job that the API still has, and calls deleted, is none that people have."""
    moments = ("createdOn", "lastModifiedOn", "snapshotCreatedOn")
    body = dict.fromkeys(moments, "2025-01-01T00:00:00+00:00") | {
        "id": 7,
        "status": "started",
        "deleted": deleted,
        "experiment": {"id": 1, "name": "trials"},
        "entrypoint": {"id": 2, "name": "train", "snapshotId": 3},
        "artifacts": [],
        "values": {},
        "timeout": "24h",
    }
    with (
        ScriptedApi(lambda _: Answer(body=body)).running() as server,
        DioptraApi(url=server.url, username="me", password="x") as api,
    ):
        client = UserClient(api)
        if deleted:
            with pytest.raises(NotFound, match="job 7 is deleted"):
                client.job(7)
        else:
            assert client.job(7)["status"] == "started"
