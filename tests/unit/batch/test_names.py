"""Each name of the batch classes is there, and does what the reference says."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.batch.test_elements import Desk, Picky

from dioptra_worker import batch
from dioptra_worker.batch import (
    ActivityState,
    BadBatch,
    CachedElement,
    DatasetWorker,
    Set,
)
from dioptra_worker.sdk.client.errors import StatusCodeError
from dioptra_worker.sdk.worker import bridge
from dioptra_worker.sdk.worker.bridge import InputFolder, JobContext

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).resolve().parents[3] / "docs/reference/batch-api.md"


@pytest.fixture(name="desk")
def _desk() -> Iterator[Desk]:
    desk = Desk()
    bridge.install(desk)
    yield desk
    bridge.install(None)


class Api:
    """A client whose answers are written down beforehand."""

    def __init__(self, *answers: Any) -> None:
        self.jobs = self
        self.asked: list[object] = []
        self._answers = list(answers)

    def get_by_id(self, id_: object) -> Any:
        """The next answer."""
        self.asked.append(id_)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_every_name_of_the_reference_is_there() -> None:
    """What the page says is here, is here."""
    rows = re.findall(r"^\| .+? \| `(\w+)(?:\.(\w+))?`", PAGE.read_text(), re.M)
    assert len(rows) > 25
    for owner, name in rows:
        found = getattr(batch, owner)
        worker = Picky() if owner == "BaseWorker" else found
        assert not name or hasattr(worker, name), f"{owner}.{name}"


def test_configurations_are_apart_and_together(desk: Desk, tmp_path: Path) -> None:
    """Defaults, a model's and the job's own are merged in this order."""
    (tmp_path / "configuration.json").write_text('{"rate": 2, "size": 3}')
    desk.context = JobContext(
        parameters={"rate": 4, "size": 1, "name": "x"},
        defaults={"rate": 1, "size": 1, "name": "x"},
        inputs={"model": InputFolder(1, tmp_path)},
        worker_run="465a8320",
    )
    worker = Picky()
    worker.configure()
    assert worker.model_configuration == {"rate": 2, "size": 3}
    assert worker.user_configuration == {"rate": 4}
    assert worker.config == {"rate": 4, "size": 3, "name": "x"}
    assert worker.worker_run_id == "465a8320"
    assert worker.store_activity


def test_activities_by_hand(desk: Desk) -> None:
    """An element is claimed once, and settled; what another has is refused."""
    desk.states["held"] = "held"
    worker = Picky()
    worker.configure()
    assert worker.update_activity("a", ActivityState.Started)
    assert worker.update_activity("a", ActivityState.Processed)
    assert not worker.update_activity("a", ActivityState.Started)
    assert not worker.update_activity("held", ActivityState.Started)
    assert desk.states["a"] == "processed"


def test_activities_that_nobody_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a read-only run everything may be processed."""
    monkeypatch.setattr("sys.argv", ["worker"])
    worker = Picky()
    worker.configure()
    assert worker.update_activity("a", ActivityState.Started)
    assert worker.worker_run_id is None
    assert worker.process_information == {}


def test_the_process(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job is asked for once."""
    api = Api({"experiment": {"id": 3}})
    worker = Picky()
    monkeypatch.setattr(worker, "api_client", lambda: api)
    assert worker.process_information["experiment"] == {"id": 3}
    assert worker.process_information["experiment"] == {"id": 3}
    assert api.asked == [desk.job_id]


def test_requests_are_repeated(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A failing API is asked five times, with pauses; a refusal is final."""
    pauses: list[float] = []
    monkeypatch.setattr("dioptra_worker.batch.base.time.sleep", pauses.append)
    worker = Picky()
    failure = StatusCodeError(503, "away")
    api = Api(failure, failure, {"id": 1})
    monkeypatch.setattr(worker, "api_client", lambda: api)
    with caplog.at_level(logging.WARNING):
        assert worker.request("jobs.get_by_id", 1) == {"id": 1}
    assert "jobs.get_by_id failed, again in 3 s" in caplog.text
    for answers, tried in (([failure] * 5, 5), ([StatusCodeError(404, "none")], 1)):
        api = Api(*answers)
        with pytest.raises(StatusCodeError):
            worker.request("jobs.get_by_id", 1)
        assert len(api.asked) == tried
    assert pauses == [3, 4, 3, 4, 8, 16]
    with pytest.raises(BadBatch, match="is no operation of the client"):
        worker.request("RetrieveElement", id=1)


def test_elements_of_a_database(tmp_path: Path) -> None:
    """Rows of the cache are told from other elements by their class."""
    assert issubclass(CachedElement, batch.Element)
    assert not Picky().use_cache
    assert CachedElement({"id": 1, "size": 2}).size == 2
    del tmp_path


def test_sets_of_the_process(desk: Desk, tmp_path: Path) -> None:
    """The process' sets come first, then those that are asked for."""
    (tmp_path / "train").mkdir()
    desk.context = JobContext(inputs={"data": InputFolder(7, tmp_path)})
    worker = DatasetWorker()
    worker.configure()
    assert [one.id for one in worker.list_process_sets()] == ["7:train"]
    assert [one.id for one in worker.list_sets()] == ["7:train"]
    assert all(isinstance(one, Set) for one in worker.list_sets())
