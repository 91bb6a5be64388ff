"""The peer, for tests that compare with it; its absence fails in CI."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, NoReturn

import pytest
from tests.differential import peer as peers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def peer_python() -> Path:
    """The interpreter of an environment with the peer in it."""
    interpreter = peers.python()
    if interpreter is None:
        _absent(f"no environment with the peer: use `make test` or set {peers.PYTHON}")
    return interpreter


@pytest.fixture(scope="session")
def peer(peer_python: Path) -> Iterator[peers.Peer]:
    """The peer as an oracle."""
    with peers.Peer(peer_python) as oracle:
        yield oracle


@pytest.fixture(scope="session")
def peer_sdist() -> Path:
    """The peer's unpacked source distribution."""
    try:
        return peers.sdist()
    except subprocess.CalledProcessError as error:
        _absent(f"no source distribution of the peer: {error.stderr}")


def _absent(what: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)
