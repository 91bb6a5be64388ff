"""The few calls of MLflow's REST API that the commands about worker runs need.

MLflow's own client takes two seconds to import, and these commands should answer at
once; what goes to the artifact store is left to that client.

Source: https://mlflow.org/docs/latest/api_reference/rest-api.html
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Self

import requests

from dioptra_worker.api import shapes
from dioptra_worker.api.errors import OTHER_SHAPE
from dioptra_worker.common.network.addresses import shown
from dioptra_worker.common.network.bounded_http import BoundedSession
from dioptra_worker.common.network.proxies import unreachable
from dioptra_worker.common.text import strict_json
from dioptra_worker.errors import ServiceRefused, ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SERVICE = "MLflow"
CONNECT_TIMEOUT = 5.0
ANSWER_TIMEOUT = 30.0
_PAGE = 1000
_LATEST = 253_402_300_799_000
"""The last moment that Python's times have, in milliseconds since 1970."""


def _moment(value: Any) -> None:
    if not 0 <= int(value) <= _LATEST:
        raise ValueError(value)


_RUN: shapes.Shape = {
    "info": {
        "run_id": str,
        "artifact_uri": str,
        "status": str,
        "start_time?": _moment,
        "end_time?": _moment,
    },
    "data?": {"tags?": [{"key": str, "value": str}]},
}
_ALREADY = "RESOURCE_ALREADY_EXISTS"
_MISSING = "RESOURCE_DOES_NOT_EXIST"


class MlflowApi:
    """An MLflow server; close it, or use it as a context.

    Every method raises `ServiceUnavailable` when the server does not answer, and
    `ServiceRefused` when it refuses.
    """

    def __init__(
        self,
        url: str,
        *,
        username: str = "",
        password: str = "",
        token: str = "",
        timeout: float = ANSWER_TIMEOUT,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            url: The server's address.
            username: For a server that wants one, with the password.
            password: See *username*.
            token: For a server that wants a bearer token instead.
            timeout: Seconds that an answer may take.
        """
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._session = BoundedSession(netrc=not (token or username))
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"
        elif username:
            self._session.auth = (username, password)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._session.close()

    def experiments(self) -> list[str]:
        """The ids of all experiments."""
        found = self._pages("experiments/search", "experiments", {})
        with _expected("experiments/search"):
            return [str(body["experiment_id"]) for body in found]

    def experiment(self, name: str, *, create: bool = False) -> str | None:
        """The id of an experiment by its name.

        Args:
            name: Its name.
            create: Whether to create it when there is none.
        """
        query = {"experiment_name": name}
        try:
            body = self._call("GET", "experiments/get-by-name", params=query)
        except ServiceRefused as error:
            if _code(error) != _MISSING:
                raise
            if not create:
                return None
        else:
            with _expected("experiments/get-by-name"):
                return str(body["experiment"]["experiment_id"])
        try:
            body = self._call("POST", "experiments/create", json={"name": name})
        except ServiceRefused as error:
            if _code(error) != _ALREADY:
                raise
            return self.experiment(name)  # somebody else has created it meanwhile
        with _expected("experiments/create"):
            return str(body["experiment_id"])

    def runs(self, experiments: list[str], condition: str) -> Iterator[dict[str, Any]]:
        """Runs as MLflow shows them, the newest first.

        Args:
            experiments: Where to look.
            condition: What to look for, in MLflow's search language.
        """
        query = {
            "experiment_ids": experiments,
            "filter": condition,
            "order_by": ["attributes.start_time DESC"],
        }
        for run in self._pages("runs/search", "runs", query):
            yield _run_of(run, "runs/search")

    def run(self, run_id: str) -> dict[str, Any]:
        """A run as MLflow shows it."""
        body = self._call("GET", "runs/get", params={"run_id": run_id})
        return _run_of(body, "runs/get", inside="run")

    def points(self, run_id: str, metric: str) -> list[tuple[float, int]]:
        """Value and step of each point of a run's metric, in order."""
        query = {"run_id": run_id, "metric_key": metric}
        body = self._call("GET", "metrics/get-history", params=query)
        with _expected("metrics/get-history"):
            return [
                (float(point["value"]), int(point.get("step", 0)))
                for point in body.get("metrics", [])
            ]

    def create_run(
        self, experiment: str, *, name: str, tags: Mapping[str, str], now: int
    ) -> dict[str, Any]:
        """Create a run that is finished at once.

        Args:
            experiment: Where.
            name: Its name.
            tags: Its tags.
            now: The time in milliseconds since 1970.
        """
        body = {
            "experiment_id": experiment,
            "run_name": name,
            "start_time": now,
            "tags": [{"key": key, "value": value} for key, value in tags.items()],
        }
        answer = self._call("POST", "runs/create", json=body)
        run = _run_of(answer, "runs/create", inside="run")
        ended = {
            "run_id": run["info"]["run_id"],
            "status": "FINISHED",
            "end_time": now,
        }
        self._call("POST", "runs/update", json=ended)
        return run

    def set_tag(self, run_id: str, key: str, value: str) -> None:
        """Put a tag on a run."""
        body = {"run_id": run_id, "key": key, "value": value}
        self._call("POST", "runs/set-tag", json=body)

    def delete_run(self, run_id: str) -> None:
        """Delete a run; MLflow keeps it until its own garbage collection."""
        self._call("POST", "runs/delete", json={"run_id": run_id})

    def _pages(
        self, path: str, name: str, query: Mapping[str, Any]
    ) -> Iterator[dict[str, Any]]:
        token = None
        seen: set[str] = set()
        while True:
            body = {**query, "max_results": _PAGE}
            if token:
                body["page_token"] = token
            answer = self._call("POST", path, json=body)
            with _expected(path):
                found, token = answer.get(name, []), answer.get("next_page_token")
                if not isinstance(found, list) or (token and str(token) in seen):
                    raise ValueError(f"{name}, or a page that was shown before")
                seen.add(str(token))
            yield from found
            if not token:
                return

    def _call(self, method: str, path: str, **options: Any) -> Any:
        try:
            answer = self._session.request(
                method,
                f"{self.url}/api/2.0/mlflow/{path}",
                timeout=(CONNECT_TIMEOUT, self._timeout),
                **options,
            )
            body = strict_json.loads(answer.content or b"{}")
        except (requests.RequestException, strict_json.NotJson) as error:
            words = unreachable(shown(self.url), "MLFLOW_TRACKING_URI", error)
            raise ServiceUnavailable(f"{SERVICE} {words}", service=SERVICE) from error
        if answer.ok:
            return body
        kind = ServiceRefused if answer.status_code < 500 else ServiceUnavailable
        condition = body.get("message") if isinstance(body, dict) else None
        raise kind(
            f"{SERVICE} did not do {path}: {condition or answer.reason}",
            service=SERVICE,
            status=answer.status_code,
            detail=body,
        )


@contextlib.contextmanager
def _expected(path: str) -> Iterator[None]:
    """Turn what reading an answer of another shape raises into one of our errors."""
    try:
        yield
    except OTHER_SHAPE as error:
        raise ServiceUnavailable(
            f"{SERVICE} answered {path} with JSON of another shape: check that"
            " MLFLOW_TRACKING_URI is the address of an MLflow server",
            service=SERVICE,
        ) from error


def _run_of(answer: Any, path: str, *, inside: str = "") -> dict[str, Any]:
    """A run as MLflow shows it, in which is what we read of one."""
    with _expected(path):
        run: dict[str, Any] = answer[inside] if inside else answer
        shapes.check(run, _RUN)
        return run


def tags_of(run: Mapping[str, Any]) -> dict[str, str]:
    """The tags of a run as MLflow shows it."""
    return {tag["key"]: tag["value"] for tag in run.get("data", {}).get("tags", [])}


def _code(error: ServiceRefused) -> str:
    detail = error.detail
    return str(detail.get("error_code", "")) if isinstance(detail, dict) else ""
