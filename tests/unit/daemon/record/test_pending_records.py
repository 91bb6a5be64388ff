"""Manifests that wait for their store lie in files, each of which one worker has."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dioptra_worker.daemon.record.pending_records import (
    MAX_RECORD_AGE,
    PendingRecords,
)
from dioptra_worker.provenance.manifest import split

if TYPE_CHECKING:
    from pathlib import Path

API = "http://localhost:1"
MANIFEST = b'{"manifest": 1}\n'


def test_a_manifest_is_read_as_it_was_kept(tmp_path: Path) -> None:
    """By whoever opens it, with what it is of; only we can read it."""
    records = PendingRecords(tmp_path, api=API)
    path = records.keep(7, end="2026Z", manifest=MANIFEST)
    assert path.stat().st_mode & 0o077 == 0
    record = records.open(path)
    assert record is not None
    with record:
        assert (record.about.job_id, record.about.end) == (7, "2026Z")
        assert record.manifest() == MANIFEST
        descriptor = record.open_manifest()
        with os.fdopen(descriptor, "rb") as file:
            assert file.read() == MANIFEST


def test_what_was_signed_is_behind_it(tmp_path: Path) -> None:
    """Whoever reads the manifest gets no more; who stores it gets both."""
    records = PendingRecords(tmp_path, api=API)
    signed = b"{}\n{}\n"
    path = records.keep(7, end="", manifest=MANIFEST, evidence=signed, said_after=1)
    record = records.open(path)
    assert record is not None
    with record:
        assert record.about.said_after == 1
        assert record.manifest() == MANIFEST
        with os.fdopen(record.open_manifest(), "rb") as file:
            assert split(file.read()) == (MANIFEST, signed)


def test_one_worker_has_it(tmp_path: Path) -> None:
    """Nobody opens what another has open, or has stored, or of another platform."""
    records = PendingRecords(tmp_path, api=API)
    path = records.keep(7, end="", manifest=MANIFEST)
    elsewhere = PendingRecords(tmp_path, api="http://localhost:2")
    assert elsewhere.open(path) is None
    record = records.open(path)
    assert record is not None
    with record:
        assert records.open(path) is None
        record.remove()
    assert records.open(path) is None


def test_what_is_left_is_found(tmp_path: Path) -> None:
    """The oldest first; what is very old, or none, harms nobody."""
    records = PendingRecords(tmp_path, api=API)
    assert list(records.left(age=0.0)) == []
    paths = [records.keep(job, end="", manifest=MANIFEST) for job in (1, 2, 3)]
    now = paths[0].stat().st_mtime
    for path, age in zip(paths, (10.0, 99.0, MAX_RECORD_AGE + 9), strict=True):
        os.utime(path, (now - age, now - age))
    assert list(records.left(age=50.0)) == [paths[1]]
    assert not paths[2].exists()
    paths[1].write_bytes(b"\0 no line of ours")
    assert records.open(paths[1]) is None
