"""Which folders can be imported, and what is said of those that cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dioptra_worker.tools.resources import BadResources, NoResources, find_folders

if TYPE_CHECKING:
    from pathlib import Path

TOML = """
[[plugins]]
path = "plugins/greet"
[[entrypoints]]
path = "entrypoint.yml"
name = "greeting"
"""


def _make(folder: Path, toml: str = TOML) -> Path:
    (folder / "plugins/greet").mkdir(parents=True)
    (folder / "entrypoint.yml").write_text("graph: {}\n")
    (folder / "dioptra.toml").write_text(toml)
    return folder


def test_one(tmp_path: Path) -> None:
    """A folder with a dioptra.toml is found with what that names."""
    (found,) = find_folders([_make(tmp_path / "one")])
    assert found.path == tmp_path / "one"
    assert found.graphs == ["entrypoint.yml"]
    assert found.plugins == ["plugins/greet"]


def test_folder_of_folders(tmp_path: Path) -> None:
    """The folders in a folder are found by name, each once, and others left out."""
    for name in ("b", "a"):
        _make(tmp_path / name)
    (tmp_path / "notes").mkdir()
    found = find_folders([tmp_path, tmp_path / "b"])
    assert [folder.path.name for folder in found] == ["a", "b"]


def test_nothing_to_import(tmp_path: Path) -> None:
    """A folder without any dioptra.toml is named, and so is the file it lacks."""
    with pytest.raises(NoResources, match=r"no dioptra\.toml") as caught:
        find_folders([tmp_path])
    assert repr(str(tmp_path)) in str(caught.value)


def test_no_folder(tmp_path: Path) -> None:
    """A path that is no folder is said to be none."""
    with pytest.raises(NoResources, match="is no folder"):
        find_folders([tmp_path / "nowhere"])


def test_not_toml(tmp_path: Path) -> None:
    """A dioptra.toml that is not TOML is named with the line that is wrong."""
    with pytest.raises(BadResources, match=r"dioptra\.toml:1:10: .*not valid TOML"):
        find_folders([_make(tmp_path / "one", "[[plugins]\n")])


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[plugins]\npath = 'x'\n", "two brackets"),
        ("[[entrypoints]]\nname = 'x'\n", "Number 1 of [[entrypoints]] has no 'path'"),
    ],
)
def test_wrong_shape(tmp_path: Path, toml: str, words: str) -> None:
    """A table of the wrong shape is refused before the API is asked."""
    with pytest.raises(BadResources) as caught:
        find_folders([_make(tmp_path / "one", toml)])
    assert words in str(caught.value)


def test_missing_files(tmp_path: Path) -> None:
    """Every file and folder that is named and not there is told at once."""
    folder = _make(tmp_path / "one")
    (folder / "entrypoint.yml").unlink()
    (folder / "plugins/greet").rmdir()
    with pytest.raises(BadResources) as caught:
        find_folders([folder])
    plugin, graph = map(str, caught.value.findings)
    assert ":3:1: error: This names the plugin 'plugins/greet'" in plugin
    assert ":5:1: error: This names the task graph 'entrypoint.yml'" in graph
