"""Files are opened only if they are files, and written whole."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.common.files.plain_file import open_plain, write_whole

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    """A link, a folder and a pipe that nobody writes to are none."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "."):
        assert open_plain(tmp_path / name) is None
    reader = open_plain(tmp_path / "file")
    assert reader is not None
    with reader:
        assert reader.read() == b"x"
    with pytest.raises(FileNotFoundError):
        open_plain(tmp_path / "nothing")


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    """What is there is replaced, for us alone; what cannot be leaves no draft."""
    path, folder = tmp_path / "file", tmp_path / "folder"
    folder.mkdir()
    before = os.umask(0)
    try:
        for content in (b"one", b"two"):
            write_whole(path, content)
    finally:
        os.umask(before)
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(IsADirectoryError):
        write_whole(folder, b"three")
    assert sorted(tmp_path.iterdir()) == [path, folder]
