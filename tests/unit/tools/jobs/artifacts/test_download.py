"""Artifacts, saved by the command and by the page."""

from __future__ import annotations

import http.client
import io
import tarfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from tests.unit.api.scripted import Answer
from tests.unit.tools.jobs.browsing import Browser, serving_page
from tests.unit.tools.jobs.dioptra import Dioptra

from dioptra_worker.api.client import DioptraApi
from dioptra_worker.api.user_client import UserClient
from dioptra_worker.errors import ServiceUnavailable
from dioptra_worker.provenance import DELETED
from dioptra_worker.tools.jobs.artifacts.download import Saver
from dioptra_worker.tools.jobs.artifacts.selection import chosen
from dioptra_worker.tools.jobs.errors import CannotSave, NoContents
from dioptra_worker.tools.resources.errors import Unknown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

EVIL = 'a\r\nSet-Cookie: x=1; "größe".html'
PAGE = b"<script>alert(1)</script>"


def _archive(*members: str) -> bytes:
    """A tar.gz as the API makes it of a folder."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w:gz") as tar:
        for name in members:
            data = name.encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return output.getvalue()


@pytest.fixture(name="dioptra")
def _dioptra() -> Dioptra:
    dioptra = Dioptra()
    dioptra.put(7, ("queued", 0), ("started", 1), ("finished", 2))
    dioptra.put_artifact(1, "note.txt", Answer(body=b"a note"))
    folder = Answer(body=_archive("days/one.csv", "days/more/two.csv"))
    dioptra.put_artifact(2, "days", folder, is_dir=True)
    return dioptra


def _left(folder: Path) -> list[str]:
    """All that there is in a folder."""
    found = (path.relative_to(folder) for path in folder.rglob("*"))
    return sorted(str(path) for path in found)


@contextmanager
def _api(dioptra: Dioptra) -> Iterator[tuple[DioptraApi, UserClient]]:
    with (
        dioptra.running() as (_, upstream),
        DioptraApi(url=upstream.url, username="ada", password="x") as api,
    ):
        yield api, UserClient(api)


def _save(
    dioptra: Dioptra, folder: Path, names: Sequence[str] = (), *, force: bool = False
) -> list[str]:
    """Save artifacts of job 7; their places."""
    with _api(dioptra) as (api, client):
        artifacts = chosen(client.artifacts(7), names, job_id=7)
        saver = Saver(api=api, folder=folder, force=force)
        return [str(saved.path.relative_to(folder)) for saved in saver.save(artifacts)]


def test_save(dioptra: Dioptra, tmp_path: Path) -> None:
    """Files and folders are saved under their names, and nothing else stays."""
    to = tmp_path / "to" / "here"
    assert _save(dioptra, to) == ["note.txt", "days"]
    assert _left(to) == [
        "days",
        "days/more",
        "days/more/two.csv",
        "days/one.csv",
        "note.txt",
    ]
    assert (to / "note.txt").read_bytes() == b"a note"
    assert (to / "days/more/two.csv").read_text() == "days/more/two.csv"


def test_choose(dioptra: Dioptra, tmp_path: Path) -> None:
    """One is chosen by the name of its file, with or without ending, or by its id."""
    for number, name in enumerate(("note", "note.txt", "1")):
        assert _save(dioptra, tmp_path / str(number), [name, name]) == ["note.txt"]
    assert _save(dioptra, tmp_path / "all", ["made"]) == ["note.txt", "days"]
    with pytest.raises(Unknown, match=r"no artifact 'not': it has 'note\.txt', 'days'"):
        _save(dioptra, tmp_path / "none", ["not"])
    dioptra.artifacts.clear()
    with pytest.raises(Unknown, match="job 7 has no artifacts"):
        _save(dioptra, tmp_path / "none")


def test_nothing_is_overwritten(dioptra: Dioptra, tmp_path: Path) -> None:
    """What is there stays as it is, and nothing is saved beside it, unless forced."""
    (tmp_path / "days").mkdir()
    (tmp_path / "days" / "mine").touch()
    with pytest.raises(CannotSave, match="days is there already: --force replaces it"):
        _save(dioptra, tmp_path)
    assert _left(tmp_path) == ["days", "days/mine"]
    (tmp_path / "note.txt").write_text("old")
    _save(dioptra, tmp_path, force=True)
    assert (tmp_path / "note.txt").read_text() == "a note"
    assert _left(tmp_path / "days") == ["more", "more/two.csv", "one.csv"]


@pytest.mark.parametrize("kind", ["file for folder", "folder for file", "link"])
def test_other_kinds_are_not_replaced(
    kind: str, dioptra: Dioptra, tmp_path: Path
) -> None:
    """Not even by force does a file take the place of a folder, or of a link."""
    to = tmp_path / "to"
    to.mkdir()
    if kind == "file for folder":
        (to / "note.txt").mkdir()
    elif kind == "folder for file":
        (to / "days").touch()
    else:
        (to / "days").symlink_to(tmp_path)
    before = _left(to)
    with pytest.raises(CannotSave, match="is there already and is no"):
        _save(dioptra, to, force=True)
    assert _left(to) == before


@pytest.mark.parametrize(
    ("contents", "is_dir", "error"),
    [
        (Answer(body=b"half", length=100), False, ServiceUnavailable),
        (Answer(body=_archive("x/a")[:-9]), True, CannotSave),
        (Answer(body=b"no archive"), True, CannotSave),
        (Answer(body=_archive("../out")), True, CannotSave),
        (Answer(body=_archive("/out")), True, CannotSave),
        (Answer(500), False, NoContents),
        (Answer(503), False, ServiceUnavailable),
    ],
)
def test_bad_contents(
    contents: Answer, is_dir: bool, error: type[Exception], tmp_path: Path
) -> None:
    """What breaks off, is damaged or leads elsewhere leaves nothing behind."""
    dioptra = Dioptra()
    dioptra.put(7, ("queued", 0))
    dioptra.put_artifact(1, "x", contents, is_dir=is_dir)
    to = tmp_path / "to"
    with pytest.raises(error):
        _save(dioptra, to)
    assert _left(tmp_path) == ["to"]


def test_archives_of_another_shape(tmp_path: Path) -> None:
    """An archive without one folder around all is kept as it is, in one."""
    dioptra = Dioptra()
    dioptra.put(7, ("queued", 0))
    dioptra.put_artifact(1, "x", Answer(body=_archive("a", "b/c")), is_dir=True)
    assert _save(dioptra, tmp_path) == ["x"]
    assert _left(tmp_path) == ["x", "x/a", "x/b", "x/b/c"]


def test_deleted(dioptra: Dioptra, tmp_path: Path) -> None:
    """A deleted artifact is told to be, without asking for what is not there."""
    dioptra.put_artifact(3, "gone", Answer(500), description=f"{DELETED} it")
    with pytest.raises(NoContents, match="artifact 3 was deleted"):
        _save(dioptra, tmp_path, ["gone"])
    with serving_page(dioptra) as browser:
        got = browser.get("/jobs/7/artifacts/3")
        assert (got.status, "Artifact 3 was deleted" in got.text) == (409, True)
        page = browser.get("/jobs/7").text
        assert "/jobs/7/artifacts/2" in page
        assert "/jobs/7/artifacts/3" not in page


def test_no_room(dioptra: Dioptra, tmp_path: Path) -> None:
    """A place that nothing can be saved in is told in a sentence."""
    (tmp_path / "file").touch()
    for folder, told in ((tmp_path / "file", "is no folder"), (Path("/proc"), "saved")):
        with pytest.raises(CannotSave, match=told):
            _save(dioptra, folder)


def test_page(dioptra: Dioptra) -> None:
    """The page passes contents on to be saved, under a name that breaks nothing."""
    dioptra.put_artifact(3, EVIL, Answer(body=PAGE))
    with serving_page(dioptra) as browser:
        note = browser.get("/jobs/7/artifacts/1")
        days = browser.get("/jobs/7/artifacts/2")
        evil = browser.get("/jobs/7/artifacts/3")
    assert note.body == b"a note"
    assert days.body == _body(dioptra, 2)
    assert 'filename="days.tar.gz"' in days.headers["Content-Disposition"]
    assert evil.body == PAGE
    for got in (note, days, evil):
        assert got.status == 200
        assert got.headers["Content-Type"] == "application/octet-stream"
        assert got.headers["X-Content-Type-Options"] == "nosniff"
        assert got.headers["Content-Disposition"].startswith("attachment; ")
        assert "Set-Cookie" not in got.headers


@pytest.mark.parametrize("path", ["/jobs/7/artifacts/99", "/jobs/8/artifacts/1"])
def test_not_there(path: str, dioptra: Dioptra) -> None:
    """What is no artifact of the job is not there."""
    with serving_page(dioptra) as browser:
        assert browser.get(path).status == 404


def test_no_contents_on_the_page(dioptra: Dioptra) -> None:
    """Where the API has nothing to give, a page says why, and saves nothing."""
    dioptra.put_artifact(3, "x", Answer(500))
    with serving_page(dioptra) as browser:
        got = browser.get("/jobs/7/artifacts/3")
        assert got.status == 409
        assert "The API cannot read artifact 3" in got.text
        assert "Content-Disposition" not in got.headers


def test_broken_off(dioptra: Dioptra) -> None:
    """A browser can tell what broke off from what is whole."""
    dioptra.put_artifact(3, "x", Answer(body=b"half", length=100))
    with serving_page(dioptra) as browser, pytest.raises(http.client.IncompleteRead):
        browser.get("/jobs/7/artifacts/3")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_versions(version: str, dioptra: Dioptra) -> None:
    """A client that is too old for pieces gets it, too; its head alone is no body."""
    with serving_page(dioptra) as browser:
        assert _answer(browser, "GET", version).endswith(b"a note")
        assert _answer(browser, "HEAD", version).endswith(b"\r\n\r\n")


def _answer(browser: Browser, method: str, version: str) -> bytes:
    """What comes over the wire, up to the connection's end."""
    place = urlsplit(browser.server.address)
    connection = http.client.HTTPConnection(place.netloc, timeout=30)
    connection.connect()
    head = f"{method} /jobs/7/artifacts/1 HTTP/{version}\r\nHost: localhost\r\n"
    head += f"Cookie: {browser.cookie}\r\n"
    connection.sock.sendall(f"{head}Connection: close\r\n\r\n".encode())
    received = b""
    while piece := connection.sock.recv(65536):
        received += piece
    connection.close()
    return received


def _body(dioptra: Dioptra, artifact: int) -> bytes:
    body = dioptra.contents[artifact].body
    assert isinstance(body, bytes)
    return body
