"""What outlives a user's processes: all of it is found, and removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.common.processes import ipc_objects

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_files_of_each_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shared memory and message queues are files: of what is kept, nothing goes."""
    folders = [tmp_path / "shm", tmp_path / "mqueue"]
    for folder in folders:
        folder.mkdir()
        (folder / "kept").touch()
    monkeypatch.setattr(ipc_objects, "SHARED_MEMORY", folders[0])
    monkeypatch.setattr(ipc_objects, "_MESSAGE_QUEUES", folders[1])
    monkeypatch.setattr(ipc_objects, "_SYSTEM_V", tmp_path / "not shown")
    kept = ipc_objects.ipc_objects()
    for folder in folders:
        (folder / "left").touch()
    removed = ipc_objects.remove_ipc_objects(kept)
    assert sorted(removed) == sorted(str(folder / "left") for folder in folders)
    assert [[path.name for path in folder.iterdir()] for folder in folders] == [
        ["kept"],
        ["kept"],
    ]
