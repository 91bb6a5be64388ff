"""The environment that jobs get, and what of the worker's they may not reach.

Nothing here needs the settings to be read: people's commands that only run something
take it from whatever environment there is.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker import certificates, homes
from dioptra_worker.credentials import PERSONAL_NAMES, SECRET_NAMES, WITHHELD_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.settings import Settings

RUNNER_DEFAULTS = {
    "DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",  # or MLflow fills the log where there is no git
    "MLFLOW_DISABLE_TELEMETRY": "true",  # it starts a thread at import
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",  # it is for terminals
    # A server that stands before the store would send us there, past itself.
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # it is no output of the job
}
"""What runners get in their environment unless the user says otherwise."""


def for_runners(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment that runners get.

    Args:
        settings: The daemon's settings.
        environment: The daemon's environment.

    Returns:
        A copy without the API password, the Redis URL and the key that jobs' manifests
        are signed with (unless the settings say that plugins may see the password),
        with `RUNNER_DEFAULTS` where the user has not said otherwise, and with what is
        outside of jobs' homes (`homes`).
    """
    kept = _for_jobs(environment)
    if settings.expose_credentials:
        kept["DIOPTRA_WORKER_PASSWORD"] = settings.password.get_secret_value()
    if settings.import_path:  # a runner works in another folder
        kept[homes.IMPORT_PATH] = ",".join(
            str(Path(folder).absolute()) for folder in settings.import_path
        )
    return {**RUNNER_DEFAULTS, **kept}


def private_files(settings: Settings, environment: Mapping[str, str]) -> list[Path]:
    """Files and folders that are the worker's alone, wherever they lie.

    Args:
        settings: The daemon's settings.
        environment: The daemon's environment.
    """
    files = [
        Path(path).absolute()
        for name in (*SECRET_NAMES, *PERSONAL_NAMES, *WITHHELD_NAMES)
        if (path := environment.get(f"{name}_FILE"))
    ]
    return [
        settings.work_dir.absolute(),
        settings.work_dir / settings.cache_dir,
        *files,
    ]


def for_local_runs(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a run without a daemon: that of `for_runners`.

    Args:
        environment: That of whoever wants the run.
    """
    return {**RUNNER_DEFAULTS, **_for_jobs(environment)}


def _for_jobs(environment: Mapping[str, str]) -> dict[str, str]:
    kept = certificates.without_empty(_without_withheld(environment))
    return homes.outside_of_jobs(kept)


def _without_withheld(environment: Mapping[str, str]) -> dict[str, str]:
    withheld = {*WITHHELD_NAMES, *(f"{name}_FILE" for name in WITHHELD_NAMES)}
    return {name: value for name, value in environment.items() if name not in withheld}
