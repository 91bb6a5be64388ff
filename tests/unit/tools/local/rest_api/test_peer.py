"""The REST API's environment: when it is whole, and what is installed into it."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.tools.local.rest_api import peer
from dioptra_worker.tools.local.rest_api.peer_environment import PeerEnvironment
from dioptra_worker.tools.local.rest_api.relocation import was_moved

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


def test_one_of_ours_that_is_named_brings_its_database(tmp_path: Path) -> None:
    """Whoever names its interpreter waits for no migration; another's has none."""
    python = tmp_path / "venv/bin/python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    assert peer.given_peer(python) == PeerEnvironment(python)
    (tmp_path / peer._MARKER).write_text("{}")
    assert peer.given_peer(python).database == tmp_path / peer._TEMPLATE


@pytest.mark.process
@pytest.mark.parametrize("place", ["there", "there, with blanks", "far" * 60])
def test_an_environment_that_was_moved_is_mended(tmp_path: Path, place: str) -> None:
    """Its programs are run by its own interpreter again, wherever it was moved to."""
    here, there = tmp_path / "here, with blanks", tmp_path / place
    home = here / "peer" / peer._key(peer.PINS, full=False)
    command = [sys.executable, "-m", "venv", "--without-pip", str(home / "venv")]
    subprocess.run(command, check=True)
    (home / peer._MARKER).write_text("{}")
    python = home / "venv/bin/python"
    before = _contents(python.parent)
    programs = {
        "flask": f"#!{python}\n",
        "gunicorn": f"#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\n",
    }
    for name, head in programs.items():
        program = python.with_name(name)
        program.write_text(f"{head}import sys\nprint(sys.prefix, *sys.argv[1:])\n")
        program.chmod(0o755)

    here.rename(there)
    moved = peer.ensure_peer(there).python
    for name in programs:
        answer = subprocess.run(
            [moved.with_name(name), "argument"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert answer.stdout == f"{moved.parent.parent} argument\n"
    after = _contents(moved.parent)
    assert {name: after[name] for name in after.keys() - programs.keys()} == before

    (tmp_path / "link").symlink_to(there)
    assert not was_moved(tmp_path / "link" / moved.relative_to(there))


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_everything_that_is_installed_is_pinned() -> None:
    """Two installations a year apart give the same environment."""
    slim = _pinned(peer.PINS / "slim.txt")
    assert slim <= _pinned(peer.PINS / "constraints.txt")
    assert {"dioptra-platform", "gunicorn"} <= slim


def test_the_first_pythons_3_11() -> None:
    """What redis needs on Pythons before 3.11.3, such as Debian 12's, is installed."""
    lines = (peer.PINS / "slim.txt").read_text().splitlines()
    assert 'async-timeout ; python_full_version < "3.11.3"' in lines


def test_pins_name_no_package_index() -> None:
    """Where packages come from is the user's pip's business."""
    for file in peer.PINS.iterdir():
        text = file.read_text()
        assert "://" not in text
        assert "--" not in text


def test_other_pins_are_another_environment(tmp_path: Path) -> None:
    """Each version of the platform has a folder with its own name and digest."""
    assert peer.pinned_version(peer.PINS) == peer.PEER_VERSION
    (tmp_path / "constraints.txt").write_text("# old\ndioptra-platform==1.0.0\nrq==1\n")
    one = peer._key(tmp_path, full=False)
    assert one.startswith("dioptra-platform-1.0.0-slim-")
    (tmp_path / "constraints.txt").write_text("# old\ndioptra-platform==1.0.0\nrq==2\n")
    assert (
        len({one, peer._key(tmp_path, full=False), peer._key(peer.PINS, full=False)})
        == 3
    )


def test_small_and_full_environments_do_not_share_a_folder() -> None:
    """A full one is not taken for a small one, nor its lock."""
    assert peer._key(peer.PINS, full=True) != peer._key(peer.PINS, full=False)
    assert "-c" in peer._pip_command(peer.PINS, peer.PINS, full=True)
    assert "--no-deps" not in peer._pip_command(peer.PINS, peer.PINS, full=True)
    assert "--no-deps" in peer._pip_command(peer.PINS, peer.PINS, full=False)
