"""What unit tests share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

COMPLETE = {
    "DIOPTRA_WORKER_USERNAME": "worker",
    "DIOPTRA_WORKER_PASSWORD": "swordfish",
    "DIOPTRA_API": "http://localhost:5000",
    "RQ_REDIS_URI": "redis://:hush-hush@localhost:6379/0",
    "MLFLOW_TRACKING_URI": "http://localhost:35000",
    "MLFLOW_S3_ENDPOINT_URL": "http://localhost:39000",
}
"""The least environment that a daemon can start with."""


@pytest.fixture
def environment() -> Iterator[MutableMapping[str, str]]:
    """This process's environment with a complete set of settings; put back later."""
    before = dict(os.environ)
    os.environ.update(COMPLETE)
    yield os.environ
    os.environ.clear()
    os.environ.update(before)
