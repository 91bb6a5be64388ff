"""What people ask of the API, where its answers need care."""

from __future__ import annotations

from tests.unit.api.scripted import Answer, Request, ScriptedApi

from dioptra_worker.api.client import DioptraApi
from dioptra_worker.api.user_client import UserClient


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
