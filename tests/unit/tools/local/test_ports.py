"""Ports that no two stacks are given."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.tools.local import ports
from dioptra_worker.tools.local.errors import StackError
from dioptra_worker.tools.local.ports import HOST, PortReservations, is_free

if TYPE_CHECKING:
    from pathlib import Path


def _claim(place: tuple[Path, Path]) -> list[int]:
    folder, owner = place
    ports._RANGE = range(20000, 20090)  # in this process, which is nobody else's
    return [PortReservations(folder).claim(["a"], owner, {})["a"] for _ in range(20)]


@pytest.mark.process
def test_stacks_that_start_at_once_get_different_ports(tmp_path: Path) -> None:
    """However they race, no port is given twice, even out of hardly enough."""
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        given = list(pool.map(_claim, [(tmp_path, tmp_path)] * 4))
    flat = [port for some in given for port in some]
    assert len(set(flat)) == len(flat) == 80


def test_a_port_that_somebody_listens_on_is_not_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listener that is in no book counts, too."""
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
        assert not is_free(port)
        monkeypatch.setattr(ports, "_RANGE", range(port, port + 1))
        with pytest.raises(StackError, match=r"No free port.*--port"):
            PortReservations(tmp_path).claim(["a"], tmp_path, {})
    assert is_free(port)
    assert PortReservations(tmp_path).claim(["a"], tmp_path, {}) == {"a": port}


def test_a_port_that_was_asked_for_is_given(tmp_path: Path) -> None:
    """A fixed port is taken as it is; the others are free ones."""
    given = PortReservations(tmp_path).claim(["a", "b"], tmp_path, {"b": 5000})
    assert given["b"] == 5000
    assert given["a"] != 5000


def test_ports_come_back_when_their_stack_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Released by `down`, or found to belong to a folder that is not there."""
    monkeypatch.setattr(ports, "_RANGE", range(20050, 20051))
    reservations = PortReservations(tmp_path)
    owner = tmp_path / "stack"
    owner.mkdir()
    assert reservations.claim(["a"], owner, {}) == {"a": 20050}
    with pytest.raises(StackError):
        reservations.claim(["a"], tmp_path, {})
    owner.rmdir()
    assert reservations.claim(["a"], tmp_path, {}) == {"a": 20050}
    reservations.release(tmp_path)
    assert json.loads((tmp_path / "ports.json").read_text()) == {}


def test_a_broken_book_is_begun_anew(tmp_path: Path) -> None:
    """A book that was cut off stops nobody."""
    (tmp_path / "ports.json").write_text('{"200')
    assert PortReservations(tmp_path).claim(["a"], tmp_path, {})["a"] in ports._RANGE
