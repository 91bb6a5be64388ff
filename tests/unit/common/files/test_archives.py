"""No archive gets out of its folder or floods it."""

from __future__ import annotations

import gzip
import io
import os
import resource
import stat
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from dioptra_worker.common.files.archives import MAX_HEADER_BYTES, unpack
from dioptra_worker.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Member = tuple[tarfile.TarInfo, bytes]


def _file(name: str, content: bytes = b"x", *, mode: int = 0o644) -> Member:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    member.mode = mode
    return member, content


def _special(name: str, kind: bytes, link: str = "") -> Member:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = link
    return member, b""


def _archive(folder: Path, *members: Member, form: int = tarfile.PAX_FORMAT) -> Path:
    path = folder / "bundle.tar.gz"
    with tarfile.open(path, "w:gz", format=form) as tar:
        for member, content in members:
            tar.addfile(member, io.BytesIO(content))
    return path


def _tree(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def _refused(archive: Path, folder: Path, **limits: Any) -> str:
    """The words; nothing but *target* and the archive may be in the folder."""
    target = folder / "target"
    with pytest.raises(BundleError) as caught:
        unpack(archive, target, what="the bundle", **limits)
    assert {path.name for path in folder.iterdir()} <= {"target", archive.name}
    return str(caught.value)


@pytest.mark.parametrize(
    "form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
)
def test_files_and_folders_are_unpacked(form: int, tmp_path: Path) -> None:
    """Files lie where the archive says, folders are made as needed, empty ones too."""
    big = bytes(range(256)) * 4096
    archive = _archive(
        tmp_path,
        _special("./plug", tarfile.DIRTYPE),
        _file("./plug/tasks.py", b"code"),
        _file("deep/er/big.bin", big),
        _file("empty", b""),
        _special("bare", tarfile.DIRTYPE),
        _file(f"{'long' * 20}/{'name' * 24}", b"long"),
        form=form,
    )
    target = tmp_path / "new" / "target"
    unpack(archive, target, what="the bundle")
    assert (target / "plug" / "tasks.py").read_bytes() == b"code"
    assert (target / "deep" / "er" / "big.bin").read_bytes() == big
    assert (target / "empty").read_bytes() == b""
    assert (target / "bare").is_dir()
    assert (target / ("long" * 20) / ("name" * 24)).read_bytes() == b"long"
    assert len(_tree(target)) == 9


def test_an_archive_without_members(tmp_path: Path) -> None:
    """An entrypoint without plugins has an empty archive, which is fine."""
    unpack(_archive(tmp_path), tmp_path / "target", what="the bundle")
    assert _tree(tmp_path / "target") == set()


@pytest.mark.parametrize(
    "member",
    [
        _file("../escaped"),
        _file("a/../../escaped"),
        _file("a/.."),
        _file("/escaped"),
        _special("..", tarfile.DIRTYPE),
        _special("/escaped", tarfile.DIRTYPE),
        _special("link", tarfile.SYMTYPE, "/etc/passwd"),
        _special("link", tarfile.SYMTYPE, "inside"),
        _special("link", tarfile.LNKTYPE, "../escaped"),
        _special("device", tarfile.CHRTYPE),
        _special("device", tarfile.BLKTYPE),
        _special("fifo", tarfile.FIFOTYPE),
    ],
)
def test_unsafe_members_are_refused(member: Member, tmp_path: Path) -> None:
    """What is no file or folder inside the target is refused by its name."""
    archive = _archive(tmp_path, _file("good"), member)
    words = _refused(archive, tmp_path)
    assert words.startswith("the bundle holds something unsafe: ")
    assert repr(member[0].name) in words


def test_a_link_is_refused_before_anything_follows_it(tmp_path: Path) -> None:
    """A file that would go through a link of the archive is never written."""
    outside = tmp_path / "outside"
    outside.mkdir()
    archive = _archive(
        tmp_path,
        _special("link", tarfile.SYMTYPE, str(outside)),
        _file("link/escaped"),
    )
    with pytest.raises(BundleError):
        unpack(archive, tmp_path / "target", what="the bundle")
    assert list(outside.iterdir()) == []


def test_modes_of_the_archive_do_not_count(tmp_path: Path) -> None:
    """Setuid, setgid and sticky bits are not taken over, nor are missing rights."""
    archive = _archive(
        tmp_path, _file("setuid", mode=0o7777), _file("locked", mode=0o000)
    )
    unpack(archive, tmp_path / "target", what="the bundle")
    for name in ("setuid", "locked"):
        mode = (tmp_path / "target" / name).stat().st_mode
        assert not mode & (stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX | stat.S_IXUSR)
        assert mode & stat.S_IRUSR


def test_too_many_files(tmp_path: Path) -> None:
    """An archive with more files than allowed is refused before they are written."""
    archive = _archive(tmp_path, *(_file(f"f{i}", b"") for i in range(20)))
    words = _refused(archive, tmp_path, max_files=10)
    assert words == "the bundle has more than 10 files"
    assert len(_tree(tmp_path / "target")) == 10


def test_folders_that_only_a_name_has_are_counted(tmp_path: Path) -> None:
    """Some kilobytes of long names make no ninety thousand folders."""
    deep = "/".join("a" * 90)
    members = [_file(f"{number}/{deep}/file") for number in range(100)]
    archive = _archive(tmp_path, *members)
    words = _refused(archive, tmp_path, max_files=2000)
    assert "more than 2,000 files" in words


def test_folders_that_members_share_count_once(tmp_path: Path) -> None:
    """A folder with many files in it is one."""
    members = [_file(f"a/b/{number}") for number in range(50)]
    unpack(_archive(tmp_path, *members), tmp_path / "target", what="it", max_files=52)
    assert len(_tree(tmp_path / "target")) == 52


def test_too_large_files(tmp_path: Path) -> None:
    """A small archive of large files is refused before they are written."""
    archive = _archive(tmp_path, _file("a", bytes(600)), _file("b", bytes(600)))
    words = _refused(archive, tmp_path, max_bytes=1000)
    assert words == "the bundle is larger than 1,000 bytes when unpacked"
    assert _tree(tmp_path / "target") == {"a"}


def test_negative_sizes_do_not_make_room(tmp_path: Path) -> None:
    """A member that claims a negative size is refused and does not loop for ever."""
    member, _ = _file("negative")
    member.size = 0
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 8 + (-512 & 0xFFFFFFFF).to_bytes(4, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])
    archive = tmp_path / "bundle.tar.gz"
    archive.write_bytes(gzip.compress(bytes(header) + bytes(1024)))
    assert _refused(archive, tmp_path)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_headers_are_not_read_without_limit(kind: bytes, tmp_path: Path) -> None:
    """A header that would fill the memory is refused, whatever the archive's size."""
    member = tarfile.TarInfo("x")
    member.type = kind
    member.size = MAX_HEADER_BYTES * 8
    archive = tmp_path / "bundle.tar.gz"
    with gzip.open(archive, "wb", compresslevel=1) as file:
        file.write(member.tobuf(tarfile.GNU_FORMAT))
        file.write(bytes(member.size))
    assert "a header of" in _refused(archive, tmp_path)


def test_headers_that_announce_headers(tmp_path: Path) -> None:
    """Thousands of headers for one file are a damaged archive, not a crash."""
    member = tarfile.TarInfo("x")
    member.type = tarfile.GNUTYPE_LONGNAME
    member.size = 1
    block = member.tobuf(tarfile.GNU_FORMAT) + b"y".ljust(512, b"\0")
    archive = tmp_path / "bundle.tar.gz"
    archive.write_bytes(gzip.compress(block * 5000, compresslevel=1))
    assert _refused(archive, tmp_path)


def _truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _flipped(content: bytes) -> bytes:
    return content[:-8] + bytes(byte ^ 0xFF for byte in content[-8:])


@pytest.mark.parametrize(
    "damage",
    [
        _truncated,
        _flipped,
        lambda content: content[:10],
        lambda _: b"",
        lambda _: b"garbage that is no archive at all",
        gzip.decompress,
        lambda content: gzip.compress(gzip.decompress(content)[:700]),
        lambda _: gzip.compress(b"\xff" * 5000),
        lambda _: b"\xfd7zXZ\x00" + b"junk" * 50,
    ],
)
def test_damaged_archives(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """What is not a whole tar.gz archive is told to be none."""
    content = os.urandom(20_000)
    archive = _archive(tmp_path, _file("a", content), _file("b", content))
    archive.write_bytes(damage(archive.read_bytes()))
    words = _refused(archive, tmp_path)
    assert words.startswith("the bundle is not a whole tar.gz archive: ")


def test_a_name_with_a_nul(tmp_path: Path) -> None:
    """A name that no file can have is a damaged archive."""
    member, content = _file("placeholder")
    member.pax_headers = {"path": "nul\0inside"}
    assert _refused(_archive(tmp_path, (member, content)), tmp_path)


def test_a_disk_that_does_not_take_it_is_not_the_archives_fault(tmp_path: Path) -> None:
    """When files cannot be written, that is told as it is."""
    archive = _archive(tmp_path, _file("a", bytes(9000)))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            unpack(archive, tmp_path / "target", what="the bundle")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_names_that_cannot_be_beside_each_other(tmp_path: Path) -> None:
    """A file where a folder has to be is the archive's fault, and told as such."""
    words = _refused(_archive(tmp_path, _file("a"), _file("a/b")), tmp_path)
    assert "holds 'a/b', which cannot be written beside its other files: " in words


def test_unpacking_can_be_given_up(tmp_path: Path) -> None:
    """Whether to go on is asked between members, and within a large one."""
    archive = _archive(tmp_path, _file("a", bytes(5 << 20)))
    asked: list[int] = []

    def check_cancelled() -> None:
        asked.append(1)
        if len(asked) == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        unpack(archive, tmp_path / "target", what="it", check_cancelled=check_cancelled)
    assert (tmp_path / "target" / "a").stat().st_size < 5 << 20
