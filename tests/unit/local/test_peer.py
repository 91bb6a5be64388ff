"""The REST API's environment: when it is whole, and what is installed into it."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from dioptra_worker.local import peer
from dioptra_worker.local.peer import PeerEnvironment

if TYPE_CHECKING:
    from pathlib import Path


def _pinned(file: Path) -> set[str]:
    lines = [line for line in file.read_text().splitlines() if line[:1] not in "#"]
    names = (re.split(r" ;|==", line)[0] for line in lines)
    return {name.lower().replace("_", "-") for name in names}


def test_an_environment_counts_only_when_it_was_finished(tmp_path: Path) -> None:
    """Without the marker that is written last, it is made again."""
    environment = PeerEnvironment(tmp_path / "venv/bin/python")
    environment.python.parent.mkdir(parents=True)
    environment.python.symlink_to(sys.executable)
    assert not peer._is_whole(tmp_path, environment)
    (tmp_path / peer._MARKER).write_text("{}")
    assert peer._is_whole(tmp_path, environment)


def test_an_environment_whose_python_was_removed_does_not_count(
    tmp_path: Path,
) -> None:
    """A link to an interpreter that was upgraded away is no interpreter."""
    environment = PeerEnvironment(tmp_path / "python")
    environment.python.symlink_to(tmp_path / "gone")
    (tmp_path / peer._MARKER).write_text("{}")
    assert not peer._is_whole(tmp_path, environment)


def test_everything_that_is_installed_is_pinned() -> None:
    """Two installations a year apart give the same environment."""
    slim = _pinned(peer._PINS / "slim.txt")
    assert slim <= _pinned(peer._PINS / "constraints.txt")
    assert {"dioptra-platform", "gunicorn"} <= slim


def test_the_first_pythons_3_11() -> None:
    """What redis needs on Pythons before 3.11.3, such as Debian 12's, is installed."""
    lines = (peer._PINS / "slim.txt").read_text().splitlines()
    assert 'async-timeout ; python_full_version < "3.11.3"' in lines


def test_pins_name_no_package_index() -> None:
    """Where packages come from is the user's pip's business."""
    for file in peer._PINS.iterdir():
        text = file.read_text()
        assert "://" not in text
        assert "--" not in text


def test_small_and_full_environments_do_not_share_a_folder() -> None:
    """A full one is not taken for a small one, nor its lock."""
    assert peer._key(full=True) != peer._key(full=False)
    assert "-c" in peer._pip_command(peer._PINS, full=True)
    assert "--no-deps" not in peer._pip_command(peer._PINS, full=True)
    assert "--no-deps" in peer._pip_command(peer._PINS, full=False)
