"""Which artifact stores are spoken to: MLflow names them, and not everything it names.

Whoever answers as MLflow, or writes into its database, says where artifacts of a run
are. No password and no artifact is to reach a host that nobody configured by that.
"""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

import mlflow

from dioptra_worker.common.network.origins import NO_ORIGIN, origin
from dioptra_worker.errors import ServiceRefused

SERVICE = "artifact store"
ALLOWED = "MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES"
"""MLflow's own variable for servers: schemes of which any host is believed."""
_OF_THE_SERVER = {"mlflow-artifacts", "http", "https"}
_NAME_A_HOST = {"abfss", "b2", "ftp", "hdfs", "r2", "sftp", "viewfs"}
"""Schemes whose addresses name the host that is spoken to, with our credentials."""


def refuse_unknown_store(uri: str, tracking_uri: str | None = None) -> None:
    """Refuse an address that names a host which nobody configured.

    S3 is asked for at MLFLOW_S3_ENDPOINT_URL whatever the address, a folder is no
    host's, and where other stores are is not in their addresses.

    Args:
        uri: Of a run's artifacts, or below, such as ``mlflow-artifacts://host:5000/1``;
            most of these name no host, and mean that of the tracking server.
        tracking_uri: The setting MLFLOW_TRACKING_URI, if it is not MLflow's own.

    Raises:
        ServiceRefused: It names another host, or another port.
    """
    parts = urlsplit(uri)
    named = parts.netloc.rpartition("@")[2]
    if parts.scheme in _OF_THE_SERVER:
        configured = urlsplit(tracking_uri or mlflow.get_tracking_uri())
        here = origin(f"{configured.scheme}://{configured.netloc}")
        scheme = parts.scheme
        if scheme == "mlflow-artifacts":
            if not parts.netloc:
                return
            scheme = configured.scheme
        # All of it: what two readers could read in two ways is none.
        there = NO_ORIGIN if origin(uri) == NO_ORIGIN else origin(f"{scheme}://{named}")
        if there in {here} - {NO_ORIGIN}:
            return
        why = f"which is not the tracking server {here} (MLFLOW_TRACKING_URI)"
    elif parts.scheme in _NAME_A_HOST - _allowed():
        why = f"which nobody configured ({ALLOWED} can name the scheme)"
    else:
        return
    raise ServiceRefused(
        f"artifacts are neither stored at nor fetched from {_shown(uri)}: {named!r}"
        f" would be sent passwords, {why}",
        service=SERVICE,
    )


def _allowed() -> set[str]:
    return {name.strip() for name in os.environ.get(ALLOWED, "").split(",")}


def _shown(uri: str) -> str:
    return re.sub(r"//[^/@]*@", "//", uri)[:300]
