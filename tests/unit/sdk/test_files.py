"""Tests of choosing files for upload."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.sdk.client import (
    DioptraFile,
    select_files_in_directory,
    select_one_or_more_files,
)
from dioptra_worker.sdk.client.files import FileTypes

if TYPE_CHECKING:
    from pathlib import Path


def names(files: list[DioptraFile]) -> list[str]:
    """Return the names of files, and close them."""
    for file in files:
        file.stream.close()
    return sorted(file.filename for file in files)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with files, a folder, and links inside and outside."""
    root = tmp_path / "root"
    (root / "deep").mkdir(parents=True)
    for path in ("a.py", "b.txt", "deep/c.py"):
        (root / path).write_text(path)
    (tmp_path / "outside.py").write_text("secret")
    (root / "link.py").symlink_to("deep/c.py")
    return root


def test_one_level_without_links(folder: Path) -> None:
    """Without more words, the files of the folder itself are chosen, and no links."""
    assert names(select_files_in_directory(folder)) == ["a.py", "b.txt"]


def test_all_levels_and_a_pattern(folder: Path) -> None:
    """Files in folders are named with their folders; the pattern sees the name only."""
    chosen = select_files_in_directory(
        folder, recursive=True, include_pattern=r"\w\.py"
    )
    assert names(chosen) == ["a.py", "deep/c.py"]


def test_links_inside_are_followed_under_their_own_name(folder: Path) -> None:
    """A link to a file of the folder is chosen under the link's name."""
    chosen = select_files_in_directory(folder, follow_symlinks=True)
    assert names(chosen) == ["a.py", "b.txt", "link.py"]


def test_links_to_outside_are_refused(folder: Path) -> None:
    """A link that leads out of the folder is an error, not an upload."""
    (folder / "leak.py").symlink_to("../outside.py")
    with pytest.raises(ValueError, match=r"'leak.py' leads out of"):
        select_files_in_directory(folder, follow_symlinks=True)


def test_links_in_a_circle_are_refused(folder: Path) -> None:
    """A link to a folder above is an error, not an endless walk."""
    (folder / "deep" / "up").symlink_to("..")
    with pytest.raises(ValueError, match="leads to a folder above"):
        select_files_in_directory(folder, recursive=True, follow_symlinks=True)


@pytest.mark.parametrize("recursive", [False, True])
def test_links_that_lead_nowhere_are_refused(folder: Path, recursive: bool) -> None:
    """A link to nothing, and one to itself, are errors, as on the platform."""
    (folder / "lost.py").symlink_to("nowhere.py")
    assert "lost.py" not in names(select_files_in_directory(folder))
    with pytest.raises(FileNotFoundError, match=r"'lost\.py' leads to nothing"):
        select_files_in_directory(folder, recursive, follow_symlinks=True)
    chosen = select_files_in_directory(folder, recursive, "[ab]", follow_symlinks=True)
    assert names(chosen) == ["a.py", "b.txt"]
    (folder / "lost.py").unlink()
    (folder / "one.py").symlink_to("two.py")
    (folder / "two.py").symlink_to("one.py")
    with pytest.raises(ValueError, match=r"'(one|two)\.py' leads to itself"):
        select_files_in_directory(folder, recursive, follow_symlinks=True)


def test_what_is_no_file_is_passed_over(folder: Path) -> None:
    """A pipe is no file to upload, and neither is a link to one."""
    os.mkfifo(folder / "pipe.py")
    (folder / "to-pipe.py").symlink_to("pipe.py")
    chosen = select_files_in_directory(folder, follow_symlinks=True)
    assert names(chosen) == ["a.py", "b.txt", "link.py"]


def test_what_is_no_directory_is_refused(folder: Path) -> None:
    """A missing folder and a file are told apart."""
    with pytest.raises(FileNotFoundError, match="absent"):
        select_files_in_directory(folder / "absent")
    with pytest.raises(NotADirectoryError, match=r"a\.py"):
        select_files_in_directory(folder / "a.py")


def test_chosen_files_lose_their_folders_and_may_be_renamed(folder: Path) -> None:
    """Files are named without folders, or as the caller wants."""
    paths: list[str | Path] = [folder / "a.py", str(folder / "deep" / "c.py")]
    renames: dict[str | Path, str] = {str(folder / "a.py"): "z.py"}
    assert names(select_one_or_more_files(paths)) == ["a.py", "c.py"]
    assert names(select_one_or_more_files(paths, renames)) == ["c.py", "z.py"]


def test_equal_names_are_refused(folder: Path) -> None:
    """Two files with one name are an error that names both."""
    (folder / "deep" / "a.py").write_text("")
    with pytest.raises(ValueError, match=r"deep/a.py.*'a.py'.*'renames'"):
        select_one_or_more_files([folder / "a.py", folder / "deep" / "a.py"])


@pytest.mark.parametrize(
    "name",
    [
        *("/a", "../a", "a/../b", "a/..", ".", "", "./a", "a//b", "a/"),
        *("C:\\a", "a\\b", "a/.../b", "C:/a"),
    ],
)
def test_names_that_could_leave_their_place_are_refused(name: str) -> None:
    """A name must be a plain relative path."""
    with pytest.raises(ValueError, match="plain relative path"):
        DioptraFile(name, io.BytesIO(), None)


@pytest.mark.parametrize("name", ["a", "a.py", ".hidden", "a/b.c/d", "..a", "a b"])
def test_plain_names_are_taken(name: str) -> None:
    """A plain relative path is a name, also with dots, spaces and folders."""
    assert DioptraFile(name, io.BytesIO(), None).filename == name


def test_kinds_of_archives_know_their_suffix() -> None:
    """The API's words for archives go with the usual suffixes."""
    assert [kind.suffix for kind in FileTypes] == [".tar.gz", ".zip"]
    assert FileTypes("zip") is FileTypes.ZIP
