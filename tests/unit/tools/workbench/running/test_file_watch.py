"""Which files have changed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.unit.tools.workbench.folders import write

from dioptra_worker.tools.workbench.running.file_watch import Watch

if TYPE_CHECKING:
    from pathlib import Path


def _settled(watch: Watch) -> list[str]:
    """What two looks in a row say."""
    return [file.name for file in watch.changes() or watch.changes()]


def test_changes_are_told_once(tmp_path: Path) -> None:
    """A file that is changed, added or removed is told, and then no more."""
    write(tmp_path, {"plugins/a.py": "1", "plugins/b.py": "1", "graph.yml": "1"})
    watch = Watch([tmp_path / "plugins", tmp_path / "graph.yml"])
    assert _settled(watch) == []
    (tmp_path / "plugins/a.py").write_text("22")
    (tmp_path / "plugins/b.py").unlink()
    (tmp_path / "plugins/c.py").write_text("3")
    assert _settled(watch) == ["a.py", "b.py", "c.py"]
    assert _settled(watch) == []


def test_a_change_is_told_when_it_is_over(tmp_path: Path) -> None:
    """While files still change, nothing is told."""
    file = write(tmp_path, {"a.py": "1"}) / "a.py"
    watch = Watch([tmp_path])
    file.write_text("22")
    assert watch.changes() == []
    file.write_text("333")
    assert watch.changes() == []
    assert watch.changes() == [file]


def test_editors_that_put_a_new_file_in_place(tmp_path: Path) -> None:
    """A file that is replaced by one of the same size and time has changed."""
    file = write(tmp_path, {"a.py": "1", "new": "2"}) / "a.py"
    os.utime(file, (1, 1))
    os.utime(tmp_path / "new", (1, 1))
    watch = Watch([file])
    (tmp_path / "new").replace(file)
    assert _settled(watch) == ["a.py"]


def test_what_python_and_editors_leave_is_no_change(tmp_path: Path) -> None:
    """Compiled files and hidden ones do not count, nor what is not there yet."""
    write(tmp_path, {"plugins/a.py": "1"})
    watch = Watch([tmp_path / "plugins", tmp_path / "missing.yml"])
    write(tmp_path, {"plugins/__pycache__/a.pyc": "x", "plugins/.a.py.swp": "x"})
    assert _settled(watch) == []
    (tmp_path / "missing.yml").write_text("1")
    assert _settled(watch) == ["missing.yml"]
