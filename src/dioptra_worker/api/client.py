"""The HTTP client of the Dioptra REST API, and the only place that knows `requests`.

Every call has a timeout, maps failures to the errors of `dioptra_worker.errors`, and
logs in again once when the API has forgotten the session. It never waits or retries
by itself: who calls knows how patient to be (see `dioptra_worker.api.patience`).
"""

from __future__ import annotations

import contextlib
import html
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from dioptra_worker.api import USER_AGENT
from dioptra_worker.api.models import ArtifactParameter, Job, LogRecord
from dioptra_worker.causes import cause
from dioptra_worker.errors import (
    Conflict,
    LoginRefused,
    NotFound,
    ServiceError,
    ServiceRefused,
    ServiceUnavailable,
)
from dioptra_worker.provenance import Parameter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

SERVICE = "Dioptra API"
CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 60.0
PARALLEL = 8
LONGEST_PAGE = 1000
LONGEST_RETRY_AFTER = 60.0
"""Seconds after which we ask again, whatever ``Retry-After`` said."""
_CHUNK = 1 << 20
GoOn = Callable[[], object]
_TAR = {"fileType": "tar_gz"}


class DioptraApi:
    """One user's session with the REST API; safe to use from several threads."""

    def __init__(
        self, *, url: str, username: str, password: str, timeout: float = READ_TIMEOUT
    ) -> None:
        """Prepare a session; nothing is sent yet.

        Args:
            url: The base URL, such as ``http://localhost:5000``.
            username: The user to log in as.
            password: That user's password.
            timeout: Seconds that the API may be silent during a request.
        """
        self.url = url
        self.username = username
        self._password = password
        self._timeout = timeout
        self._http = requests.Session()
        adapter = HTTPAdapter(pool_connections=2, pool_maxsize=PARALLEL)
        self._http.mount("http://", adapter)
        self._http.mount("https://", adapter)
        self._http.headers["User-Agent"] = USER_AGENT
        self._login_lock = threading.Lock()
        self._logins = 0
        self._declared: dict[int, tuple[Parameter, ...]] = {}
        self._known_as: tuple[int, str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # -- session ---------------------------------------------------------------

    def login(self) -> None:
        """Log in.

        Raises:
            LoginRefused: If the user or the password is wrong.
            ServiceUnavailable: If the API cannot be reached.
        """
        with self._login_lock:
            self._login()

    def cookies(self, *, renew: bool = False) -> dict[str, str]:
        """The session's cookies, for a runner that calls the API by itself.

        Args:
            renew: Log in again first.

        Returns:
            Cookie values by name.
        """
        if renew or not self._http.cookies:
            self.login()
        return {cookie.name: cookie.value or "" for cookie in self._http.cookies}

    def _login(self) -> None:
        body = {"username": self.username, "password": self._password}
        try:
            response = self._raw("POST", "auth/login", json=body)
            self._checked("POST", "auth/login", response).close()
        except ServiceRefused as error:
            raise LoginRefused(
                _login_sentence(self.username, self.url, error),
                service=SERVICE,
                status=error.status,
                detail=error.detail,
            ) from None
        self._logins += 1

    def ping(self) -> None:
        """See whether the API answers as itself.

        Raises:
            ServiceUnavailable: If it does not.
        """
        self._json("GET", "users/current")

    def identity(self) -> str:
        """Tell this user of this API from all others.

        An API that is set up anew at the same address is another one, though its
        numbers begin at 1 again: its users were created at another time.
        """
        known = self._known_as
        if known is None or known[0] != self._logins:
            user = self._json("GET", "users/current")
            text = f"{self.url} {user['id']} {user['username']} {user['createdOn']}"
            known = self._known_as = (self._logins, text)
        return known[1]

    def reach(self) -> None:
        """See, in far less than a request, whether anybody listens at its address.

        Raises:
            ServiceUnavailable: If nobody does.
        """
        if requests.utils.get_environ_proxies(self.url):
            self.ping()  # what listens there is the proxy
            return
        parts = urlsplit(self.url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            socket.create_connection((parts.hostname, port), CONNECT_TIMEOUT).close()
        except OSError as error:
            raise _away(self.url, error) from error

    # -- a job's life ----------------------------------------------------------

    def job(self, job_id: int) -> Job:
        """Fetch a job; `NotFound` when it was deleted."""
        path = f"jobs/{job_id}"
        body = self._json("GET", path)
        with _understood(path):
            return Job.read(body)

    def jobs_with_status(self, status: str) -> list[dict[str, Any]]:
        """All jobs with a status, as the API shows them."""
        jobs: list[dict[str, Any]] = []
        while True:
            query = {
                "search": f'status:"{status}"',
                "index": len(jobs),
                "pageLength": 500,
            }
            body = self._json("GET", "jobs/", params=query)
            jobs += body["data"]
            if not body["data"] or len(jobs) >= body["totalNumResults"]:
                return jobs

    def set_status(self, experiment_id: int, job_id: int, status: str) -> None:
        """Move a job to another status; a refused transition is `ServiceRefused`."""
        self._json(
            "PUT",
            f"experiments/{experiment_id}/jobs/{job_id}/status",
            json={"status": status},
        )

    def set_mlflow_run(self, job_id: int, run_id: str) -> None:
        """Say which MLflow run a job has; setting the same one twice is harmless."""
        try:
            self._json("POST", f"jobs/{job_id}/mlflowRun", json={"mlflowRunId": run_id})
        except ServiceRefused as error:
            if error.status != 400 or self.mlflow_run(job_id) != run_id:
                raise

    def mlflow_run(self, job_id: int) -> str | None:
        """The MLflow run that the API knows for a job, as 32 hexadecimal digits."""
        run = self._json("GET", f"jobs/{job_id}/mlflowRun").get("mlflowRunId")
        return str(run).replace("-", "") if run else None

    def config(self, job: Job) -> dict[str, Any]:
        """The task graph of a job, swaps chosen where the platform has them."""
        try:
            return self._mapping(f"jobs/{job.id}/config")
        except NotFound:  # platforms before 1.2
            return self._mapping(f"{_snapshot(job)}/config")

    def parameters(self, job_id: int) -> dict[str, Any]:
        """A job's typed values for the global parameters, by name."""
        return self._mapping(f"jobs/{job_id}/parameters")

    def artifact_parameters(self, job_id: int) -> list[ArtifactParameter]:
        """The artifacts that a job reads."""
        path = f"jobs/{job_id}/artifactParameters"
        body = self._mapping(path)
        with _understood(path):
            return [ArtifactParameter.read(name, entry) for name, entry in body.items()]

    def artifact_plugins(self, job: Job) -> list[dict[str, Any]]:
        """The plugins whose artifact tasks a job may write with."""
        body: list[dict[str, Any]] = self._json(
            "GET", f"{_snapshot(job)}/artifactPlugins"
        )
        return body

    # -- downloads -------------------------------------------------------------

    def plugins_bundle(
        self, job: Job, target: Path, go_on: GoOn = lambda: None
    ) -> None:
        """Download the plugins of a job's tasks as ``tar.gz``."""
        self._download(f"{_snapshot(job)}/plugins/bundle", target, go_on, params=_TAR)

    def artifact_plugins_bundle(
        self, job: Job, target: Path, go_on: GoOn = lambda: None
    ) -> None:
        """Download the plugins of a job's artifact tasks as ``tar.gz``."""
        path = f"{_snapshot(job)}/artifactPlugins/bundle"
        self._download(path, target, go_on, params=_TAR)

    def plugin_bundle(
        self,
        plugin_id: int,
        snapshot_id: int,
        target: Path,
        go_on: GoOn = lambda: None,
    ) -> None:
        """Download one plugin snapshot as ``tar.gz``."""
        path = f"plugins/{plugin_id}/snapshots/{snapshot_id}/files/bundle"
        self._download(path, target, go_on, params=_TAR)

    def declared_parameters(self, job: Job) -> tuple[Parameter, ...]:
        """All parameters of a job's entrypoint; asked for once per snapshot of it."""
        known = self._declared.get(job.entrypoint_snapshot_id)
        if known is None:
            body = self._json("GET", _snapshot(job))
            known = tuple(map(Parameter.read, body["parameters"]))
            self._declared[job.entrypoint_snapshot_id] = known
        return known

    def artifact_description(self, artifact_id: int) -> str:
        """What an artifact's description says now."""
        body = self._json("GET", f"artifacts/{artifact_id}")
        return str(body.get("description") or "")

    def artifact_contents(
        self,
        artifact: ArtifactParameter,
        target: Path,
        go_on: GoOn = lambda: None,
    ) -> None:
        """Download an artifact: the file itself, or a folder as ``tar.gz``."""
        path = (
            f"artifacts/{artifact.artifact_id}"
            f"/snapshots/{artifact.artifact_snapshot_id}/contents"
        )
        self._download(path, target, go_on, params=_TAR if artifact.is_dir else {})

    # -- results ---------------------------------------------------------------

    def post_log(self, job_id: int, records: Sequence[LogRecord]) -> None:
        """Append records to a job's log, in order.

        The server strips what looks like HTML from the text, so it is sent escaped
        and readers unescape it.
        """
        data = [
            {
                "severity": record.severity,
                "loggerName": record.logger,
                "message": html.escape(record.message, quote=False),
            }
            for record in records
        ]
        self._json("POST", f"jobs/{job_id}/log", json={"data": data})

    def log_backwards(self, job_id: int, *, first: int) -> Iterator[list[str]]:
        """The texts of a job's log as they were sent, from its end, page by page.

        That settles whether a request whose answer was lost has arrived.

        Args:
            job_id: The job.
            first: How many records the first page has; the others have more.
        """
        path = f"jobs/{job_id}/log"
        end = self._json("GET", path, params={"pageLength": 1})["totalNumResults"]
        size = min(first, LONGEST_PAGE)
        while end > 0:
            begin = max(0, end - size)
            query = {"index": begin, "pageLength": end - begin}
            found = self._json("GET", path, params=query)["data"]
            yield [html.unescape(entry["message"]) for entry in found]
            end, size = begin, LONGEST_PAGE

    def post_metric(
        self, job_id: int, name: str, value: float | str, step: int | None
    ) -> None:
        """Set a metric's value at a step; the same name and step overwrites."""
        body = {"name": name, "value": value}
        if step is not None:
            body["step"] = step
        self._json("POST", f"jobs/{job_id}/metrics", json=body)

    def register_artifact(
        self,
        *,
        group_id: int,
        job_id: int,
        uri: str,
        plugin_snapshot_id: int,
        task_id: int,
        description: str,
    ) -> None:
        """Make an artifact known; one that is known already is left as it is."""
        body = {
            "group": group_id,
            "job": job_id,
            "artifactUri": uri,
            "pluginSnapshotId": plugin_snapshot_id,
            "taskId": task_id,
            "description": description,
        }
        with contextlib.suppress(Conflict):
            self._json("POST", "artifacts/", json=body)

    # -- queues ----------------------------------------------------------------

    def queue_names(self) -> list[str]:
        """The names of all queues that the user can see."""
        names: list[str] = []
        while True:
            body = self._json(
                "GET", "queues/", params={"index": len(names), "pageLength": 100}
            )
            names += [queue["name"] for queue in body["data"]]
            if not body["data"] or len(names) >= body["totalNumResults"]:
                return names

    # -- anything else ---------------------------------------------------------

    def request(self, method: str, path: str, **options: Any) -> Any:
        """Send any request; `dioptra_worker.api.resources` is made of these.

        Args:
            method: Such as ``"GET"``.
            path: The path behind ``/api/v1/``.
            **options: As `requests.Session.request` takes them.

        Returns:
            The JSON of the answer.
        """
        return self._json(method, path, **options)

    # -- plumbing --------------------------------------------------------------

    def _mapping(self, path: str) -> dict[str, Any]:
        """GET what must be a JSON object; callers rely on it."""
        body = self._json("GET", path)
        with _understood(path):
            if not isinstance(body, dict):
                raise TypeError(f"{str(body)[:80]!r} is no object")
            return body

    def _json(self, method: str, path: str, **options: Any) -> Any:
        with self._authorised(method, path, **options) as response:
            try:
                return response.json()
            except (requests.exceptions.JSONDecodeError, RecursionError) as error:
                raise ServiceUnavailable(
                    f"the {SERVICE} answered {method} {path} with something that is"
                    f" not JSON: {response.text[:80]!r}",
                    service=SERVICE,
                    status=response.status_code,
                ) from error

    def _download(
        self, path: str, target: Path, go_on: GoOn, *, params: Mapping[str, str]
    ) -> None:
        """Download to a file; *go_on* is called now and then, and may raise."""
        with (
            self._authorised("GET", path, params=params, stream=True) as response,
            target.open("wb") as file,
            _mapped(self.url, f"GET {path}"),
        ):
            for chunk in response.iter_content(_CHUNK):
                go_on()
                file.write(chunk)

    @contextlib.contextmanager
    def _authorised(
        self, method: str, path: str, **options: Any
    ) -> Iterator[requests.Response]:
        """Send a request, logging in again once if the session was forgotten."""
        logins = self._logins
        response = self._raw(method, path, **options)
        if response.status_code == requests.codes.unauthorized:
            response.close()
            with self._login_lock:
                if self._logins == logins:  # nobody else has meanwhile
                    self._login()
            response = self._raw(method, path, **options)
        with self._checked(method, path, response):
            yield response

    def _checked(
        self, method: str, path: str, response: requests.Response
    ) -> requests.Response:
        """The answer, if it is a good one."""
        if response.ok:
            return response
        # Its words may still be on their way.
        with response, _mapped(self.url, f"{method} {path}"):
            raise _refusal(method, path, response)

    def _raw(self, method: str, path: str, **options: Any) -> requests.Response:
        with _mapped(self.url, f"{method} {path}"):
            return self._http.request(
                method,
                f"{self.url}/api/v1/{path}",
                timeout=(CONNECT_TIMEOUT, self._timeout),
                **options,
            )


def _snapshot(job: Job) -> str:
    return f"entrypoints/{job.entrypoint_id}/snapshots/{job.entrypoint_snapshot_id}"


@contextlib.contextmanager
def _mapped(url: str, what: str) -> Iterator[None]:
    """Turn what `requests` raises into `ServiceUnavailable`.

    Args:
        url: The setting DIOPTRA_API.
        what: What was asked, such as ``GET jobs/7``.
    """
    try:
        yield
    except requests.exceptions.RequestException as error:
        raise _away(url, error, f" for {what}") from error


@contextlib.contextmanager
def _understood(path: str) -> Iterator[None]:
    """Turn what reading an answer of another shape raises into `ServiceUnavailable`.

    Something between us and the API answers in its place, or it is being replaced.
    """
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ServiceUnavailable(
            f"the {SERVICE} answered GET {path} with JSON of another shape"
            f" ({cause(error)}): check that DIOPTRA_API is the address of a Dioptra"
            " REST API",
            service=SERVICE,
        ) from error


def _away(url: str, error: Exception, asked: str = "") -> ServiceUnavailable:
    return ServiceUnavailable(
        f"the {SERVICE} cannot be reached at {url} (DIOPTRA_API){asked}:"
        f" {cause(error)}",
        service=SERVICE,
        detail=str(error),
    )


def _refusal(method: str, path: str, response: requests.Response) -> ServiceError:
    """The error that an HTTP status other than 2xx stands for."""
    try:
        body = response.json()
    except requests.exceptions.JSONDecodeError:
        body = response.text[:500]
    words = body.get("message") if isinstance(body, dict) else body
    status = response.status_code
    message = f"the {SERVICE} answered {method} {path} with {status}: {words}"
    if status >= requests.codes.internal_server_error or status in {408, 425, 429}:
        return ServiceUnavailable(
            message,
            service=SERVICE,
            status=status,
            detail=body,
            retry_after=_seconds(response.headers.get("Retry-After")),
        )
    kinds: dict[int, type[ServiceRefused]] = {404: NotFound, 409: Conflict}
    kind = kinds.get(status, ServiceRefused)
    return kind(message, service=SERVICE, status=status, detail=body)


def _seconds(retry_after: str | None) -> float | None:
    try:
        wait = float(retry_after) if retry_after else 0.0
        return min(wait, LONGEST_RETRY_AFTER) if wait > 0 else None
    except ValueError:  # an HTTP date: rare, and our own back-off serves as well
        return None


def _login_sentence(username: str, url: str, error: ServiceRefused) -> str:
    """Tell an unknown user from a wrong password where the API does.

    Platforms from 1.2 on answer both alike, so that nobody can find out user names.
    """
    kind = error.detail.get("error") if isinstance(error.detail, dict) else None
    if kind == "UserDoesNotExistError":
        return (
            f"the {SERVICE} at {url} knows no user {username!r}: check"
            " DIOPTRA_WORKER_USERNAME, or register the user first"
        )
    if kind == "UserPasswordError":
        return (
            f"the password for user {username!r} is wrong, says the {SERVICE} at"
            f" {url}: check DIOPTRA_WORKER_PASSWORD"
        )
    if error.status == requests.codes.unauthorized:
        return (
            f"the {SERVICE} at {url} refused to log in user {username!r}: there is no"
            " such user or the password is wrong (it does not say which); check"
            " DIOPTRA_WORKER_USERNAME and DIOPTRA_WORKER_PASSWORD"
        )
    return (
        f"{url} does not log anybody in ({error.status}): check that DIOPTRA_API is"
        " the address of a Dioptra REST API"
    )
