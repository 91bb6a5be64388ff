"""MLflow's answers are read as strictly as others, and nothing else is removed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import requests
from tests.unit.api.scripted import Answer, ScriptedApi

from dioptra_worker.api.models import Artifact
from dioptra_worker.common.network.bounded_http import BoundedSession
from dioptra_worker.errors import ServiceUnavailable
from dioptra_worker.tools.lineage import results
from dioptra_worker.tools.lineage.mlflow_api import MlflowApi
from dioptra_worker.tools.lineage.results import Results
from dioptra_worker.tools.lineage.runs import Execution

if TYPE_CHECKING:
    from collections.abc import Callable

INFO = {"run_id": "abc", "artifact_uri": "s3://b/0/abc/artifacts", "status": "RUNNING"}
CALLS: dict[str, Callable[[MlflowApi], object]] = {
    "run": lambda mlflow: mlflow.run("abc"),
    "runs": lambda mlflow: list(mlflow.runs(["0"], "x")),
    "experiments": lambda mlflow: mlflow.experiments(),
    "experiment": lambda mlflow: mlflow.experiment("x"),
    "points": lambda mlflow: mlflow.points("abc", "loss"),
    "create_run": lambda mlflow: mlflow.create_run("0", name="x", tags={}, now=1),
}
ODD: list[Any] = [
    [],
    None,
    7,
    {"run": {}, "runs": [{}], "experiments": [7], "experiment": [], "metrics": [7]},
    {"run": [], "runs": 7, "experiments": 7, "experiment": {}, "metrics": 7},
    {"run": {"info": {**INFO, "start_time": 10**20}}, "runs": [{"info": 7}]}
    | {"experiments": [[]], "experiment": None, "metrics": [{"value": "x"}]},
    {"run": {"info": {**INFO, "status": 7}}, "runs": [{"info": {**INFO, "run_id": 7}}]}
    | {"experiments": [{}], "experiment": "", "metrics": [[]]},
    {"run": {"info": INFO, "data": {"tags": [{"key": "x"}]}}, "runs": ["x"]}
    | {"experiments": [None], "experiment": 7, "metrics": [None]},
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("body", ODD)
def test_other_shapes(call: str, body: Any) -> None:
    """They are one of our errors, with a sentence."""
    with (
        ScriptedApi(lambda _: Answer(body=body)).running() as server,
        MlflowApi(server.url) as mlflow,
        pytest.raises(ServiceUnavailable, match="another shape"),
    ):
        CALLS[call](mlflow)


def test_the_same_page_again() -> None:
    """A list has an end, whatever its server says."""
    body = {"experiments": [{"experiment_id": "0"}], "next_page_token": "same"}
    with (
        ScriptedApi(lambda _: Answer(body=body)).running() as server,
        MlflowApi(server.url) as mlflow,
        pytest.raises(ServiceUnavailable, match="another shape"),
    ):
        mlflow.experiments()


def test_a_tag_that_is_no_number() -> None:
    """Anybody can change one; the run is then of no job that there is."""
    tags = [{"key": "dioptra.jobId", "value": "seven"}]
    assert Execution.read({"info": INFO, "data": {"tags": tags}}).job_id == 0


@pytest.mark.parametrize(
    ("uri", "removed"),
    [
        ("model/x.pt", "model/x.pt"),
        ("model/", "model"),
        ("", None),
        ("../../def/artifacts/m", None),
        ("a/%2e%2e/b", None),
        ("a//b", None),
    ],
)
def test_what_is_removed(
    monkeypatch: pytest.MonkeyPatch, uri: str, removed: str | None
) -> None:
    """Of an artifact that lies elsewhere, or is all of its run, nothing is."""
    found: list[str] = []
    monkeypatch.setattr(results, "remove", lambda _root, path: found.append(path))
    api: Any = SimpleNamespace(request=lambda *_, **__: None)
    nothing: Any = None
    execution = Execution.read({"info": INFO})
    for root in (INFO["artifact_uri"], f"{INFO['artifact_uri']}-2"):
        artifact = Artifact(
            id=1, snapshot_id=1, job_id=1, uri=f"{root}/{uri}", is_dir=False
        )
        Results(api, nothing)._delete(artifact, execution)
    assert found == ([] if removed is None else [removed])


@pytest.mark.parametrize("location", ["http://[/", "/\xff\xfe", "http://a:b:c/"])
def test_a_redirect_to_what_is_no_address(location: str) -> None:
    """It is an error of the request, as all others that `requests` raises."""
    headers = {"Location": location, "Content-Length": "0"}
    answer = Answer(status=302, body=b"", headers=headers)
    with (
        ScriptedApi(lambda _: answer).running() as server,
        BoundedSession() as session,
        pytest.raises(requests.RequestException),
    ):
        session.get(server.url, timeout=10)
