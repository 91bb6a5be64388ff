"""What the benchmarks make of many slots: stand-ins for services, and a page."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
import requests
from benchmarks import replay, results, scale_page
from benchmarks.replay import PASSED_ON, Answer, Asked, Service
from benchmarks.results import Measure, Result
from benchmarks.rivals import OURS
from benchmarks.scenarios import slots
from benchmarks.stand_ins import stand_ins
from benchmarks.words import RATE
from tests.plugins.insisting_store import insisting_store
from tests.unit.test_benchmarks import ABOUT

if TYPE_CHECKING:
    from pathlib import Path

FIRST, OTHER = "7", "1000001"
CREATE = "/api/2.0/mlflow/runs/create"


class Upstream:
    """The real services, which count what they are asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = 0
        self.next: object = {}
        monkeypatch.setattr(replay, "_fetch", self._fetch)

    def _fetch(self, _upstream: str, _asked: Asked) -> Answer:
        self.asked += 1
        return Answer(200, [], json.dumps(self.next).encode(), 0.0)


@pytest.fixture(name="upstream")
def _upstream(monkeypatch: pytest.MonkeyPatch) -> Upstream:
    return Upstream(monkeypatch)


def _said(service: Service, method: str, target: str, body: object = None) -> Any:
    content = b"" if body is None else json.dumps(body).encode()
    answer = asyncio.run(service.answer(Asked(method, target, {}, content)))
    return json.loads(answer.body)


def test_another_job_is_answered_as_the_first(upstream: Upstream) -> None:
    """In the order of the first, with its own number, and without the real service."""
    service = Service("")
    for status in ("queued", "started"):
        upstream.next = {"id": 7, "entrypoint": {"id": 7}, "status": status}
        _said(service, "GET", f"/api/v1/jobs/{FIRST}")
    upstream.next = {"id": 3}
    _said(service, "POST", "/api/v1/artifacts/", {"job": 7})
    service.source = FIRST
    said = [_said(service, "GET", f"/api/v1/jobs/{OTHER}") for _ in range(3)]
    assert [(it["id"], it["status"]) for it in said] == [
        (int(OTHER), "queued"),
        (int(OTHER), "started"),
        (int(OTHER), "started"),
    ]
    assert said[0]["entrypoint"] == {"id": 7}
    assert _said(service, "POST", "/api/v1/artifacts/", {"job": int(OTHER)}) == {
        "id": 3
    }
    assert upstream.asked == 3


def test_what_was_not_seen_is_asked_and_counted(upstream: Upstream) -> None:
    """It is no part of what is measured, and one sees it."""
    service = Service("", source=FIRST)
    _said(service, "DELETE", f"/api/v1/jobs/{OTHER}")
    assert upstream.asked == 1
    assert service.counts == {f"{PASSED_ON}DELETE /jobs/…": 1}


def test_a_run_is_the_one_that_was_asked_for(upstream: Upstream) -> None:
    """MLflow's answer has the tags of the request, and an id of its own."""
    service = Service("")
    run = "a" * 32
    upstream.next = {
        "run": {
            "info": {"run_id": run, "artifact_uri": f"s3://b/{run}/artifacts"},
            "data": {"tags": []},
        }
    }
    _said(service, "POST", CREATE, {"tags": []})
    service.source = FIRST
    tags = [{"key": "dioptra.jobId", "value": OTHER}]
    made = [_said(service, "POST", CREATE, {"tags": tags})["run"] for _ in range(2)]
    assert [it["data"]["tags"] for it in made] == [tags, tags]
    ids = [it["info"]["run_id"] for it in made]
    assert len({run, *ids}) == 3
    assert made[0]["info"]["artifact_uri"] == f"s3://b/{ids[0]}/artifacts"


@pytest.mark.process
def test_a_process_stands_in() -> None:
    """It passes on, answers again by itself, and says what it was asked."""
    with insisting_store(lambda _: True) as store:
        real = {
            "DIOPTRA_API": store.address,
            "MLFLOW_TRACKING_URI": store.address,
            "MLFLOW_S3_ENDPOINT_URL": store.address,
            "OTHER": "as it is",
        }
        with stand_ins(real) as standing:
            assert standing.environment["OTHER"] == "as it is"
            address = standing.environment["DIOPTRA_API"]

            def put(job: int) -> int:
                answer = requests.put(
                    f"{address}/api/v1/jobs/{job}/log", data=b"{}", timeout=10
                )
                return answer.status_code

            assert put(7) == 200
            standing.replay(7)
            assert [put(8), put(9)] == [200, 200]
            assert standing.asked().counts["api"] == {"PUT /jobs/…/log": 2}
            assert standing.asked().counts["api"] == {}
        assert [asked.path for asked in store.asked] == ["/api/v1/jobs/7/log"]


def _measured() -> Result:
    costs = {
        slots.REQUESTS: 10.0,
        slots.API_TIME: 0.1,
        slots.COMMANDS: 50.0,
        slots.REDIS_TIME: 0.002,
        slots.WORKER_TIME: 0.05,
        slots.IDLE_COMMANDS: 30.0,
        slots.IDLE_REQUESTS: 0.0,
        slots.QUEUE_REQUESTS: 2.0,
    }
    rates = {1: 4.0, 2: 7.5, 4: 14.0, 8: 25.0}
    measures = [
        Measure(slots.name_of(number), RATE, {OURS: [rate]})
        for number, rate in rates.items()
    ]
    measures += [Measure(name, "", {OURS: [value]}) for name, value in costs.items()]
    return Result(measures, about=ABOUT)


def test_the_page_of_many_slots(tmp_path: Path) -> None:
    """It has the curve beside the model, and what follows for a thousand workers."""
    assert "Nothing has been measured" in scale_page.page(tmp_path)
    results.write(_measured(), tmp_path / "slots.json")
    text = scale_page.page(tmp_path)
    assert "| 8 | 25 | 32 | 40 |" in text
    assert "10 slots fill the 2 processors" in text
    assert "500 commands a second, 2.0% of the one processor" in text
    assert "2 requests a minute, since of many workers" in text
    assert "4,000 jobs a second" in text
    assert "at 10.0 jobs a second: 2.5 slots" in text
    assert "8 slots" in scale_page.curve(tmp_path)
