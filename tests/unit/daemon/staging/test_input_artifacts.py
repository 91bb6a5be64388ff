"""Input artifacts come whole, by whatever way, or the job's log says why not."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import sys
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.api.scripted import Answer, Request, ScriptedApi

from dioptra_worker.api.client import DioptraApi
from dioptra_worker.api.models import ArtifactParameter
from dioptra_worker.common.files.archives import MAX_ARTIFACT_BYTES
from dioptra_worker.common.files.workspace import Workspace, workspace
from dioptra_worker.common.network.outage_log import OutageLog
from dioptra_worker.common.text.humanize import duration
from dioptra_worker.daemon.staging.input_artifacts import InputArtifacts
from dioptra_worker.daemon.staging.snapshot_cache import SnapshotCache
from dioptra_worker.daemon.staging.transfer import Transfer, TransferContext
from dioptra_worker.errors import ArtifactError, BundleError, ServiceUnavailable
from dioptra_worker.supervision.forkserver.runner_process import (
    ProcessExit,
    ProcessHandle,
)
from dioptra_worker.supervision.time_limit import SetupDeadline
from dioptra_worker.tracking.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator


MIB = 1 << 20
AWAY = {"error": "S3 cannot be reached"}
CONTENTS = "artifacts/1/snapshots/10/contents"


class Store:
    """Makes processes that have put files somewhere and said something."""

    def __init__(
        self, files: dict[str, bytes] | None = None, *said: object, code: int = 0
    ) -> None:
        self._files = files or {}
        self._said = said
        self._code = code
        self.asked = 0

    def start_download(
        self, uri: str, target: Path, *, is_dir: bool
    ) -> tuple[ProcessHandle, int]:
        """Begin, and be done."""
        assert uri
        self.asked += 1
        if is_dir:
            target.mkdir()
        for name, content in self._files.items():
            file = target / name if is_dir else target
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        reports, there = os.pipe()
        for words in self._said:
            os.write(there, json.dumps(words).encode() + b"\n")
        os.close(there)
        process = ProcessHandle(4711)
        process.set_exit(ProcessExit(code=self._code, peak=None))
        return process, reports

    def signal(self, process: ProcessHandle, signum: int) -> None:
        """It has ended by itself."""


def gives(content: bytes) -> Store:
    """A store that has a file."""
    return Store({"": content}, {"size": len(content)}, {"done": True})


@dataclass
class Api:
    """What the REST API has of an artifact.

    Attributes:
        size: A file's bytes as they were registered; None where it does not tell.
        files: How many bytes each file of a folder has.
        contents: What it answers, one after the other; the last again and again.
        silent: Seconds before it does.
        description: What it says that the artifact is.
        folder: The job's folder.
        lying: What lay in its scratch folders when the contents were asked for.
    """

    size: int | None = None
    files: list[int] = field(default_factory=list)
    contents: list[Any] = field(default_factory=list)
    silent: float = 0.0
    description: str = ""
    folder: Path = Path()
    lying: list[str] = field(default_factory=list)

    def __call__(self, request: Request) -> Answer:
        """Answer."""
        if request.path == "artifacts/1":
            body = {"id": 1, "snapshot": 10, "job": 7, "isDir": self.size is None}
            about = {"artifactUri": "s3://b/a", "fileSize": self.size}
            return Answer(body=body | about | {"description": self.description})
        if request.path == "artifacts/1/files":
            return Answer(
                body=[{"isDir": False, "fileSize": size} for size in self.files]
            )
        if request.path == CONTENTS:
            self.lying += map(str, self.folder.glob(".dioptra/scratch-*/*"))
            time.sleep(self.silent)
            more = len(self.contents) > 1
            content = self.contents.pop(0) if more else self.contents[0]
            return content if isinstance(content, Answer) else Answer(body=content)
        return Answer(body={"id": 1, "username": "worker", "createdOn": "today"})


class HeardDeadline(SetupDeadline):
    """A deadline that keeps what it would say whenever something is awaited."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.reasons: list[str] = []

    @contextlib.contextmanager
    def waiting_for(self, what: str) -> Iterator[None]:
        """Keep the reason, too."""
        with super().waiting_for(what):
            self.reasons.append(self.stop_request.reason)
            yield


class Job:
    """A job that reads one artifact."""

    def __init__(self, api: DioptraApi, server: ScriptedApi, space: Workspace) -> None:
        self.space = space
        self.said: list[tuple[str, str]] = []
        self.deadlines: list[HeardDeadline] = []
        self.stopped = False
        self.now = 0.0
        self.slow = 0.0
        self.patience = 60.0
        self.api = api
        self._server = server
        parent = space.root.parent
        self.cache = SnapshotCache(
            parent / "cache", size=100 * MIB, identity=lambda: "me", key=b"k"
        )

    def read(
        self,
        store: Store,
        *,
        uri: str = "s3://b/0/a/artifacts/model",
        is_dir: bool = False,
    ) -> Path:
        """Have it brought; where it is."""
        deadline = HeardDeadline(300.0, clock=lambda: self.now)
        self.deadlines.append(deadline)
        inputs = InputArtifacts(self.context(store, deadline), self.space)
        artifact = ArtifactParameter(
            name="model",
            artifact_id=1,
            artifact_snapshot_id=10,
            uri=uri,
            is_dir=is_dir,
            plugin_id=3,
            plugin_snapshot_id=30,
            plugin_name="p",
            file_name="f.py",
            task="T",
            outputs=("value",),
        )
        inputs.stage_in(artifact)
        self.digests = inputs.digests
        (found,) = inputs.folder(artifact).iterdir()
        return found

    def context(
        self, store: Store, deadline: SetupDeadline | None = None
    ) -> TransferContext:
        """What the transfers from a store, or else the API, share."""
        return TransferContext(
            api=self.api,
            launcher=store,
            cache=self.cache,
            deadline=deadline or SetupDeadline(300.0),
            log=lambda severity, text: self.said.append((severity, text)),
            outages=OutageLog(),
            sleep=self._sleep,
            retry_timeout=self.patience,
        )

    @property
    def texts(self) -> list[str]:
        """What the log says."""
        return [text for _, text in self.said]

    @property
    def downloads(self) -> int:
        """How often the API was asked for the contents."""
        return self._server.asked.count(f"GET {CONTENTS}")

    @property
    def left(self) -> list[Path]:
        """What lies about beside what the job reads."""
        return [
            *self.space.root.glob(".dioptra/scratch-*"),
            *self.space.root.glob(".dioptra/download-*"),
        ]

    @property
    def until(self) -> list[float]:
        """Until when each reading may take."""
        return [deadline.due_at for deadline in self.deadlines]

    @property
    def awaited(self) -> list[str]:
        """What would have been said had time run out while something was awaited."""
        return [reason for deadline in self.deadlines for reason in deadline.reasons]

    def _sleep(self, _seconds: float) -> None:
        self.now += self.slow
        if self.stopped:
            raise KeyError("stopped")


Serve = Callable[..., Job]


@pytest.fixture(name="serve")
def _serve(tmp_path: Path) -> Iterator[Serve]:
    """Begin a job with what the API has."""
    with contextlib.ExitStack() as opened:

        def begin(script: Api, *, timeout: float = 30.0) -> Job:
            server = opened.enter_context(ScriptedApi(script).running())
            api = opened.enter_context(
                DioptraApi(url=server.url, username="w", password="p", timeout=timeout)
            )
            space = opened.enter_context(workspace(tmp_path / "jobs", 7))
            script.folder = space.root
            return Job(api, server, space)

        yield begin


def _archive(files: dict[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return raw.getvalue()


def test_from_its_store(serve: Serve) -> None:
    """What the store gives is read, with its own name, and the API is not asked."""
    job = serve(Api(size=7))
    found = job.read(gives(b"content"))
    assert (found.name, found.read_bytes()) == ("model", b"content")
    assert (job.downloads, job.said, job.left) == (0, [], [])
    assert job.read(Store({}, AWAY)) == found  # from the cache


@pytest.mark.parametrize("is_dir", [False, True], ids=["a file", "a folder"])
def test_digests_that_are_known_by_then(is_dir: bool, serve: Serve) -> None:
    """They are those of the files where these lie in the end."""
    files = {"a": b"A", "deep/b": b"B"} if is_dir else {"": b"content"}
    name = "deep/b" if is_dir else "."
    said = ({"size": 2}, {"file": name, "sha256": "ab"}, {"done": True})
    job = serve(Api(size=None if is_dir else 7))
    found = job.read(Store(files, *said), is_dir=is_dir)
    assert job.digests == {found / name: "ab"}
    job.read(Store({}, AWAY), is_dir=is_dir)  # from the cache
    content = hashlib.sha256(b"content").hexdigest()
    assert job.digests == ({} if is_dir else {found: content})


def test_the_digest_of_what_came_through_the_api(serve: Serve) -> None:
    """It is computed as the file is copied into the cache; without one, later."""
    job = serve(Api(size=7, contents=[b"content"]))
    found = job.read(Store({}, AWAY))
    sha256 = hashlib.sha256(found.read_bytes()).hexdigest()
    assert job.digests == {found: sha256}


def test_through_the_api(serve: Serve) -> None:
    """What the store does not give comes through the API, and the log says why."""
    job = serve(Api(size=7, contents=[b"content"]))
    store = Store({"": b"con"}, {"size": 7}, {"came": 3}, AWAY)
    assert job.read(store).read_bytes() == b"content"
    ((severity, words),) = job.said
    assert severity == "WARNING"
    assert "input artifact 'model' did not come straight from its store" in words
    assert words.endswith("S3 cannot be reached")
    assert (job.downloads, job.left) == (1, [])


def test_a_store_that_only_the_api_reaches(serve: Serve) -> None:
    """An address of a kind that is not known here is left to the API, silently."""
    job = serve(Api(size=7, contents=[b"content"]))
    store = gives(b"wrong")
    assert job.read(store, uri="dbfs:/a/model").read_bytes() == b"content"
    assert (store.asked, job.said) == (0, [])


@pytest.mark.parametrize("is_dir", [False, True], ids=["a file", "a folder"])
def test_what_did_not_come_makes_room(is_dir: bool, serve: Serve) -> None:
    """What there is of a failed download is gone when the API is asked."""
    content = _archive({"model/a": b"A"}) if is_dir else b"content"
    api = Api(size=None if is_dir else 7, files=[1], contents=[content])
    job = serve(api)
    job.read(Store({"": b"con"} if not is_dir else {"a": b"con"}, AWAY), is_dir=is_dir)
    assert (job.downloads, api.lying) == (1, [])


def test_a_process_that_was_killed(serve: Serve) -> None:
    """The log names the signal that ended the process which fetched it."""
    job = serve(Api(size=7, contents=[b"content"]))
    job.read(Store({"": b"con"}, {"size": 7}, code=-9))
    assert "the process that fetched it was killed by SIGKILL" in job.texts[0]
    assert job.left == []


def test_a_folder(serve: Serve) -> None:
    """A folder comes by either way with all in it, and the next time from the cache."""
    files = {"a": b"A", "deep/b": b"B"}
    archive = _archive({f"model/{name}": content for name, content in files.items()})
    job = serve(Api(contents=[archive], files=[1, 1]))
    for store in (Store({"a": b"?", "c": b"?"}, AWAY), Store({}, AWAY)):
        found = job.read(store, is_dir=True)
        assert found.name == "model"
        assert {
            path.relative_to(found).as_posix(): path.read_bytes()
            for path in found.rglob("*")
            if path.is_file()
        } == files
    assert (job.downloads, job.left) == (1, [])


def test_a_folder_from_its_store(serve: Serve) -> None:
    """What came straight is kept as the archive that the API would have given."""
    job = serve(Api())
    files = {"a": b"A", "deep/b": b"B"}
    first = job.read(Store(files, {"size": 2}, {"done": True}), is_dir=True)
    again = job.read(Store({}, AWAY), is_dir=True)
    assert first == again
    assert (again / "deep" / "b").read_bytes() == b"B"
    assert (job.downloads, job.said) == (0, [])


# -- waiting for the API -----------------------------------------------------------


@pytest.mark.parametrize(
    ("api", "words", "patience"),
    [
        (Api(size=64 * MIB, contents=[bytes(64 * MIB)]), " (64 MiB)", 32.0),
        (Api(files=[64 * MIB]), " (64 MiB)", 32.0),
        (Api(files=[1] * 640), " (640 B)", 32.0),
        (Api(files=[]), "", 600.0),
    ],
    ids=["a file", "a folder", "many files", "nobody knows"],
)
def test_who_is_waited_for(api: Api, words: str, patience: float, serve: Serve) -> None:
    """What may take long is said beforehand, with how long, and may take as long."""
    api.contents = api.contents or [_archive({"model/a": b"A"})]
    job = serve(api, timeout=30.0)
    job.read(Store({}, AWAY), is_dir=api.size is None)
    (line,) = [text for text in job.texts if "waiting for the REST API" in text]
    assert f"fetches input artifact 'model'{words} from its store" in line
    assert line.endswith(f"may take up to {duration(30.0 + patience)}")
    assert max(job.until) == pytest.approx(300.0 + patience, abs=1.0)
    assert any(
        "artifact 'model'" in it and "through the REST" in it for it in job.awaited
    )


@pytest.mark.parametrize(
    "api",
    [Api(size=64 * MIB - 1, contents=[bytes(64 * MIB - 1)]), Api(files=[1] * 600)],
    ids=["a file", "many files"],
)
def test_what_is_not_worth_a_line(api: Api, serve: Serve) -> None:
    """What comes soon is not said beforehand."""
    api.contents = api.contents or [_archive({"model/a": b"A"})]
    job = serve(api)
    job.read(Store({}, AWAY), is_dir=api.size is None)
    assert not [text for text in job.texts if "waiting" in text]


def test_an_api_that_is_silent_for_long(serve: Serve) -> None:
    """The larger an artifact is, the longer the API is waited for, and asked once."""
    content = bytes(40 * MIB)
    job = serve(Api(size=len(content), contents=[content], silent=1.0), timeout=0.5)
    assert job.read(Store({}, AWAY)).stat().st_size == len(content)
    assert job.downloads == 1


@pytest.mark.parametrize(
    "store",
    [
        Store({"": b"content"}, {"came": 7}, {"came": 0}, {"done": True}),
        Store({}, AWAY),
    ],
    ids=["from its store", "through the API"],
)
def test_what_comes_puts_the_deadline_off(store: Store, serve: Serve) -> None:
    """However long it takes, an artifact has time as long as something comes."""
    job = serve(Api(size=7, contents=[b"content"]))
    job.slow = 1000.0
    job.read(store)
    assert max(job.until) == job.now + 300.0


def test_a_large_one_puts_the_deadline_off(serve: Serve) -> None:
    """A server that fetches before it sends has its time for that."""
    job = serve(Api(size=64 * MIB))
    job.read(Store({"": b""}, {"size": 64 * MIB}, {"done": True}))
    assert max(job.until) == pytest.approx(300.0 + 32.0)


def test_unpacking_puts_the_deadline_off(serve: Serve) -> None:
    """An archive may take as long to unpack as it needs, also one from the cache."""
    job = serve(Api(files=[1], contents=[_archive({"model/a": b"A"})]))
    job.read(Store({}, AWAY), is_dir=True)
    job.slow = 1000.0
    job.read(Store({}, AWAY), is_dir=True)
    assert max(job.until) >= 1300.0


def test_how_far_it_is(serve: Serve, tmp_path: Path) -> None:
    """The log says how much has come and how fast, counted from the first byte."""
    job = serve(Api())
    progress = partial(Progress, clock=lambda: job.now)
    transfer = Transfer(
        "m", job.context(gives(b"")), expected=4 * MIB, disk=tmp_path, progress=progress
    )
    with transfer.attempt("through the REST API"):
        job.now = 1000.0
        for _ in range(3):
            transfer.received(MIB)
            job.now += 16.0
    words = "fetching input artifact 'm' through the REST API: "
    assert job.said == [
        ("INFO", f"{words}2 MiB of 4 MiB, 128 KiB/s"),
        ("INFO", f"{words}3 MiB of 4 MiB, 96 KiB/s"),
    ]


# -- what has another size ---------------------------------------------------------


def test_a_transfer_that_broke_off(serve: Serve) -> None:
    """A file that came too short is fetched again, and is whole then."""
    job = serve(Api(size=7, contents=[b"con", b"content"]))
    assert job.read(Store({}, AWAY)).read_bytes() == b"content"
    assert job.downloads == 2
    assert not [text for text in job.texts if "another file by now" in text]


@pytest.mark.parametrize("way", ["from its store", "through the API"])
def test_an_artifact_that_was_replaced(way: str, serve: Serve) -> None:
    """What has another size than it was registered with is read, said, and not kept."""
    job = serve(Api(size=7, contents=[b"replaced"]))
    store = gives(b"replaced") if way == "from its store" else Store({}, AWAY)
    for _ in range(2):
        assert job.read(store).read_bytes() == b"replaced"
    severity, words = job.said[-1]
    assert severity == "WARNING"
    assert "'model' has 8 bytes, and had 7 when it was registered" in words
    assert store.asked == 2


def test_an_empty_file(serve: Serve) -> None:
    """A file without a byte is whole by either way."""
    for store in (gives(b""), Store({}, AWAY)):
        job = serve(Api(size=0, contents=[b""]))
        assert job.read(store).read_bytes() == b""
        assert not [text for text in job.texts if "bytes" in text]


# -- what cannot be used -----------------------------------------------------------


def test_what_does_not_fit_is_not_asked_for_elsewhere(serve: Serve) -> None:
    """What the process found unfit is refused; the API would give the same."""
    job = serve(Api(size=7, contents=[b"content"]))
    store = Store({}, {"unfit": "'../out' cannot be a file's name here"})
    with pytest.raises(
        ArtifactError, match=r"input artifact 'model' cannot be used: '\.\./out' cannot"
    ):
        job.read(store)
    assert (job.downloads, job.said, job.left) == (0, [], [])


@pytest.mark.parametrize(
    "store", [Store({}, {"size": MAX_ARTIFACT_BYTES + 1}), Store({}, AWAY)]
)
def test_more_than_anybody_wants(store: Store, serve: Serve) -> None:
    """What is beyond all bounds is refused before any of it comes, by either way."""
    job = serve(Api(size=MAX_ARTIFACT_BYTES + 1, contents=[b""]))
    with pytest.raises(ArtifactError, match=r"'model'.* more than 64 GiB"):
        job.read(store)
    assert (job.downloads, job.left) == (0, [])


def test_more_than_was_said(serve: Serve, tmp_path: Path) -> None:
    """What comes without end is refused when it is beyond all bounds."""
    job = serve(Api())
    transfer = Transfer("model", job.context(gives(b"")), expected=None, disk=tmp_path)
    with transfer.attempt("through the REST API"):
        transfer.received(MAX_ARTIFACT_BYTES)
        with pytest.raises(ArtifactError, match=r"more than 64 GiB"):
            transfer.received(1)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a disk without any room")
def test_a_disk_without_room(serve: Serve) -> None:
    """What the disk has no room for is refused at once, with both numbers."""
    job = serve(Api())
    transfer = Transfer(
        "model", job.context(gives(b"")), expected=None, disk=Path("/proc")
    )
    words = "(DIOPTRA_WORKER_WORK_DIR): it has 3 MiB, and 0 B are left"
    with pytest.raises(ArtifactError, match=re.escape(words)):
        transfer.begin(3 * MIB)


def test_a_disk_that_takes_nothing(serve: Serve) -> None:
    """What cannot be written is said with the artifact, the folder and the reason."""
    job = serve(Api(size=7, contents=[b"content"]))
    folder = job.space.artifact(1, 10)
    folder.parent.mkdir()
    folder.write_text("in the way")
    with pytest.raises(
        ArtifactError,
        match=r"input artifact 'model' cannot be used: .* \(DIOPTRA_WORKER_WORK_DIR\):"
        " File exists",
    ):
        job.read(gives(b"content"))
    assert job.left == []


@pytest.mark.parametrize("uri", ["s3://b/a/..", "/", "s3://b/a\0b"])
def test_an_address_without_a_name(uri: str, serve: Serve) -> None:
    """An address whose end can be no file's name here is refused, and not asked for."""
    job = serve(Api(size=7, contents=[b"content"]))
    store = gives(b"content")
    with pytest.raises(ArtifactError, match="does not end with a name"):
        job.read(store, uri=uri)
    assert (store.asked, job.downloads, job.left) == (0, 0, [])


@pytest.mark.parametrize("said", ["missing", "error"])
def test_an_artifact_that_nobody_has(said: str, serve: Serve) -> None:
    """What neither its store nor the API has is given up; else the API is tried on."""
    broken = Answer(500, {"message": "Internal Server Error"})
    job = serve(Api(size=7, contents=[broken, broken, broken, b"content"]))
    store = Store({}, {said: "S3 does not have it"})
    if said == "error":
        assert job.read(store).read_bytes() == b"content"
        return
    with pytest.raises(
        ArtifactError, match="'model' cannot be used: its store does not"
    ):
        job.read(store)
    assert (job.downloads, job.left) == (3, [])
    assert "S3 does not have it" in job.texts[0]


def test_an_artifact_that_was_deleted(serve: Serve) -> None:
    """A deleted artifact is neither fetched nor taken from the cache."""
    job = serve(Api(size=7, description="[deleted] model"))
    store = gives(b"content")
    with pytest.raises(ArtifactError, match="artifact 1, input 'model', was deleted"):
        job.read(store)
    assert store.asked == 0


def test_an_archive_that_is_none(serve: Serve) -> None:
    """What is no archive, or leads elsewhere, is refused each time, and never kept."""
    bad = [b"<html>", _archive({"../out": b"x"})]
    job = serve(Api(files=[1], contents=[*bad, _archive({"model/a": b"A"})]))
    for words in ("is not a whole tar.gz", "holds something unsafe"):
        with pytest.raises(BundleError, match=f"input artifact 'model' {words}"):
            job.read(Store({}, AWAY), is_dir=True)
        assert job.left == []
    assert (job.read(Store({}, AWAY), is_dir=True) / "a").read_bytes() == b"A"


def test_a_job_that_is_stopped(serve: Serve) -> None:
    """A job that is stopped while an artifact comes gives up, and nothing is left."""
    for store in (gives(b"content"), Store({}, AWAY)):
        job = serve(Api(size=7, contents=[b"content"]))
        job.stopped = True
        for uri in ("s3://b/0/a/model", "dbfs:/model"):  # while the store, or the API
            with pytest.raises(KeyError):
                job.read(store, uri=uri)
        assert job.left == []


def test_an_api_that_does_not_give_it_either(serve: Serve) -> None:
    """What nobody gives is the API's last word."""
    job = serve(Api(size=7, contents=[b"con", b"cont", b"conte"]))
    job.patience = 0.0
    with pytest.raises(ServiceUnavailable, match="3 bytes instead of 7"):
        job.read(Store({}, AWAY))
    assert job.left == []
