"""Which folders are believed; for commands see `tests/hostile`."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.common.files import trusted_folder
from dioptra_worker.common.files.trusted_folder import UntrustedFolder, make_private

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ANOTHER = 12_345


@pytest.fixture(name="ours")
def _ours(tmp_path: Path) -> Path:
    """A folder of ours that is to be believed."""
    folder = tmp_path / "ours"
    folder.mkdir(0o755)
    make_private(folder)
    return folder


@pytest.fixture(name="give_away")
def _give_away(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Has a file belong to another user, or us be another than its owner."""

    def give_away(path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(path, ANOTHER, ANOTHER, follow_symlinks=False)
        else:
            monkeypatch.setattr(os, "geteuid", lambda: ANOTHER)

    return give_away


def test_a_folder_of_another(ours: Path, give_away: Callable[[Path], None]) -> None:
    """A folder that belongs to another user is refused, whatever its mode."""
    give_away(ours)
    with pytest.raises(UntrustedFolder, match="belongs to user"):
        make_private(ours)


def test_a_folder_below_one_of_another(
    ours: Path, give_away: Callable[[Path], None]
) -> None:
    """So is one on the way to which somebody else could put another in its place."""
    (ours / "below").mkdir()
    give_away(ours)
    with pytest.raises(UntrustedFolder, match="belongs to user"):
        make_private(ours / "below")


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o702])
def test_a_folder_in_which_others_may_write(mode: int, ours: Path) -> None:
    """A folder is refused, with the way out, into which others can put something."""
    ours.chmod(mode)
    with pytest.raises(UntrustedFolder, match=re.escape(f"run chmod go-w {ours}")):
        make_private(ours)


@pytest.mark.parametrize(("mode", "is_believed"), [(0o777, False), (0o1777, True)])
def test_a_folder_in_one_for_all(mode: int, is_believed: bool, ours: Path) -> None:
    """In a folder for everybody, ours cannot be replaced if that is sticky."""
    ours.chmod(mode)
    if is_believed:
        make_private(ours / "below")
        assert (ours / "below").stat().st_mode & 0o777 == trusted_folder.PRIVATE_MODE
        return
    with pytest.raises(UntrustedFolder, match="others may write"):
        make_private(ours / "below")


@pytest.mark.skipif(os.geteuid() != 0, reason="a link's owner is its maker")
def test_a_link_of_another(ours: Path, give_away: Callable[[Path], None]) -> None:
    """A link is followed if we, or root, made it: its owner can lead it elsewhere."""
    link = ours / "link"
    (ours / "below").mkdir(0o700)
    link.symlink_to(ours / "below")
    make_private(link)
    give_away(link)
    with pytest.raises(UntrustedFolder, match="is a link of user"):
        make_private(link)
