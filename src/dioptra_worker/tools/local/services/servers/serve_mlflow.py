"""The MLflow server, in one process.

``mlflow server`` imports MLflow once for itself and once more in the web server that
it then starts, which doubles the time to wait. This does what the command does, with
the names that the server exports for it; a version of MLflow without them is started
by its command.

Usage: serve_mlflow.py --host … --port … --backend-store-uri …
           --artifacts-destination … --default-artifact-root …
"""

import argparse
import os
import sys


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
    try:
        import uvicorn  # noqa: PLC0415
        from mlflow.server import (  # noqa: PLC0415
            ARTIFACT_ROOT_ENV_VAR,
            ARTIFACTS_DESTINATION_ENV_VAR,
            BACKEND_STORE_URI_ENV_VAR,
            SERVE_ARTIFACTS_ENV_VAR,
        )

        os.environ |= {
            BACKEND_STORE_URI_ENV_VAR: options.backend_store_uri,
            ARTIFACT_ROOT_ENV_VAR: options.default_artifact_root,
            ARTIFACTS_DESTINATION_ENV_VAR: options.artifacts_destination,
            SERVE_ARTIFACTS_ENV_VAR: "true",
        }
        from mlflow.server.fastapi_app import app  # noqa: PLC0415
    except ImportError:
        program = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
        os.execv(program[0], [*program, *sys.argv[1:]])  # noqa: S606 - none is wanted
    uvicorn.run(
        app,
        host=options.host,
        port=int(options.port),
        timeout_graceful_shutdown=2,
    )


if __name__ == "__main__":
    main()
