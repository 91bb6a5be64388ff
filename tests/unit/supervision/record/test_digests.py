"""Digests of files that a job can reach meanwhile."""

from __future__ import annotations

import hashlib
import os
import threading
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.supervision.record import digests as digests_module
from dioptra_worker.supervision.record.digests import Digests

if TYPE_CHECKING:
    from pathlib import Path


def test_each_file_has_its_digest(tmp_path: Path) -> None:
    """Files below a folder are told by their path; links and pipes are none."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/b").write_bytes(b"bb")
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe")
    found = Digests([tmp_path])
    assert found.wait(10.0)
    assert [(it.path, it.size, it.sha256) for it in found.below(tmp_path)] == [
        ("a", 0, hashlib.sha256(b"").hexdigest()),
        ("deep/b", 2, hashlib.sha256(b"bb").hexdigest()),
    ]
    assert found.below(tmp_path / "elsewhere") == ()


def test_what_is_known_is_not_read(tmp_path: Path) -> None:
    """A digest that was computed while a file came is that file's."""
    (tmp_path / "came").write_bytes(b"it")
    (tmp_path / "other").write_bytes(b"other")
    found = Digests([tmp_path], known={tmp_path / "came": "ab", tmp_path / "no": "cd"})
    assert found.wait(10.0)
    assert [(it.path, it.size, it.sha256) for it in found.below(tmp_path)] == [
        ("came", 2, "ab"),
        ("other", 5, hashlib.sha256(b"other").hexdigest()),
    ]


def test_a_person_may_give_links(tmp_path: Path) -> None:
    """Links to files, and folders that are linked to, are what they lead to."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "a").write_bytes(b"a")
    (data / "b").symlink_to("a")
    (data / "round").symlink_to(data)
    staged = tmp_path / "staged"
    staged.mkdir()
    (staged / "folder").symlink_to(data)
    (staged / "file").symlink_to(data / "a")
    (staged / "nothing").symlink_to("nowhere")
    found = Digests([staged], links=True)
    assert found.wait(10.0)
    sha256 = hashlib.sha256(b"a").hexdigest()
    names = {it.path: it.sha256 for it in found.below(staged)}
    assert names == dict.fromkeys(("file", "folder/a", "folder/b"), sha256)


@pytest.mark.parametrize("harm", ["write", "replace", "forge"])
def test_a_file_that_a_job_changes_has_no_digest(
    tmp_path: Path, harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who writes to an input, or swaps it, does not get that under its name."""
    file = tmp_path / "input"
    file.write_bytes(b"as it was")
    may_read = threading.Event()
    read = Digests._read

    def late(self: Digests) -> None:
        may_read.wait()
        read(self)

    monkeypatch.setattr(Digests, "_read", late)
    found = Digests([tmp_path])
    before = file.stat()
    if harm == "replace":
        (tmp_path / "other").write_bytes(b"another 1")
        (tmp_path / "other").rename(file)
    else:
        file.write_bytes(b"another 1")
    if harm == "forge":
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    may_read.set()
    assert found.wait(10.0)
    (only,) = found.below(tmp_path)
    assert only.sha256 == ""
    assert found.has_changed(tmp_path)


def test_a_file_that_a_job_removes_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not there any more can have been anything."""
    (tmp_path / "input").write_bytes(b"as it was")
    may_read = threading.Event()
    read = Digests._read
    monkeypatch.setattr(Digests, "_read", lambda it: may_read.wait() and read(it))
    found = Digests([tmp_path])
    (tmp_path / "input").unlink()
    may_read.set()
    assert found.wait(10.0)
    assert found.has_changed(tmp_path)


def test_a_job_does_not_wait_for_large_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not read yet has no digest, and nobody waits for long."""
    (tmp_path / "large").write_bytes(b"x" * 100)
    is_over = threading.Event()
    monkeypatch.setattr(Digests, "_read", lambda _: is_over.wait())
    monkeypatch.setattr(digests_module, "HEAD_START", 0.0)
    found = Digests([tmp_path])
    assert not found.wait(0.0)
    assert [it.sha256 for it in found.below(tmp_path)] == [""]
    assert not found.has_changed(tmp_path)
    is_over.set()
    assert found.wait(10.0)
