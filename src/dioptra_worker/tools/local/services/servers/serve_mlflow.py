"""The MLflow server, in one process, closed to what would lead out of the stack.

``mlflow server`` imports MLflow once for itself and once more in the web server that
it then starts, which doubles the time to wait. This does what the command does, with
the names that the server exports for it.

The server asks for no password, and whoever has an account on the machine can connect.
As it comes it stores artifacts where a client says, also in a local file: anybody could
have it read and write the files of the stack's owner. Here it reaches the stack's store
only, and does not answer for what starts programs or asks other hosts.

Usage: serve_mlflow.py --host … --port … --backend-store-uri …
           --artifacts-destination … --default-artifact-root …
"""

from __future__ import annotations

import argparse
import os
import re
from typing import TYPE_CHECKING, Any

from dioptra_worker.common.garbage import uncollected

if TYPE_CHECKING:
    from collections.abc import Callable

STORES = frozenset({"s3", "mlflow-artifacts", "runs", "models"})
"""Schemes of places for artifacts: the store, and those that lead to one of it."""

_CLOSED = re.compile(
    r"/+(?:(?:ajax-)?api/+[^/]+/+(?:mlflow/+)?)?"
    r"(?:assistant|gateway|jobs|mcp|scorer|webhooks)"
)


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser()
    for option in (
        "--host",
        "--port",
        "--backend-store-uri",
        "--artifacts-destination",
        "--default-artifact-root",
    ):
        parser.add_argument(option, required=True)
    options = parser.parse_args()
    # Not imported from MLflow: its server reads them when it is imported.
    os.environ |= {
        "_MLFLOW_SERVER_FILE_STORE": options.backend_store_uri,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": options.default_artifact_root,
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": options.artifacts_destination,
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
    }
    with uncollected():
        _keep_to_the_store()
        serve = _import_server()
    serve(options.host, int(options.port))


def _import_server() -> Callable[[str, int], object]:
    """What serves at a host and a port, until it is ended."""
    try:
        import uvicorn  # noqa: PLC0415
        from mlflow.server.fastapi_app import app  # noqa: PLC0415
    except ImportError:  # an older MLflow, which has none of what is closed below
        from mlflow.server import app as flask_app  # noqa: PLC0415

        return lambda host, port: flask_app.run(host=host, port=port, threaded=True)
    return lambda host, port: uvicorn.run(
        _Closed(app), host=host, port=port, timeout_graceful_shutdown=2
    )


def _keep_to_the_store() -> None:
    """Have MLflow know no place for artifacts but the stack's store."""
    from mlflow.store.artifact import artifact_repository_registry  # noqa: PLC0415

    known = artifact_repository_registry.get_registered_artifact_repositories()
    for scheme in known.keys() - STORES:
        del known[scheme]


class _Closed:
    """An application that is not asked for what leads out of the stack."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] in {"http", "websocket"} and _CLOSED.match(scope["path"]):
            await _refuse(scope, send)
            return
        await self._app(scope, receive, send)


async def _refuse(scope: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close"})
        return
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    body = b"the MLflow server of a local stack does not do that"
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    main()
