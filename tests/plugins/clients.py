"""Small clients to prepare a stack for a test and to read back what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import boto3
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_s3 import S3Client

_SECONDS = 30.0


class ApiClient:
    """The Dioptra REST API, as the worker's user; answers are JSON or an exception.

    Paths begin behind ``/api/v1``: ``api.get("/jobs/1")``.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.root = environment["DIOPTRA_API"] + "/api/v1"
        self.session = requests.Session()
        self.session.trust_env = False
        self.post(
            "/auth/login",
            {
                "username": environment["DIOPTRA_WORKER_USERNAME"],
                "password": environment["DIOPTRA_WORKER_PASSWORD"],
            },
        )

    def get(self, path: str, **query: object) -> Any:
        """GET; the query's names are the API's own (``pageLength``)."""
        return self.request("GET", path, params=query).json()

    def post(self, path: str, body: object = None) -> Any:
        """POST a JSON body."""
        return self.request("POST", path, json=body).json()

    def put(self, path: str, body: object = None) -> Any:
        """PUT a JSON body."""
        return self.request("PUT", path, json=body).json()

    def delete(self, path: str) -> Any:
        """DELETE."""
        return self.request("DELETE", path).json()

    def content(self, path: str, **query: object) -> bytes:
        """GET what is not JSON: bundles, artifact contents."""
        return self.request("GET", path, params=query).content

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send any request; the answer must be good.

        Raises:
            AssertionError: It is not; the message brings the API's words.
        """
        answer = self.session.request(
            method, self.root + path, timeout=_SECONDS, **options
        )
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:2000]}"
        return answer

    def queue_id(self, name: str) -> int:
        """Return the id of a queue of that name."""
        found = self.get("/queues/", search=f'name:"{name}"', pageLength=100)["data"]
        return next(
            cast("int", queue["id"]) for queue in found if queue["name"] == name
        )

    def close(self) -> None:
        """Close the connections."""
        self.session.close()


class MlflowReader:
    """What a test asks of the MLflow server, without importing MLflow."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.root = environment["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow"
        self.session = requests.Session()
        self.session.trust_env = False
        # The server hangs up on connections that were idle for some seconds, which may
        # be just when one is used again; to read twice does no harm.
        again = HTTPAdapter(max_retries=Retry(2, status=0, allowed_methods={"GET"}))
        self.session.mount("http://", again)

    def run(self, run_id: str) -> Any:
        """Return a run as the server describes it: ``info`` and ``data``."""
        return self._get("/runs/get", run_id=run_id)["run"]

    def search(self, expression: str) -> list[Any]:
        """Return the runs of the default experiment that fit a search expression."""
        body = {"experiment_ids": ["0"], "filter": expression}
        answer = self.session.post(
            f"{self.root}/runs/search", json=body, timeout=_SECONDS
        )
        assert answer.ok, f"{expression}: {answer.status_code} {answer.text[:2000]}"
        return cast("list[Any]", answer.json().get("runs", []))

    def status(self, run_id: str) -> str:
        """Return RUNNING, FINISHED, FAILED or KILLED."""
        return cast("str", self.run(run_id)["info"]["status"])

    def parameters(self, run_id: str) -> dict[str, str]:
        """Return a run's parameters."""
        return _as_mapping(self.run(run_id)["data"].get("params", []))

    def metrics(self, run_id: str) -> dict[str, float]:
        """Return a run's latest metrics."""
        return _as_mapping(self.run(run_id)["data"].get("metrics", []))

    def tags(self, run_id: str) -> dict[str, str]:
        """Return a run's tags."""
        return _as_mapping(self.run(run_id)["data"].get("tags", []))

    def artifacts(self, run_id: str, path: str = "") -> list[str]:
        """Return the paths of a run's artifacts in one folder."""
        listing = self._get("/artifacts/list", run_id=run_id, path=path)
        return [entry["path"] for entry in listing.get("files", [])]

    def close(self) -> None:
        """Close the connections."""
        self.session.close()

    def _get(self, place: str, **query: str) -> Any:
        answer = self.session.get(self.root + place, params=query, timeout=_SECONDS)
        assert answer.ok, f"{place} {query}: {answer.status_code} {answer.text[:2000]}"
        return answer.json()


def s3_client(environment: Mapping[str, str]) -> S3Client:
    """Return a boto3 client of the stack's S3 endpoint."""
    return boto3.client(
        "s3",
        endpoint_url=environment["MLFLOW_S3_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_DEFAULT_REGION"],
    )


def _as_mapping(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    return {pair["key"]: pair["value"] for pair in pairs}
