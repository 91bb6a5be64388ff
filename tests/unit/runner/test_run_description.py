"""A job is described in its MLflow run beside its steps, without holding them up."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
import yaml
from tests.unit.api.scripted import Answer, Request, ScriptedApi

from dioptra_worker.errors import ServiceRefused
from dioptra_worker.protocol.messages import Plan
from dioptra_worker.runner.run_description import describing_run
from dioptra_worker.tracking.mlflow.run import MlflowTracking

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dioptra_worker.tracking.upload_digests import UploadDigests

PLAN = Plan(
    job_id=7,
    entrypoint="train/all",
    config={"graph": {"größe": {"f": [1]}}},
    parameters={"epochs": 3},
    artifact_tasks=(),
    inputs=(),
    plugins="",
    artifact_plugins="",
)
RUN = "0" * 32


class Shelf:
    """A store that keeps what it is given."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    part_size = 0

    def put(
        self, path: Path, folder: str, *, digests: UploadDigests | None = None
    ) -> str:
        """Keep a file's text."""
        del digests
        assert folder == ""
        self.kept[path.name] = path.read_text(encoding="utf-8")
        return f"shelf:/{path.name}"


class Refusing(Shelf):
    """A store that takes nothing."""

    part_size = 0

    def put(
        self, path: Path, folder: str, *, digests: UploadDigests | None = None
    ) -> str:
        """Refuse."""
        del digests
        raise ServiceRefused(f"no {path.name}{folder}", service="shelf")


class SlowMlflow:
    """An MLflow that answers when it is told to."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.server = ScriptedApi(self._answer)

    def _answer(self, _: Request) -> Answer:
        assert self.may_answer.wait(60.0)
        return Answer()


@pytest.fixture(name="mlflow")
def _mlflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[SlowMlflow]:
    mlflow = SlowMlflow()
    monkeypatch.chdir(tmp_path)
    with mlflow.server.running() as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        yield mlflow
        mlflow.may_answer.set()
        for thread in threading.enumerate():  # none may outlive the server
            if thread.name in {"dioptra-description", "dioptra-naming"}:
                thread.join(60.0)
                assert not thread.is_alive()


def test_steps_do_not_wait_for_it(mlflow: SlowMlflow) -> None:
    """The steps run before MLflow has answered; when they are done it has arrived."""
    shelf = Shelf()
    with describing_run(
        PLAN, run_id=RUN, store=shelf, describe=MlflowTracking().describe
    ):
        assert not mlflow.may_answer.is_set()
        mlflow.may_answer.set()
    (request,) = (r for r in mlflow.server.requests if r.path.endswith("log-batch"))
    assert request.body["params"] == [{"key": "epochs", "value": "3"}]
    assert yaml.safe_load(shelf.kept["train_all.yml"]) == PLAN.config


@pytest.mark.parametrize(
    "ending", [ValueError("a step"), SystemExit(0), KeyboardInterrupt()], ids=repr
)
def test_a_failed_job_is_described_too(
    mlflow: SlowMlflow, ending: BaseException
) -> None:
    """A job that fails has its parameters and graph in MLflow, however it fails."""
    mlflow.may_answer.set()
    shelf = Shelf()
    with (
        pytest.raises(type(ending)),
        describing_run(
            PLAN, run_id=RUN, store=shelf, describe=MlflowTracking().describe
        ),
    ):
        raise ending
    paths = [request.path for request in mlflow.server.requests]
    assert any(path.endswith("runs/log-batch") for path in paths)
    assert shelf.kept


def test_naming_a_run_says_nothing_of_its_status(mlflow: SlowMlflow) -> None:
    """MLflow is not led to write a status that it read before the run was closed."""
    mlflow.may_answer.set()
    with describing_run(
        PLAN, run_id=RUN, store=Shelf(), describe=MlflowTracking().describe
    ):
        pass
    bodies = {r.path.rpartition("/")[2]: r.body for r in mlflow.server.requests}
    assert set(bodies) == {"update", "log-batch"}
    naming, batch = bodies["update"], bodies["log-batch"]
    assert naming["run_name"] == "train/all (job 7)"
    assert naming["run_id"] == RUN
    assert "status" not in naming
    assert {tag["key"] for tag in batch["tags"]} == {
        "mlflow.source.name",
        "mlflow.source.type",
    }


class Stopped(BaseException):
    """As `JobStopped`."""


def test_a_job_that_is_stopped_does_not_wait(mlflow: SlowMlflow) -> None:
    """Whoever is told to stop stops although MLflow does not answer."""
    with (
        pytest.raises(Stopped),
        describing_run(
            PLAN, run_id=RUN, store=Shelf(), describe=MlflowTracking().describe
        ),
    ):
        raise Stopped
    assert not mlflow.may_answer.is_set()


def test_an_mlflow_that_hangs_is_left(
    mlflow: SlowMlflow, caplog: pytest.LogCaptureFixture
) -> None:
    """A job waits for its description for a bounded time and says what may lack."""
    began = time.monotonic()
    with describing_run(
        PLAN, run_id=RUN, store=Shelf(), describe=MlflowTracking().describe, timeout=0.2
    ):
        pass
    assert time.monotonic() - began < 30.0
    assert not mlflow.may_answer.is_set()
    assert "may be missing" in caplog.text


def test_a_store_that_refuses_fails_nothing(
    mlflow: SlowMlflow, caplog: pytest.LogCaptureFixture
) -> None:
    """A store that does not take the task graph costs the job one line."""
    mlflow.may_answer.set()
    with describing_run(
        PLAN, run_id=RUN, store=Refusing(), describe=MlflowTracking().describe
    ):
        pass
    assert "no train_all.yml" in caplog.text
