"""What the commands about worker runs work with is found in the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dioptra_worker.errors import ServiceUnavailable, SettingsError
from dioptra_worker.tools.lineage.connections import open_activities, open_runs

if TYPE_CHECKING:
    from pathlib import Path

NOWHERE = "http://somebody:hidden@127.0.0.1:9"


def test_a_password_may_be_in_a_file(tmp_path: Path) -> None:
    """As the worker's own may."""
    file = tmp_path / "password"
    file.write_text("hidden\n")
    given = {
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
        "MLFLOW_TRACKING_USERNAME": "somebody",
        "MLFLOW_TRACKING_PASSWORD_FILE": str(file),
    }
    with open_runs(given).mlflow as mlflow:
        assert mlflow._session.auth == ("somebody", "hidden")


def test_the_queues_may_be_in_a_file(tmp_path: Path) -> None:
    """One that is not there is told by its name."""
    given = {"RQ_REDIS_URI_FILE": str(tmp_path / "nothing")}
    with (
        pytest.raises(SettingsError, match="RQ_REDIS_URI_FILE"),
        open_activities(given, "run"),
    ):
        pass
    with pytest.raises(SettingsError, match="RQ_REDIS_URI is missing"):
        open_activities({}, "run").__enter__()


def test_a_server_that_does_not_answer_is_told_without_its_password() -> None:
    """Where it is, which variable says so, and why."""
    with (
        open_runs({"MLFLOW_TRACKING_URI": NOWHERE}).mlflow as mlflow,
        pytest.raises(ServiceUnavailable) as told,
    ):
        mlflow.experiments()
    assert (
        "MLflow cannot be reached at http://127.0.0.1:9 (MLFLOW_TRACKING_URI)"
        in str(told.value)
    )
    assert "hidden" not in str(told.value)
