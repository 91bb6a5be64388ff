"""The environments that a stack hands out: to workers and clients, and its own."""

from __future__ import annotations

import json
import os
import shlex
from typing import TYPE_CHECKING

from dioptra_worker.tools.local.config import API, MLFLOW, REGION, S3

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dioptra_worker.tools.local.config import StackConfig

# What a service may need of its surroundings. The rest is left out, so that a
# variable of the user's shell (PYTHONPATH, MLFLOW_…, AWS_PROFILE) changes nothing.
_INHERITED = (
    "DYLD_LIBRARY_PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LD_LIBRARY_PATH",
    "LOGNAME",
    "PATH",
    "TMPDIR",
    "TZ",
    "USER",
)


def client_environment(config: StackConfig) -> dict[str, str]:
    """Return what a worker or a client of this stack needs in its environment."""
    return {
        "DIOPTRA_API": config.url(API),
        "DIOPTRA_WORKER_USERNAME": config.username,
        "DIOPTRA_WORKER_PASSWORD": config.password,
        "RQ_REDIS_URI": config.queue_url,
        "MLFLOW_TRACKING_URI": config.url(MLFLOW),
        **s3_environment(config),
    }


def s3_environment(config: StackConfig) -> dict[str, str]:
    """Return what MLflow and boto3 need to reach the stack's S3 endpoint."""
    return {
        "MLFLOW_S3_ENDPOINT_URL": config.url(S3),
        "AWS_ACCESS_KEY_ID": config.access_key,
        "AWS_SECRET_ACCESS_KEY": config.secret_key,
        "AWS_DEFAULT_REGION": REGION,
    }


def inherited() -> dict[str, str]:
    """Return the part of our own environment that services are started with."""
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {
        **kept,
        "NO_PROXY": "127.0.0.1,localhost",
        "PYTHONUNBUFFERED": "1",
        # MLflow would write an identity into the home, to report with.
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    }


def as_shell(variables: Mapping[str, str]) -> str:
    """Render for ``eval "$(…)"`` in a POSIX shell."""
    return "\n".join(
        f"export {name}={shlex.quote(value)}" for name, value in variables.items()
    )


def as_dotenv(variables: Mapping[str, str]) -> str:
    """Render as a ``.env`` file, for `docker --env-file`, systemd or python-dotenv.

    Docker takes quotes as part of the value, so there are none: nothing in these
    values needs them.
    """
    return "\n".join(f"{name}={value}" for name, value in variables.items())


def as_json(variables: Mapping[str, str]) -> str:
    """Render as one JSON object."""
    return json.dumps(dict(variables), indent=2)


FORMATS: dict[str, Callable[[Mapping[str, str]], str]] = {
    "shell": as_shell,
    "dotenv": as_dotenv,
    "json": as_json,
}
