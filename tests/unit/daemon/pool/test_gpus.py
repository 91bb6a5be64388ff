"""GPUs are found and dealt out to slots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dioptra_worker.daemon.pool.gpus import assign, visible

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("gpus", "slots", "expected"),
    [
        ([], 2, [[], []]),
        (["0"], 1, [["0"]]),
        (["0"], 3, [["0"], ["0"], ["0"]]),
        (["0", "1"], 2, [["0"], ["1"]]),
        (["0", "1"], 3, [["0"], ["1"], ["0"]]),
        (["0", "1", "2"], 2, [["0", "2"], ["1"]]),
    ],
)
def test_dealing(gpus: list[str], slots: int, expected: list[list[str]]) -> None:
    """Every slot has a GPU and every GPU a slot, as evenly as they go."""
    assert assign(gpus, slots) == expected


def test_what_there_is(tmp_path: Path) -> None:
    """The setting goes first, then CUDA's variable, then the machine's devices."""
    for name in ("nvidia0", "nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    assert visible("4, 7", given="1", devices=tmp_path) == ["4", "7"]
    assert visible("auto", given="GPU-a,1", devices=tmp_path) == ["GPU-a", "1"]
    assert visible("auto", given="", devices=tmp_path) == []
    assert visible("auto", given=None, devices=tmp_path) == ["0", "2", "10"]
