"""What is stored of an artifact is its files; what is left out is said."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.errors import ServiceRefused
from dioptra_worker.tracking.upload_files import files_to_upload

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_is_itself(tmp_path: Path) -> None:
    """Of a file there is one to store, also of an empty one."""
    (tmp_path / "empty").touch()
    assert files_to_upload(tmp_path / "empty", service="S3") == [tmp_path / "empty"]


def test_all_files_of_a_folder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A folder has its files at any depth, in order; of empty folders nobody speaks."""
    for name in ("b/deep/er/1", "a", "b/2"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "bare" / "er").mkdir(parents=True)
    found = [
        file.relative_to(tmp_path).as_posix()
        for file in files_to_upload(tmp_path, service="S3")
    ]
    assert found == ["a", "b/2", "b/deep/er/1"]
    assert caplog.text == ""


def test_links_and_what_is_no_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A link to a file counts; to a folder or nowhere it is left out, like a pipe."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "file").write_text("file")
    (folder / "link").symlink_to(folder / "file")
    (folder / "folder").symlink_to(outside)
    (folder / "lost").symlink_to(folder / "nothing")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe")
    found = files_to_upload(folder, service="S3")
    assert found == [folder / "file", folder / "link"]
    (record,) = caplog.records
    assert "left out of 'model'" in record.message
    assert "and 1 more" in record.message
    named = [
        name
        for name in ("folder", "lost", "loop", "pipe")
        if repr(name) in record.message
    ]
    assert len(named) == 3


@pytest.mark.parametrize("inside", [[], ["deep/er"]])
def test_a_folder_without_a_file(inside: list[str], tmp_path: Path) -> None:
    """A folder of which nothing would be stored is refused, with the way out."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in inside:
        (folder / name).mkdir(parents=True)
    with pytest.raises(
        ServiceRefused, match=r"'model' has no file in it.*at least one"
    ):
        files_to_upload(folder, service="S3")
