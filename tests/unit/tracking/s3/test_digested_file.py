"""The digest of a file whose parts come in any order is that of the whole."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.tracking.s3.digested_file import DigestedFile

if TYPE_CHECKING:
    from pathlib import Path

PART = 300_000


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 0, 1, 3, 2, 0)])
def test_parts_in_any_order(tmp_path: Path, order: tuple[int, ...]) -> None:
    """Also of some that come twice, as after a transfer that broke off."""
    content = os.urandom(3 * PART + 11)
    begins = [number * PART for number in order]
    with DigestedFile(tmp_path / "file") as file:
        assert file.seekable()
        for begin in begins:
            file.seek(begin)
            part = content[begin : begin + PART]
            assert file.write(part[:1000]) == min(1000, len(part))
            file.write(part[1000:])
            assert file.tell() == begin + len(part)
        found = file.sha256(len(content))
    assert (tmp_path / "file").read_bytes() == content
    assert found == hashlib.sha256(content).hexdigest()


def test_a_gap_has_no_digest(tmp_path: Path) -> None:
    """What did not come whole is nothing's content."""
    with DigestedFile(tmp_path / "file") as file:
        file.write(b"abc")
        file.seek(10)
        file.write(b"xyz")
        assert file.sha256(13) == ""


def test_an_error_ends_it(tmp_path: Path) -> None:
    """Whoever gives up waits for nobody."""

    def give_up() -> None:
        with DigestedFile(tmp_path / "file") as file:
            file.write(b"abc")
            raise KeyError

    with pytest.raises(KeyError):
        give_up()
