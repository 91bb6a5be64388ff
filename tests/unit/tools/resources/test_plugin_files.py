"""Which files of a plugin the platform keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.tools.workbench.folders import write

from dioptra_worker.tools.resources.plugin_files import left_out_of, plugin_files

if TYPE_CHECKING:
    from pathlib import Path


def test_only_python_files(tmp_path: Path) -> None:
    """Code is kept; data is not, and a folder without code is one thing."""
    names = ("__init__.py", "a/b/c.py", "a/b/d.json", "a/x.txt", "data/1", "data/2/3")
    write(tmp_path, dict.fromkeys(names, ""))
    found = plugin_files(tmp_path)
    assert found.code == ("__init__.py", "a/b/c.py")
    assert found.left_out == ("a/b/d.json", "a/x.txt", "data/")
    assert found.refused == ()
    assert left_out_of([tmp_path, tmp_path]) == [
        f"{tmp_path.name}/{name}" for name in found.left_out
    ]


def test_what_is_no_part_of_a_plugin(tmp_path: Path) -> None:
    """Hidden files, what Python has compiled, and links to nothing do not count."""
    names = (".git/hook.py", ".x.py", "__pycache__/a.py", "a.pyc", "a.py", "b/.c/d.py")
    write(tmp_path, dict.fromkeys(names, ""))
    (tmp_path / "gone.py").symlink_to("nowhere")
    found = plugin_files(tmp_path)
    assert found.code == ("a.py",)
    assert found.left_out == ("b/", "gone.py")


def test_a_file_is_a_plugin(tmp_path: Path) -> None:
    """A plugin that is one file is all code."""
    file = tmp_path / "alone.py"
    file.touch()
    assert plugin_files(file).code == ("alone.py",)


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("tasks.py", True),
        ("_private.py", True),
        ("__init__.py", True),
        ("sub/tasks2.py", True),
        ("sub/__init__.py", False),
        ("sub/_private.py", False),
        ("_sub/tasks.py", False),
        ("2nd.py", False),
        ("a-b.py", False),
        ("a b/tasks.py", False),
        ("café.py", False),
        ("a.b.py", False),
    ],
)
def test_names(tmp_path: Path, name: str, taken: bool) -> None:
    """Names that the platform's import refuses are told from the others."""
    write(tmp_path, {name: ""})
    assert plugin_files(tmp_path).refused == (() if taken else (name,))
