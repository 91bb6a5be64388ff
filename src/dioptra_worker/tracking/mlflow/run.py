"""One job's MLflow run: created, described, closed. Never fails a job by itself."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import os
import sys
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import mlflow
import requests
from mlflow import environment_variables
from mlflow.entities import Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.tracking.context.registry import resolve_tags

from dioptra_worker.common.network.addresses import shown
from dioptra_worker.common.network.network_errors import is_connection_failure
from dioptra_worker.common.network.proxies import check_proxy, unreachable, via_proxy
from dioptra_worker.common.text.humanize import first_line
from dioptra_worker.errors import ServiceError, ServiceRefused, ServiceUnavailable
from dioptra_worker.protocol.messages import NO_JOB
from dioptra_worker.protocol.run_rules import artifacts_problem, run_id_problem
from dioptra_worker.provenance.run_tags import JOB_ID, source_tags
from dioptra_worker.tracking import artifact_store
from dioptra_worker.tracking.mlflow import active_run, direct_metrics, system_metrics
from dioptra_worker.tracking.mlflow.client import UNREADABLE, client_timeouts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dioptra_worker.protocol.run_rules import RunStatus
    from dioptra_worker.tracking.artifact_store import Store

SERVICE = "MLflow"
RUNNER_TAG = "dioptra.runner"

PARAMS_PER_BATCH = 100
MAX_SHORT_VALUE = 250
"""Characters of a parameter's value that every MLflow server takes."""

_log = logging.getLogger("dioptra_worker.tracking")


class MlflowTracking:
    """Keeps one run on the server that the environment names."""

    def __init__(self) -> None:
        self._own_token = uuid.uuid4().hex
        self._tries = 0

    def start(
        self, job_id: int, token: str = "", *, again: bool = False
    ) -> tuple[str, str]:
        """Create the job's run and make it the active one for ``mlflow.log_*``.

        To create a run must not happen twice, but a call whose answer was lost cannot
        be told from one that never arrived. So each run has a tag with a token that no
        other has, and every try but the first looks for it before it creates one.

        Args:
            job_id: Becomes the tag ``dioptra.jobId``, unless there is no job.
            token: What tells this start from every other; empty is one of our own.
            again: Whether another process has perhaps created it, with that token: the
                first try looks for it, too.

        Returns:
            The run's id and the URI of its artifacts.

        Raises:
            ServiceUnavailable: If MLflow cannot be reached, or answers what is no run;
                try again.
            ServiceRefused: If MLflow does not want to, answers with a run of somebody
                else's, or would keep the artifacts at what is no place.
        """
        self._tries += 1
        _leave_git_out()
        os.environ.pop(active_run.VARIABLE, None)  # a run that somebody else has begun
        tags = {RUNNER_TAG: token or self._own_token}
        if job_id != NO_JOB:
            tags[JOB_ID] = str(job_id)
            tags |= source_tags(f"job {job_id}")  # until its entrypoint is known
        with _fail_fast(), _without_absent(), translate_errors("create a run"):
            if missing := system_metrics.missing_package():
                _log.warning(
                    "no system metrics are logged: %s: %s",
                    missing,
                    system_metrics.WAY_OUT,
                )
                system_metrics.turn_off()
            may_be_there = again or self._tries > 1
            found = _find_runs(tags[RUNNER_TAG]) if may_be_there else []
            for earlier in found:
                _check_token(earlier, tags[RUNNER_TAG])
            run = (
                mlflow.start_run(run_id=found[0].info.run_id)
                if found
                else mlflow.start_run(tags=tags)
            )
        run_id, uri = run.info.run_id, run.info.artifact_uri
        if problem := run_id_problem(run_id):
            active_run.forget()
            raise _other_shape("create a run", problem)
        try:
            with _fail_fast(), translate_errors("show the run that it has made"):
                _check_token(run, tags[RUNNER_TAG])
        except ServiceError:
            active_run.forget()
            raise
        if problem := artifacts_problem(uri):
            with contextlib.suppress(ServiceError):
                self.close(run_id, "FAILED")
            active_run.forget()
            raise ServiceRefused(
                f"{SERVICE} made run {run_id}, and {problem}: have the MLflow server"
                " keep artifacts elsewhere, as by --default-artifact-root",
                service=SERVICE,
            )
        active_run.attach(run_id, run)
        if job_id != NO_JOB:  # without a server, it is the worker that gives them
            direct_metrics.watch(run_id)
        return run_id, uri

    def store(self, uri: str) -> Store:
        """The store of the run's artifacts."""
        return artifact_store.store(uri)

    def log_metric(self, run_id: str, name: str, value: float, step: int) -> None:
        """Keep a metric of the run.

        Raises:
            ServiceError: MLflow does not want to, or cannot be reached.
        """
        with translate_errors("log a metric"):
            MlflowClient().log_metric(run_id, name, value, step=step)

    def metrics(self, run_id: str) -> Mapping[str, tuple[float, int]]:
        """The last value and step of each of the run's metrics; the steps are all 0.

        Raises:
            ServiceError: MLflow does not want to, or cannot be reached.
        """
        with translate_errors("show the run's metrics"):
            data = MlflowClient().get_run(run_id).data
        # MLflow tells the latest value of a metric, without its step.
        return {name: (value, 0) for name, value in data.metrics.items()}

    def direct_points(self) -> Mapping[str, int]:
        """How many points of each metric this process gave to MLflow itself."""
        return direct_metrics.counts()

    def describe(
        self,
        run_id: str,
        *,
        name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Give the run its name, tags and parameters; what fails is only logged.

        Args:
            run_id: The run.
            name: What MLflow's page shows.
            params: The job's values for the graph's global parameters, by name.
            tags: More tags of the run, by name.
        """
        client = MlflowClient()
        naming = threading.Thread(
            target=_set_name,
            args=[client, run_id, name],
            name="dioptra-naming",
            daemon=True,
        )
        naming.start()
        marks = [RunTag(key, value) for key, value in (tags or {}).items()]
        entries = [Param(key, str(value)) for key, value in params.items()]
        for first in range(0, max(len(entries), bool(marks)), PARAMS_PER_BATCH):
            batch = entries[first : first + PARAMS_PER_BATCH]
            _log_batch(client, run_id, batch, marks)
            marks = []
        naming.join()

    def close(self, run_id: str, status: RunStatus) -> None:
        """Give a run its final status, whether or not it is the active one.

        Runs that a plugin has begun and not ended get it too, as when a script ends.

        Args:
            run_id: The run.
            status: How it ended.

        Raises:
            ServiceUnavailable: If MLflow cannot be reached; try again.
            ServiceRefused: If MLflow does not want to.
        """
        with _fail_fast(), translate_errors(f"close run {run_id}"):
            if run_id not in active_run.end_all(status):
                MlflowClient().set_terminated(run_id, status)

    def close_begun(self, token: str, status: RunStatus) -> None:
        """Give each run that a start has begun, and that is open, a final status.

        The worker that looks may have another experiment than the one that began it.

        Args:
            token: That of the start.
            status: How its job ended.

        Raises:
            ServiceUnavailable: If MLflow cannot be reached; try again.
            ServiceRefused: If MLflow does not want to.
        """
        with _fail_fast(), translate_errors("close the run of a job that was stopped"):
            client = MlflowClient()
            for run in _find_runs(token, everywhere=True, status="RUNNING"):
                # Whoever takes the job over closes its run, too, and knows how it
                # ended: that was perhaps while this one was looked for.
                if client.get_run(run.info.run_id).info.status == "RUNNING":
                    client.set_terminated(run.info.run_id, status)


def _check_token(run: Run, token: str) -> None:
    """See that a run is the one that this start has begun.

    What is written to another's run would count as another job's results, and the REST
    API takes no run that has a job.

    Raises:
        ServiceRefused: It is somebody else's.
    """
    told = run.data.tags
    if RUNNER_TAG not in told:  # a server need not repeat all that it was told
        told = MlflowClient().get_run(run.info.run_id).data.tags
    if told.get(RUNNER_TAG) != token:
        job = str(told.get(JOB_ID, ""))
        whose = f"job {job[:20]}" if job.isdecimal() else "somebody else"
        raise ServiceRefused(
            f"{SERVICE} answered with run {run.info.run_id}, which is of {whose} and"
            " not the one that it was to make: check that MLFLOW_TRACKING_URI is the"
            " address of an MLflow server, and that nothing before it keeps answers",
            service=SERVICE,
        )


def _find_runs(
    token: str, *, everywhere: bool = False, status: str | None = None
) -> list[Run]:
    """The runs that a start has begun; it may have tried more than once.

    Args:
        token: That of the start.
        everywhere: Look into all experiments, not only into the one of new runs.
        status: What status they have; None is any.
    """
    wanted = f"tags.`{RUNNER_TAG}` = '{token}'"
    if status is not None:
        wanted += f" and attributes.status = '{status}'"
    found = mlflow.search_runs(
        filter_string=wanted, output_format="list", search_all_experiments=everywhere
    )
    assert isinstance(found, list)
    return found


def warm_up_caches() -> None:
    """Do beforehand what makes the first `start` of a process slow; asks no service."""
    active_run.prepare()
    _leave_databricks_out()
    _leave_git_out()
    _absent.extend(
        name
        for name in _LOOKED_FOR
        if name not in sys.modules and importlib.util.find_spec(name) is None
    )
    resolve_tags()
    _prepare_request()
    if urlsplit(mlflow.get_tracking_uri()).scheme in {"http", "https"}:
        MlflowClient()


def _prepare_request() -> None:
    """Prepare a request as MLflow's are: Python learns which types are which."""
    with requests.Session() as session:
        session.prepare_request(requests.Request("POST", "http://localhost", json={}))
        session.merge_environment_settings("http://localhost", {}, None, None, None)


def _leave_databricks_out() -> None:
    """Have MLflow look for Databricks once, and not with each request again.

    Where it is not, each look is a dozen imports that fail, each in all folders of
    ``sys.path``. No process comes to be there while it runs.
    """
    for place, registry in _REGISTRIES.items():
        for provider in getattr(importlib.import_module(place), registry, ()):
            ours = type(provider).__module__.startswith(f"{place.rpartition('.')[0]}.")
            if ours and "Databricks" in type(provider).__name__:
                with contextlib.suppress(Exception):  # as MLflow itself goes on then
                    if not provider.in_context():
                        provider.in_context = _never


def _leave_git_out() -> None:
    """Have MLflow not say which commit the worker's own files are of.

    It would be taken for that of the job's code, which is an entrypoint's.
    """
    place = "mlflow.tracking.context.registry"
    registry = _REGISTRIES[place]
    for provider in getattr(importlib.import_module(place), registry, ()):
        if type(provider).__name__ == "GitRunContext":
            provider.in_context = _never


@contextlib.contextmanager
def _without_absent() -> Iterator[None]:
    """Have MLflow not look for what is known not to be there; before any plugin runs.

    It looks for each a dozen times when it begins a run.
    """
    hidden = [name for name in _absent if name not in sys.modules]
    modules: dict[str, Any] = sys.modules
    modules |= dict.fromkeys(hidden)  # None: an import of it fails at once
    try:
        yield
    finally:
        for name in hidden:
            if modules.get(name, ...) is None:
                del modules[name]


_LOOKED_FOR = ("IPython", "dbruntime", "pyspark")
_absent: list[str] = []
"""Which of these were not there when the fork server looked for them."""


def _never() -> bool:
    return False


_REGISTRIES = {
    "mlflow.tracking.context.registry": "_run_context_provider_registry",
    "mlflow.tracking.request_header.registry": "_request_header_provider_registry",
}
"""Where MLflow asks its providers whether they have something to say, by module."""


def _set_name(client: MlflowClient, run_id: str, name: str) -> None:
    """Give a run its name, and nothing else.

    Not by ``client.update_run``, nor by the tag mlflow.runName: for both, MLflow reads
    the run's status and writes it back, so that a run which is closed in between runs
    for ever.
    """
    store = client._tracking_client.store  # noqa: SLF001 - there is no other way
    try:
        with translate_errors("take the run's name"):
            store.update_run_info(run_id, None, None, name)
    except ServiceError as error:
        _log.warning("%s", error)


def _log_batch(
    client: MlflowClient, run_id: str, params: list[Param], tags: list[RunTag]
) -> None:
    try:
        with translate_errors("take the job's parameters"):
            client.log_batch(run_id, params=params, tags=tags)
    except ServiceError as error:
        long = [entry.key for entry in params if len(entry.value) > MAX_SHORT_VALUE]
        if not long:
            _log.warning("%s", error)
            return
        _log.warning(
            "MLflow takes no values that long, so the first %d characters are logged"
            " of: %s",
            MAX_SHORT_VALUE,
            ", ".join(long),
        )
        short = [Param(entry.key, entry.value[:MAX_SHORT_VALUE]) for entry in params]
        try:
            with translate_errors("take the job's parameters"):
                client.log_batch(run_id, params=short, tags=tags)
        except ServiceError as again:
            _log.warning("%s", again)


def _fail_fast() -> contextlib.AbstractContextManager[None]:
    """Make MLflow give up soon, so that whoever waits can say what for."""
    return client_timeouts(seconds=10.0, retries=0)


@contextlib.contextmanager
def translate_errors(what: str) -> Iterator[None]:
    """Turn what MLflow raises into our errors."""
    started = time.monotonic()
    try:
        yield
    except MlflowException as error:
        status = error.get_http_status_code()
        message = f"{SERVICE} did not {what}: {_describe_error(error)}"
        if status >= 500 or status == 429:
            seconds = time.monotonic() - started
            raise ServiceUnavailable(
                f"{message} (after {seconds:.0f} s)", service=SERVICE, status=status
            ) from error
        raise ServiceRefused(
            message, service=SERVICE, status=status, detail=error.error_code
        ) from error
    except ImportError as error:
        raise ServiceRefused(
            f"{SERVICE} was not asked to {what}: a package is missing that one of its"
            f" variables needs: {first_line(error)}: install it beside the worker, or"
            " unset the variable",
            service=SERVICE,
        ) from error
    except UNREADABLE as error:
        if _is_of_a_variable(error):
            raise ServiceRefused(
                f"{SERVICE} was not asked to {what}: one of its variables cannot be"
                f" used: {first_line(error)}",
                service=SERVICE,
            ) from error
        raise _other_shape(what, first_line(error)) from error


def _is_of_a_variable(error: BaseException) -> bool:
    """Whether MLflow's client has read a variable that makes no sense."""
    traced = error.__traceback__
    while traced is not None:
        if traced.tb_frame.f_globals.get("__name__") == environment_variables.__name__:
            return True
        traced = traced.tb_next
    return False


def _other_shape(what: str, why: str) -> ServiceUnavailable:
    """Something answers in MLflow's place, or it is being replaced."""
    return ServiceUnavailable(
        f"{SERVICE} did not {what}: it answered with JSON of another shape ({why}):"
        " check that MLFLOW_TRACKING_URI is the address of an MLflow server",
        service=SERVICE,
    )


def _describe_error(error: Exception) -> str:
    """What went wrong; of a connection that failed, where and why."""
    place = shown(mlflow.get_tracking_uri())
    if is_connection_failure(error):
        return f"it {unreachable(place, 'MLFLOW_TRACKING_URI', error)}"
    return f"{first_line(error)}{via_proxy(place)}{check_proxy(place)}"
