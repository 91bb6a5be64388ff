"""The peer, for tests that compare with it; its absence fails in CI."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tests.differential import peer as peers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def peer() -> Iterator[peers.Peer]:
    """The peer as an oracle."""
    interpreter = peers.python()
    if interpreter is None:
        _absent(f"no environment with the peer: run `make peer` or set {peers.PYTHON}")
    else:
        with peers.Peer(interpreter) as oracle:
            yield oracle


@pytest.fixture(scope="session")
def peer_sdist() -> Path:
    """The peer's unpacked source distribution."""
    found = peers.sdist()
    if found is None:
        _absent(f"no source distribution of the peer: set {peers.SDIST}")
    assert found is not None
    return found


def _absent(what: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)
