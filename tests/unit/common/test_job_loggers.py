"""What the loggers of a job are called."""

from __future__ import annotations

import pytest

from dioptra_worker.common.job_loggers import name_of_job


@pytest.mark.parametrize(
    ("logger", "name"),
    [
        ("hello.tasks", "hello.tasks"),
        ("stdout", "stdout"),
        ("dioptra_worker", "runner"),
        ("dioptra_worker.job", "runner.job"),
        ("dioptra_workers", "runner.dioptra_workers"),
        ("Dioptra_Worker", "runner.Dioptra_Worker"),
        ("dioptra_worker\u200b", "runner.dioptra_worker\u200b"),
    ],
)
def test_no_logger_of_a_job_is_called_like_the_workers(logger: str, name: str) -> None:
    """Those that look like the worker's are the runner's; others keep their name."""
    assert name_of_job(logger) == name
