"""MLflow's client: how long it waits, and what it raises beside its own errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf import json_format

from dioptra_worker.common.environment import environment_variables

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

UNREADABLE = (
    json_format.Error,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What MLflow's client raises when it reads JSON of another shape."""


def client_timeouts(
    *, seconds: float, retries: int | None = None
) -> AbstractContextManager[None]:
    """Have MLflow's client wait so long for each answer, and try so often.

    That is set by the environment only.

    Args:
        seconds: How long it waits for an answer.
        retries: How often it tries again; None for as often as it does anyway.
    """
    variables = {"MLFLOW_HTTP_REQUEST_TIMEOUT": str(round(seconds))}
    if retries is not None:
        variables["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = str(retries)
    return environment_variables(variables)
