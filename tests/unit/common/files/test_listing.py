"""Entries are found by how their names begin."""

from __future__ import annotations

import gc
import re
from typing import TYPE_CHECKING

from dioptra_worker.common.files.listing import beginning_with
from dioptra_worker.daemon.outbox.journal import Journals
from dioptra_worker.daemon.staging.snapshot_cache import SnapshotCache

if TYPE_CHECKING:
    from pathlib import Path


def test_what_begins_so(tmp_path: Path) -> None:
    """Files and folders are found whose names begin so, taken as it stands."""
    for name in ("job-1-a", "job-1-b", "job-12-a", "a-job-1-", "job-*-c"):
        (tmp_path / name).mkdir()
    found = {path.name for path in beginning_with(tmp_path, "job-1-")}
    assert found == {"job-1-a", "job-1-b"}
    assert [path.name for path in beginning_with(tmp_path, "job-*")] == ["job-*-c"]


def test_where_nothing_is(tmp_path: Path) -> None:
    """A folder that is not there, or is none, has no entries."""
    (tmp_path / "file").touch()
    assert beginning_with(tmp_path / "none", "") == []
    assert beginning_with(tmp_path / "file", "") == []


def _patterns() -> int:
    return sum(isinstance(entry, re.Pattern) for entry in gc.get_objects())


def test_nothing_is_kept_of_what_was_looked_for(tmp_path: Path) -> None:
    """A look for a job's journal, or a snapshot, leaves no compiled pattern behind."""
    journals = Journals(tmp_path, api="http://api.test")
    (tmp_path / "outbox").mkdir()
    cache = SnapshotCache(tmp_path, size=1000, identity=lambda: "me", key=b"k")
    before = _patterns()
    for number in range(20):
        assert list(journals.orphaned(number)) == []
        assert not cache.get(f"plugins/{number}", tmp_path / "target")
    assert _patterns() <= before + 1
