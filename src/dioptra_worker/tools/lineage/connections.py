"""Opens what the commands about worker runs work with, from the environment."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Literal

from dioptra_worker.api.errors import expect_shape
from dioptra_worker.broker.batch_leases import ElementLeases
from dioptra_worker.broker.connection import connect
from dioptra_worker.errors import SettingsError
from dioptra_worker.provenance import Parameter
from dioptra_worker.settings import secret
from dioptra_worker.tools.jobs.worker_run import data_parameters
from dioptra_worker.tools.lineage.configurations import Configurations
from dioptra_worker.tools.lineage.errors import NotYours
from dioptra_worker.tools.lineage.mlflow_api import ANSWER_TIMEOUT, MlflowApi
from dioptra_worker.tools.lineage.runs import Runs
from dioptra_worker.tools.resources.names import id_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.api.user_client import UserClient

TRACKING = "MLFLOW_TRACKING_URI"
BROKER = "RQ_REDIS_URI"


def open_runs(environment: Mapping[str, str]) -> Runs:
    """The worker runs of the MLflow server that the environment names.

    Raises:
        SettingsError: It names none.
    """
    return Runs(open_mlflow(environment))


def open_mlflow(
    environment: Mapping[str, str], *, timeout: float = ANSWER_TIMEOUT
) -> MlflowApi:
    """The MLflow server that the environment names; the caller closes it.

    Args:
        environment: Names it.
        timeout: Seconds that an answer may take.

    Raises:
        SettingsError: It names none.
    """
    where = "where worker runs are recorded, such as http://localhost:5000"
    address = _address(environment, TRACKING, where)
    return MlflowApi(
        address,
        username=secret("MLFLOW_TRACKING_USERNAME", environment) or "",
        password=secret("MLFLOW_TRACKING_PASSWORD", environment) or "",
        token=secret("MLFLOW_TRACKING_TOKEN", environment) or "",
        timeout=timeout,
    )


@contextlib.contextmanager
def open_activities(
    environment: Mapping[str, str], worker_run: str
) -> Iterator[ElementLeases]:
    """The record of a batch, in the Redis that the environment names.

    Raises:
        SettingsError: It names none.
    """
    where = "where the record of batches is kept, such as redis://localhost:6379/0"
    with connect(_address(environment, BROKER, where)) as connection:
        yield ElementLeases(connection, worker_run)


def open_configurations(
    environment: Mapping[str, str], client: UserClient, entrypoint: str
) -> Configurations:
    """The configurations of an entrypoint, by its name or id.

    Raises:
        SettingsError: The environment names no MLflow server.
        Unknown: There is no such entrypoint.
    """
    body = client.entrypoint(id_of(client, "entrypoints", entrypoint))
    return Configurations(
        open_runs(environment).mlflow,
        entrypoint_id=body["id"],
        parameters=map(Parameter.read, body["parameters"]),
        data_parameters=data_parameters(environment),
    )


def refuse_without(
    right: Literal["write", "admin"],
    api: DioptraApi,
    client: UserClient,
    entrypoint: str,
) -> None:
    """Refuse whoever may not do it to the entrypoint itself, by the API's own rights.

    Args:
        right: What is needed in the group that owns the entrypoint.
        api: A session with the API.
        client: The same session.
        entrypoint: The entrypoint's name or id.

    Raises:
        NotYours: They may not.
        ServiceError: The API refused, or does not answer.
    """
    body = client.entrypoint(id_of(client, "entrypoints", entrypoint))
    path = f"groups/{body['group']['id']}"
    group = api.request("GET", path)
    me = client.whoami()
    with expect_shape(path):
        granted = any(
            member["user"]["username"] == me and member["permissions"][right] is True
            for member in group["members"]
        )
    if not granted:
        who = "an administrator" if right == "admin" else "whoever may write in it"
        raise NotYours(
            f"the configurations of entrypoint {entrypoint!r} belong to its group: only"
            f" {who} may do that, and {me!r} may not"
        )


def _address(environment: Mapping[str, str], name: str, where: str) -> str:
    address = secret(name, environment)
    if not address:
        raise SettingsError([f"{name} is missing: {where}"])
    return address
