"""Settings of MLflow's client: environment variables are the only way to set them."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def mlflow_environment(**variables: str) -> Iterator[None]:
    """Set environment variables; afterwards they are what they were before."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def client_timeouts(
    *, seconds: float, retries: int | None = None
) -> contextlib.AbstractContextManager[None]:
    """Have MLflow's client wait so long for each answer, and try so often.

    Args:
        seconds: How long it waits for an answer.
        retries: How often it tries again; None for as often as it does anyway.
    """
    variables = {"MLFLOW_HTTP_REQUEST_TIMEOUT": str(round(seconds))}
    if retries is not None:
        variables["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = str(retries)
    return mlflow_environment(**variables)
