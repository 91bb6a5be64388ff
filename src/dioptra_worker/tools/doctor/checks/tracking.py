"""MLflow: a run is created, tagged, read and deleted, as a job's would be.

MLflow and its exceptions are used here directly: what its client says of a server is
what this check is about.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from dioptra_worker.common.network.addresses import shown
from dioptra_worker.common.network.network_errors import cause, is_connection_failure
from dioptra_worker.common.network.proxies import proxy_advice, via_proxy
from dioptra_worker.common.text.humanize import first_line
from dioptra_worker.tools.doctor.finding import Finding, fail, ok, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "MLflow"
TAG = "dioptra.doctor"
IMPORTS = ("mlflow", "mlflow.tracking", "mlflow.environment_variables")
REACH = "start the MLflow server, or correct MLFLOW_TRACKING_URI"
_FORBIDDEN = (401, 403)


@dataclass
class Trial:
    """What the check of the artifact store takes over from this one.

    Attributes:
        artifact_uri: Where the run's artifacts go, None when MLflow did not say.
    """

    artifact_uri: str | None = None


def check(uri: str, trial: Trial, *, timeout: float) -> Iterator[Finding]:
    """Check MLflow.

    Args:
        uri: The setting MLFLOW_TRACKING_URI.
        trial: Told where artifacts go.
        timeout: Seconds that MLflow may take for one answer.
    """
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - seconds

    from dioptra_worker.tracking.mlflow import system_metrics  # noqa: PLC0415 - seconds

    _fail_fast(timeout)
    try:
        missing = system_metrics.missing_package()
    except ValueError as error:
        yield fail(NAME, first_line(error), "correct the variable, or unset it")
        return
    if missing:
        words = f"{missing}: jobs run without system metrics"
        yield warn("system metrics", words, system_metrics.WAY_OUT)
    try:
        yield _round_trip(uri, trial)
    except ImportError as error:
        words = f"a variable of MLflow's needs a package: {first_line(error)}"
        yield fail(NAME, words, "install it beside the worker, or unset the variable")
    except MlflowException as error:
        yield _refused(uri, error)


def _round_trip(uri: str, trial: Trial) -> Finding:
    import mlflow  # noqa: PLC0415 - seconds

    value = uuid.uuid4().hex
    client = mlflow.MlflowClient()
    # The fluent call, since it picks the experiment as a job's runner does.
    run_id = mlflow.start_run(
        run_name="dioptra-worker doctor", log_system_metrics=False
    ).info.run_id
    try:
        client.set_tag(run_id, TAG, value)
        run = client.get_run(run_id)
        mlflow.end_run("KILLED")
    finally:
        client.delete_run(run_id)
    trial.artifact_uri = run.info.artifact_uri
    if run.data.tags.get(TAG) != value:
        return fail(NAME, "a run's tag came back changed", "is it really an MLflow?")
    experiment = client.get_experiment(run.info.experiment_id).name
    return ok(
        NAME,
        f"a run was made, read and deleted at {shown(uri)} in experiment"
        f" {experiment!r} (client {mlflow.__version__})",
    )


def _fail_fast(timeout: float) -> None:
    """Have MLflow's client, which waits for minutes, give up before we do."""
    from mlflow import environment_variables  # noqa: PLC0415 - seconds

    environment_variables.MLFLOW_HTTP_REQUEST_MAX_RETRIES.set(0)
    environment_variables.MLFLOW_HTTP_REQUEST_TIMEOUT.set(max(1, int(timeout)))


def _refused(uri: str, error: Exception) -> Finding:
    text = str(error)
    words = first_line(error)
    host = urlsplit(uri).netloc.rpartition("@")[2]
    if "Invalid Host header" in text:
        return fail(
            NAME,
            f"MLflow refuses requests for the host {host!r} (403), as MLflow 3 does"
            " for hosts that it was not told of",
            f"start the MLflow server with MLFLOW_SERVER_ALLOWED_HOSTS={host} (commas"
            " between several), or with --allowed-hosts",
        )
    if any(f"error code {code}" in text for code in _FORBIDDEN):
        return fail(
            NAME,
            words,
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or"
            " MLFLOW_TRACKING_TOKEN, to those of a user who may write",
        )
    if is_connection_failure(error):
        words = f"{shown(uri)} cannot be reached{via_proxy(uri)}: {cause(error)}"
        return fail(NAME, words, proxy_advice(uri) or REACH)
    if "experiment" in text.lower():
        return fail(NAME, words, "correct MLFLOW_EXPERIMENT_NAME, or create it")
    return fail(NAME, words, "see the MLflow server's log, or correct the address")
