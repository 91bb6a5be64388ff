"""The sequential floor: what a Hello World costs if only its requests are made.

The very requests that our warm worker makes for `entrypoints/hello-world` are sent
one after the other, each over a connection that is open already, and nothing else is
done. A worker that does the same in sequence cannot be faster.
"""

from __future__ import annotations

import html
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import boto3
import requests
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.stage import Stage
    from dioptra_worker.api.models import LogLine

_SECONDS = 30.0
_TAR = {"fileType": "tar_gz"}
_TEXT = b"1. Hello, World!\n2. Hello, World!\n3. Hello, World!\n"


class Floor:
    """Does a Hello World's requests, and nothing else.

    Attributes:
        seconds: How long each request took, by its name, in order.
    """

    def __init__(self, stage: Stage, log: Sequence[LogLine]) -> None:
        """Log in, and open every connection.

        Args:
            stage: The services.
            log: What a worker has written to the log of such a job.
        """
        environment = stage.environment
        self.seconds: dict[str, list[float]] = {}
        self._stage = stage
        self._log = [
            {
                "severity": line.severity,
                "loggerName": line.logger,
                "message": html.escape(line.message, quote=False),
            }
            for line in log
        ]
        self._api = f"{environment['DIOPTRA_API']}/api/v1"
        self._mlflow = f"{environment['MLFLOW_TRACKING_URI']}/api/2.0/mlflow"
        self._http = requests.Session()
        self._http.trust_env = False
        self._s3 = boto3.client(
            "s3",
            endpoint_url=environment["MLFLOW_S3_ENDPOINT_URL"],
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            region_name=environment["AWS_DEFAULT_REGION"],
        )
        login = {
            "username": environment["DIOPTRA_WORKER_USERNAME"],
            "password": environment["DIOPTRA_WORKER_PASSWORD"],
        }
        self._send("POST", f"{self._api}/auth/login", json=login)
        self._send("GET", f"{self._mlflow}/experiments/get", params=_EXPERIMENT)
        self._s3.list_buckets()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._http.close()
        self._s3.close()

    def do(self, job_id: int) -> float:
        """Make every request for a job that is queued; how long they took in all."""
        began = time.perf_counter()
        self._status(job_id, "started")
        job = self._get("job", f"/jobs/{job_id}")
        place = f"/entrypoints/{job['entrypoint']['id']}"
        place += f"/snapshots/{job['entrypoint']['snapshotId']}"
        config = self._get("configuration", f"/jobs/{job_id}/config")
        self._download("task plugins", f"{place}/plugins/bundle")
        self._download("artifact plugins", f"{place}/artifactPlugins/bundle")
        plugins = self._get("artifact tasks", f"{place}/artifactPlugins")
        parameters = self._get("parameters", f"/jobs/{job_id}/parameters")
        run = self._create_run(job_id, parameters)
        self._store(job, run, config, plugins)
        self._end(job_id, run["run_id"])
        return time.perf_counter() - began

    def _create_run(self, job_id: int, parameters: dict[str, Any]) -> dict[str, str]:
        tag = {"key": "dioptra.jobId", "value": str(job_id)}
        body: dict[str, Any] = {
            **_EXPERIMENT,
            "start_time": _milliseconds(),
            "tags": [tag],
        }
        info: dict[str, str] = self._post_mlflow("create MLflow run", "create", body)[
            "run"
        ]["info"]
        with self._timed("tell the API the run"):
            self._send(
                "POST",
                f"{self._api}/jobs/{job_id}/mlflowRun",
                json={"mlflowRunId": info["run_id"]},
            )
        values = [{"key": key, "value": str(v)} for key, v in parameters.items()]
        name = [{"key": "mlflow.runName", "value": f"hello-world (job {job_id})"}]
        self._post_mlflow(
            "parameters to MLflow",
            "log-batch",
            {"run_id": info["run_id"], "params": values, "tags": name},
        )
        return info

    def _store(
        self,
        job: dict[str, Any],
        run: dict[str, str],
        config: dict[str, Any],
        plugins: list[dict[str, Any]],
    ) -> None:
        graph = yaml.safe_dump(config, sort_keys=False).encode()
        self._put("task graph to S3", f"{run['artifact_uri']}/hello-world.yml", graph)
        uri = f"{run['artifact_uri']}/letter/letter.md"
        self._put("artifact to S3", uri, _TEXT)
        plugin = plugins[0]
        file = next(file for file in plugin["files"] if file["tasks"]["artifacts"])
        body = {
            "group": job["group"]["id"],
            "job": job["id"],
            "artifactUri": uri,
            "pluginSnapshotId": plugin["snapshotId"],
            "taskId": file["tasks"]["artifacts"][0]["id"],
            "description": "",
        }
        with self._timed("register the artifact"):
            self._send("POST", f"{self._api}/artifacts/", json=body)

    def _end(self, job_id: int, run_id: str) -> None:
        self._post_mlflow(
            "end MLflow run",
            "update",
            {"run_id": run_id, "status": "FINISHED", "end_time": _milliseconds()},
        )
        with self._timed("log"):
            self._send(
                "POST", f"{self._api}/jobs/{job_id}/log", json={"data": self._log}
            )
        self._status(job_id, "finished")

    def _status(self, job_id: int, status: str) -> None:
        place = f"/experiments/{self._stage.experiment}/jobs/{job_id}/status"
        with self._timed(f"status {status}"):
            self._send("PUT", self._api + place, json={"status": status})

    def _get(self, name: str, path: str) -> Any:
        with self._timed(name):
            return self._send("GET", self._api + path).json()

    def _download(self, name: str, path: str) -> None:
        with self._timed(name):
            self._send("GET", self._api + path, params=_TAR)

    def _post_mlflow(self, name: str, path: str, body: dict[str, Any]) -> Any:
        with self._timed(name):
            return self._send("POST", f"{self._mlflow}/runs/{path}", json=body).json()

    def _put(self, name: str, uri: str, body: bytes) -> None:
        parts = urlsplit(uri)
        with self._timed(name):
            self._s3.put_object(
                Bucket=parts.netloc, Key=parts.path.lstrip("/"), Body=body
            )

    def _send(self, method: str, url: str, **options: Any) -> requests.Response:
        answer = self._http.request(method, url, timeout=_SECONDS, **options)
        answer.raise_for_status()
        return answer

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds.setdefault(name, []).append(time.perf_counter() - began)


_EXPERIMENT = {"experiment_id": "0"}


def _milliseconds() -> int:
    return int(time.time() * 1000)
