"""Any archive, by whoever writes artifacts and plugins, is unpacked within limits.

Nothing outside of the target is touched, what is made is files and folders, as many and
as large as the limits say at most, and what is wrong is one sentence of ours.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import tarfile
import tempfile
import tracemalloc
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dioptra_worker.common.files.archives import MAX_DEPTH, MAX_HEADER_BYTES, unpack
from dioptra_worker.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

WHAT = "the bundle"
MAX_FILES = 12
MAX_BYTES = 5000
MAX_MEMORY = 40 << 20

Member = tuple[str, bytes, str, bytes]
"""A member's name, its type, where it links to, and its bytes."""

TYPES = (
    *(tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE, tarfile.DIRTYPE),
    *(tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE),
    *(tarfile.BLKTYPE, tarfile.GNUTYPE_SPARSE, b"Z"),
)
PARTS = st.sampled_from(
    ["", ".", "..", "a", "b", "A", "a.", "..a", "~", "ö", "\udcff", "\n", "n" * 300]
)
NAMES = (
    st.lists(PARTS, max_size=5).map("/".join)
    | st.text(max_size=12)
    | st.integers(1, 400).map("d/".__mul__)
    | st.sampled_from(["/etc/passwd", "../outside/file", "a/../../outside/file"])
)
MEMBERS: st.SearchStrategy[list[Member]] = st.lists(
    st.tuples(
        NAMES,
        st.sampled_from(TYPES) | st.just(tarfile.REGTYPE),
        NAMES | st.just("../outside"),
        st.binary(max_size=40) | st.integers(0, 3 * MAX_BYTES).map(bytes),
    ),
    max_size=MAX_FILES + 4,
)
FORMATS = st.sampled_from(
    [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
)
PAX = st.dictionaries(
    st.sampled_from(
        [
            *("path", "linkpath", "size", "mtime", "uid", "GNU.sparse.major"),
            *("GNU.sparse.minor", "GNU.sparse.name", "GNU.sparse.realsize"),
            *("GNU.sparse.map", "GNU.sparse.size", "hdrcharset", "comment"),
        ]
    ),
    st.sampled_from(["", "0", "1", "-1", "nan", "9" * 30, "../outside/file", "0,5"])
    | st.text(max_size=5),
    max_size=3,
)
DAMAGES = st.lists(
    st.tuples(
        st.sampled_from(["cut", "flip", "insert", "repeat"]), st.integers(0, 1 << 20)
    ),
    max_size=3,
)


def _tar(members: Iterable[Member], form: int, pax: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form, pax_headers=pax) as tar:
        for name, kind, link, content in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, link, len(content)
            if form == tarfile.PAX_FORMAT:
                member.pax_headers = pax
            try:
                tar.addfile(member, io.BytesIO(content))
            except (ValueError, UnicodeError):  # no archive can have that
                continue
    return buffer.getvalue()


def _damage(data: bytes, damages: Iterable[tuple[str, int]]) -> bytes:
    for kind, where in damages:
        place = where % (len(data) + 1)
        start, end = data[:place], data[place:]
        if kind == "cut":
            data = start
        elif kind == "flip" and end:
            data = start + bytes([end[0] ^ (1 << where % 8)]) + end[1:]
        elif kind == "insert":
            data = start + bytes([where % 256]) * 3 + end
        else:
            data = start + end[:512] + end
    return data


def _entries(folder: Path) -> list[Path]:
    found = []
    for parent, folders, files in os.walk(folder):
        found += [Path(parent, name) for name in (*folders, *files)]
    return found


def _check(data: bytes) -> None:
    """Unpack it; whatever comes of it keeps the promise of this file."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        outside, target = root / "outside", root / "inside" / "target"
        outside.mkdir()
        (outside / "file").write_bytes(b"untouched")
        (root / "bundle.tar.gz").write_bytes(data)
        try:
            unpack(
                root / "bundle.tar.gz",
                target,
                what=WHAT,
                max_files=MAX_FILES,
                max_bytes=MAX_BYTES,
            )
        except BundleError as error:
            words = str(error)
            assert words.startswith(f"{WHAT} ")
            assert len(words) < 900
            assert "\n" not in words
        made = _entries(target)
        assert len(made) <= MAX_FILES
        assert not any(path.is_symlink() for path in made)
        assert all(path.is_dir() or path.is_file() for path in made)
        files = [path for path in made if path.is_file()]
        assert sum(path.stat().st_size for path in files) <= MAX_BYTES
        assert all(path.stat().st_nlink == 1 for path in files)
        assert (outside / "file").read_bytes() == b"untouched"
        assert len(_entries(root)) == 5 + len(made)


@settings(suppress_health_check=list(HealthCheck))
@given(members=MEMBERS, form=FORMATS, pax=PAX, plain=DAMAGES, packed=DAMAGES)
@example(
    members=[
        ("link", tarfile.SYMTYPE, "../../outside", b""),
        ("link/file", tarfile.REGTYPE, "", b"changed"),
    ],
    form=tarfile.GNU_FORMAT,
    pax={},
    plain=[],
    packed=[],
)
@example(
    members=[
        ("a", tarfile.REGTYPE, "", b"file"),
        ("a/b", tarfile.REGTYPE, "", b"below a file"),
    ],
    form=tarfile.GNU_FORMAT,
    pax={},
    plain=[],
    packed=[],
)
@example(
    members=[("n" * 300, tarfile.REGTYPE, "", b"")],
    form=tarfile.PAX_FORMAT,
    pax={},
    plain=[],
    packed=[],
)
def test_any_archive(
    members: list[Member],
    form: int,
    pax: dict[str, str],
    plain: list[tuple[str, int]],
    packed: list[tuple[str, int]],
) -> None:
    """Whatever members there are, and however they are damaged, the promise holds."""
    data = _damage(_tar(members, form, pax), plain)
    _check(_damage(gzip.compress(data, 1), packed))


@given(data=st.binary(max_size=2000), packed=st.booleans())
def test_any_bytes(data: bytes, *, packed: bool) -> None:
    """What is no archive at all is one sentence, too, packed or not."""
    _check(gzip.compress(data, 1) if packed else data)


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../outside/file", "changed")
    return buffer.getvalue()


def _header(kind: bytes, name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size
    return member.tobuf(tarfile.GNU_FORMAT)


def _sparse_map() -> bytes:
    """A sparse file whose map has no end, so that it is read for ever."""
    records = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
    head = _header(tarfile.XHDTYPE, "x", len(records)) + records.ljust(512, b"\0")
    return head + _header(tarfile.REGTYPE, "f", 1 << 24) + b"9" * 9 + b"\n0" * (1 << 23)


def _announcements() -> bytes:
    """Headers that announce headers, each of which is kept while the next is read."""
    size = MAX_HEADER_BYTES
    return (_header(tarfile.GNUTYPE_LONGNAME, "x", size) + b"n" * size) * 100


def _for_all() -> bytes:
    """Records that hold for all members to come, more with each of them."""
    parts = []
    for number in range(50):
        record = b"900020 comment%02d=" % number
        record = record.ljust(900_019, b"x") + b"\n"
        parts.append(_header(tarfile.XGLTYPE, "g", len(record)))
        parts.append(record.ljust(-(-len(record) // 512) * 512, b"\0"))
        parts.append(_header(tarfile.REGTYPE, f"f{number}", 0))
    return b"".join(parts)


def _hidden() -> bytes:
    """A sparse file that shows one byte and has sixteen million."""
    head = bytearray(_header(tarfile.GNUTYPE_SPARSE, "f", 1 << 24))
    head[483:495] = b"00000000001\0"
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head[:512])
    return bytes(head) + bytes(1 << 24)


ATTACKS: dict[str, Callable[[], bytes]] = {
    "a zip": _zip,
    "a sparse map without end": lambda: gzip.compress(_sparse_map(), 1),
    "headers that announce headers": lambda: gzip.compress(_announcements(), 1),
    "records for all": lambda: gzip.compress(_for_all(), 1),
    "hidden bytes": lambda: gzip.compress(_hidden(), 1),
    "bytes behind the end": lambda: gzip.compress(bytes(1 << 22), 1),
    "deep folders": lambda: gzip.compress(
        _tar([("d/" * (MAX_DEPTH + 1), tarfile.DIRTYPE, "", b"")], 2, {}), 1
    ),
    "two archives": lambda: gzip.compress(_tar([], 1, {})) * 2000,
}


@pytest.mark.parametrize(
    "attack", sorted(ATTACKS.keys() - {"a sparse map without end"})
)
def test_little_becomes_much(attack: str) -> None:
    """An archive takes no more memory than honest ones, whatever it announces."""
    data = ATTACKS[attack]()
    tracemalloc.start()
    try:
        _check(data)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < MAX_MEMORY


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        ("a zip", "is not a whole tar.gz archive: Not a gzipped file"),
        ("a sparse map without end", "headers without end"),
        ("headers that announce headers", "headers without end"),
        ("hidden bytes", "something unsafe: 'f' is neither a file nor a folder"),
        ("bytes behind the end", "it goes on after its end"),
        ("deep folders", "files|folders in each other"),
    ],
)
def test_what_is_said(attack: str, words: str, tmp_path: Path) -> None:
    """Each attack is refused with what is wrong."""
    archive = tmp_path / "bundle"
    archive.write_bytes(ATTACKS[attack]())
    with pytest.raises(BundleError, match=re.compile(words)):
        unpack(archive, tmp_path / "target", what=WHAT)
