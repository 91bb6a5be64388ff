"""Snapshots are fetched once, verified when they are used, and take bounded room."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.common.files.archives import unpack
from dioptra_worker.daemon.staging.snapshot_cache import SnapshotCache
from dioptra_worker.errors import BundleError, ServiceUnavailable

if TYPE_CHECKING:
    from pathlib import Path

KEY = "plugins/1/snapshots/2"


class Origin:
    """Where snapshots come from; counts how often it was asked."""

    def __init__(self, content: bytes = b"content") -> None:
        self.content = content
        self.asked = 0

    def __call__(self, target: Path) -> None:
        """Put the content into a file."""
        self.asked += 1
        target.write_bytes(self.content)


Fetch = Callable[..., bytes]


@pytest.fixture(name="fetch")
def _fetch(tmp_path: Path) -> Fetch:
    def fetch(
        origin: Origin, key: str = KEY, *, who: str = "me", size: int = 1000
    ) -> bytes:
        cache = SnapshotCache(
            tmp_path / "cache", size=size, identity=lambda: who, key=b"k"
        )
        with cache.cached_download(key, tmp_path / "target", origin):
            return (tmp_path / "target").read_bytes()

    return fetch


def _entries(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache").iterdir())


def test_what_was_fetched_once_is_not_fetched_again(fetch: Fetch) -> None:
    """The second time the content comes from the cache, also for another worker."""
    origin = Origin()
    assert fetch(origin) == b"content"
    origin.content = b"never seen"
    assert fetch(origin) == b"content"
    assert origin.asked == 1


def test_who_keeps_and_who_gets_is_told_the_digest(tmp_path: Path) -> None:
    """The manifest of a job has it without reading the file once more."""
    cache = SnapshotCache(tmp_path / "cache", size=20, identity=lambda: "me", key=b"k")
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"12345")
    sha256 = hashlib.sha256(b"12345").hexdigest()
    assert cache.get(KEY, target) == ""
    assert cache.add(KEY, source) == sha256
    assert cache.get(KEY, target) == sha256
    source.write_bytes(b"too large")
    assert cache.add("another", source) == ""


def test_what_is_of_no_use_is_not_kept(fetch: Fetch, tmp_path: Path) -> None:
    """What turns out to be no archive, as a proxy's page, is asked for again."""
    cache = SnapshotCache(
        tmp_path / "cache", size=1000, identity=lambda: "me", key=b"k"
    )
    page = Origin(b"<html>back soon</html>")
    with (
        pytest.raises(BundleError),
        cache.cached_download(KEY, tmp_path / "target", page),
    ):
        unpack(tmp_path / "target", tmp_path / "unpacked", what="a bundle")
    assert fetch(Origin(b"the archive")) == b"the archive"


def test_others_have_other_snapshots(fetch: Fetch) -> None:
    """The same number means something else to another user or API."""
    assert fetch(Origin(b"mine")) == b"mine"
    assert fetch(Origin(b"yours"), who="you") == b"yours"
    assert fetch(Origin(b"other"), "plugins/1/snapshots/3") == b"other"


@pytest.mark.parametrize("damage", [b"contenT", b"", b"content and more"])
def test_what_was_damaged_is_fetched_again_and_said(
    damage: bytes, fetch: Fetch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Content that does not match its checksum is never used."""
    origin = Origin()
    fetch(origin)
    _entries(tmp_path)[0].write_bytes(damage)
    assert fetch(origin) == b"content"
    assert origin.asked == 2
    assert f"{KEY} was damaged in the cache and is fetched again" in caplog.text
    assert fetch(origin) == b"content"
    assert origin.asked == 2


def test_what_a_job_has_put_there_is_never_used(fetch: Fetch, tmp_path: Path) -> None:
    """Who does not know the key makes no entry: not with a digest, not by a copy."""
    origin, other = Origin(), Origin(b"of another snapshot")
    fetch(origin)
    (entry,) = _entries(tmp_path)
    fetch(other, "plugins/9/snapshots/9")
    (second,) = set(_entries(tmp_path)) - {entry}
    prefix, _, checksum = entry.name.rpartition("-")
    evil = b"import evil"
    entry.unlink()
    for name, content in {
        f"{prefix}-{checksum}": evil,
        f"{prefix}-{hashlib.sha256(evil).hexdigest()}": evil,
        f"{prefix}-{second.name.rpartition('-')[2]}": other.content,
    }.items():
        (tmp_path / "cache" / name).write_bytes(content)
    assert fetch(origin) == b"content"
    assert fetch(origin) == b"content"
    assert origin.asked == 2


def test_the_key_makes_the_entry(tmp_path: Path) -> None:
    """A worker with another password does not take what one has kept."""
    origin = Origin()
    for key in (b"one", b"two"):
        cache = SnapshotCache(
            tmp_path / "cache", size=1000, identity=lambda: "me", key=key
        )
        with cache.cached_download(KEY, tmp_path / "target", origin):
            pass
    assert origin.asked == 2


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["pipe", "link", "endless link", "folder", "large"])
def test_what_is_no_entry_holds_nobody_up(
    kind: str, fetch: Fetch, tmp_path: Path
) -> None:
    """A pipe, a link or gigabytes in an entry's place are thrown away."""
    origin = Origin()
    fetch(origin)
    (entry,) = _entries(tmp_path)
    entry.unlink()
    match kind:
        case "pipe":
            os.mkfifo(entry)
        case "link":
            entry.symlink_to(tmp_path / "target")
        case "endless link":
            entry.symlink_to("/dev/zero")
        case "folder":
            entry.mkdir()
        case "large":
            with entry.open("wb") as file:
                file.truncate(1 << 40)
    assert fetch(origin) == b"content"
    assert fetch(origin) == b"content"
    assert origin.asked == 2


def test_what_was_not_used_for_longest_goes_first(fetch: Fetch, tmp_path: Path) -> None:
    """The entries never take more than they may, and the useful ones stay."""
    origins = {name: Origin(name.encode() * 200) for name in "abcdef"}
    for number, (name, origin) in enumerate(origins.items()):
        fetch(origin, name)
        for entry in _entries(tmp_path):
            if entry.read_bytes() == origin.content:
                os.utime(entry, (number, number))
        fetch(origins["a"], "a")  # which makes it the last one used
    assert sum(entry.stat().st_size for entry in _entries(tmp_path)) <= 1000
    assert origins["a"].asked == 1
    fetch(origins["b"], "b")
    assert origins["b"].asked == 2


def test_entries_are_not_without_number(tmp_path: Path) -> None:
    """However small they are, there are so many; the latest stay."""
    cache = SnapshotCache(
        tmp_path / "cache", size=1000, identity=lambda: "me", key=b"k", max_entries=3
    )
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"x")
    for number in range(6):
        cache.add(str(number), source)
        for entry in _entries(tmp_path):
            found = entry.stat()
            os.utime(entry, (found.st_atime - 10, found.st_mtime - 10))
    assert [number for number in range(6) if cache.get(str(number), target)] == [
        *(3, 4, 5)
    ]


def test_what_is_too_large_is_not_kept(fetch: Fetch) -> None:
    """One large artifact does not drive out everything else."""
    origin = Origin(bytes(251))
    fetch(origin)
    fetch(origin)
    assert origin.asked == 2


def test_a_cache_of_no_size_keeps_nothing(fetch: Fetch, tmp_path: Path) -> None:
    """With size 0 every snapshot is fetched, and no folder is made."""
    origin = Origin()
    fetch(origin, size=0)
    fetch(origin, size=0)
    assert origin.asked == 2
    assert not (tmp_path / "cache").exists()


def test_only_its_owner_can_look_into_it(fetch: Fetch, tmp_path: Path) -> None:
    """Folder and files are private, also when the folder was there before."""
    (tmp_path / "cache").mkdir(mode=0o755)
    (tmp_path / "cache").chmod(0o755)
    fetch(Origin())
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o700
    assert stat.S_IMODE(_entries(tmp_path)[0].stat().st_mode) == 0o600


def test_a_cache_that_cannot_be_used_costs_no_job(
    fetch: Fetch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the folder cannot be, everything is fetched and the reason is said."""
    (tmp_path / "cache").write_text("a file")
    assert fetch(Origin()) == b"content"
    assert "cannot be used" in caplog.text


def test_an_api_that_does_not_say_who_it_is(tmp_path: Path) -> None:
    """While nobody knows whose snapshots they are, none are kept or taken."""

    def identity() -> str:
        raise ServiceUnavailable("away", service="API")

    origin = Origin()
    cache = SnapshotCache(tmp_path / "cache", size=1000, identity=identity, key=b"k")
    for _ in range(2):
        with cache.cached_download(KEY, tmp_path / "target", origin):
            assert (tmp_path / "target").read_bytes() == b"content"
    assert origin.asked == 2
    assert not (tmp_path / "cache").exists()


def test_many_workers_at_once(tmp_path: Path) -> None:
    """However many use a folder that is too small for all, each gets what it asked."""
    wrong: list[bytes] = []

    def work(number: int) -> None:
        cache = SnapshotCache(
            tmp_path / "cache", size=1000, identity=lambda: "me", key=b"k"
        )
        target = tmp_path / f"target-{number}"
        for turn in range(60):
            name = f"{(turn * 7 + number) % 9}"
            with cache.cached_download(name, target, Origin(name.encode() * 200)):
                if target.read_bytes() != name.encode() * 200:
                    wrong.append(target.read_bytes())

    threads = [threading.Thread(target=work, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    names = [entry.name for entry in _entries(tmp_path)]
    assert not any(name.startswith("new-") for name in names)
