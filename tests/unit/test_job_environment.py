"""The environment that jobs get: what is withheld from them, and what they are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dioptra_worker import job_environment, settings

if TYPE_CHECKING:
    from collections.abc import MutableMapping


def test_runners_get_neither_password_nor_redis(
    environment: MutableMapping[str, str],
) -> None:
    """A runner's environment has neither the API's password nor Redis's address."""
    environment["RQ_REDIS_URL"] = "redis://also"
    environment["DIOPTRA_WORKER_PASSWORD_FILE"] = "somewhere"
    environment["AWS_SECRET_ACCESS_KEY"] = "kept"
    environment["MY_OWN"] = "kept too"
    given = job_environment.for_runners(settings.load(), environment)
    assert not {name for name in given if "PASSWORD" in name or "REDIS" in name}
    assert "swordfish" not in given.values()
    assert given["AWS_SECRET_ACCESS_KEY"] == "kept"
    assert given["MY_OWN"] == "kept too"
    assert environment["DIOPTRA_WORKER_PASSWORD"] == "swordfish"


def test_runners_get_the_password_when_told(
    environment: MutableMapping[str, str],
) -> None:
    """With DIOPTRA_WORKER_EXPOSE_CREDENTIALS a runner sees the password, not Redis."""
    environment["DIOPTRA_WORKER_EXPOSE_CREDENTIALS"] = "true"
    given = job_environment.for_runners(settings.load(), environment)
    assert given["DIOPTRA_WORKER_PASSWORD"] == "swordfish"
    assert "RQ_REDIS_URI" not in given


@pytest.mark.usefixtures("environment")
def test_runner_defaults_yield_to_the_user() -> None:
    """Telemetry is off in runners unless the user has set its variable."""
    loaded = settings.load()
    assert job_environment.for_runners(loaded, {})["MLFLOW_DISABLE_TELEMETRY"] == "true"
    asked = {"MLFLOW_DISABLE_TELEMETRY": "false"}
    assert (
        job_environment.for_runners(loaded, asked)["MLFLOW_DISABLE_TELEMETRY"]
        == "false"
    )
