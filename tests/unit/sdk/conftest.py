"""Fixtures for the tests of what plugins see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.sdk.api_server import ApiServer, serving

from dioptra_worker.sdk.worker import bridge

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """A server that plays the REST API."""
    with serving() as server:
        yield server


@pytest.fixture(autouse=True)
def no_bridge() -> Iterator[None]:
    """No test leaves a bridge behind."""
    yield
    bridge.install(None)
