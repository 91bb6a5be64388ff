"""The process that closes what a dead runner has left open in MLflow."""

from __future__ import annotations

import sys
from os import _exit
from typing import TYPE_CHECKING, NoReturn, cast

from dioptra_worker.errors import ServiceRefused
from dioptra_worker.tracking.backend import backend

if TYPE_CHECKING:
    from dioptra_worker.protocol.forkserver import StartCloseRun
    from dioptra_worker.protocol.run_rules import RunStatus

_DELETED_RUN_ERRORS = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}
"""What MLflow says of a run that is not there, and of one in its trash."""


def main(request: StartCloseRun) -> NoReturn:
    """Close a run, or what runs a start has begun, and end this process.

    It ends well, too, when there is no such run, or when somebody has deleted it:
    nobody is to try that again.

    Args:
        request: Which run, and how its job ended.
    """
    status = cast("RunStatus", request.status)
    tracking = backend(None)
    try:
        if request.run_id:
            tracking.close(request.run_id, status)
        else:
            tracking.close_begun(request.token, status)
    except Exception as error:  # noqa: BLE001 - whatever it is, stderr is all there is
        what = f"MLflow run {request.run_id}" if request.run_id else "an MLflow run"
        print(f"{what} is not closed: {error}", file=sys.stderr)  # noqa: T201
        _exit(0 if request.run_id and is_of_deleted_run(error) else 1)
    _exit(0)


def is_of_deleted_run(error: BaseException) -> bool:
    """Whether MLflow says that a run is not there, or in its trash."""
    return isinstance(error, ServiceRefused) and error.detail in _DELETED_RUN_ERRORS
