"""Artifacts straight from the local stack's stores, whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import resource
import threading
from typing import TYPE_CHECKING

import mlflow
import pytest
from moto.server import ThreadedMotoServer
from tests.plugins.clients import s3_client
from tests.plugins.fault_proxy import (
    Rule,
    answer,
    cut_short,
    falsify,
    fault_proxy,
    late,
    shorten,
)

from dioptra_worker.errors import (
    ArtifactError,
    NotFound,
    ServiceError,
    ServiceRefused,
    ServiceUnavailable,
)
from dioptra_worker.tools.local.config import BUCKET
from dioptra_worker.tracking import artifact_store, download
from dioptra_worker.tracking.limits import MIN_RATE, Limits
from dioptra_worker.tracking.mlflow import active_run
from dioptra_worker.tracking.mlflow.run import MlflowTracking
from dioptra_worker.tracking.s3.part_size import MULTIPART_THRESHOLD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.plugins.fault_proxy import Exchange

    from dioptra_worker.tools.local import LocalStack

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:botocore")
LIMITS = Limits(files=100, size=100 << 20)
SMALL, LARGE = 1000, 20 << 20
BODY = r"/mlflow-artifacts/artifacts/.*/data/file"


class Listener:
    """Notes how far a download is."""

    def __init__(self) -> None:
        self.size = -1
        self.arrived = 0
        self._lock = threading.Lock()

    def begin(self, size: int) -> None:
        """So many bytes will come."""
        self.size = size

    def received(self, count: int) -> None:
        """So many more bytes are there."""
        with self._lock:
            self.arrived += count


@pytest.fixture(name="simulation", scope="module")
def _simulation() -> Iterator[str]:
    """The address of an S3 that takes any key and knows conditions and tags.

    The stack's own keeps objects as files: it has no keys that no file can have, gives
    no tags, and does not look at If-Match.
    """
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(name="environment", params=["s3", "proxied"])
def _environment(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """Be in the place of a runner; no run is active afterwards."""
    name = "proxied_stack" if request.param == "proxied" else "stack"
    stack: LocalStack = request.getfixturevalue(name)
    environment = stack.environment()
    if request.param == "simulation":
        address = request.getfixturevalue("simulation")
        environment = environment | {"MLFLOW_S3_ENDPOINT_URL": address}
        client = s3_client(environment)
        client.create_bucket(Bucket=BUCKET)
        client.close()
    for key, value in environment.items():
        if key.startswith(("AWS_", "MLFLOW_")):
            monkeypatch.setenv(key, value)
    mlflow.set_tracking_uri(None)
    yield environment
    active_run.end_all("FINISHED")


def _stored(path: Path) -> str:
    """Store a file or folder in a run; its URI."""
    run_id, uri = MlflowTracking().start(7)
    MlflowTracking().close(run_id, "FINISHED")
    return artifact_store.store(uri).put(path, "data")


def _fetched(uri: str, target: Path, *, is_dir: bool = False) -> Listener:
    listener = Listener()
    digests = download.fetch(
        uri, target, is_dir=is_dir, limits=LIMITS, listener=listener
    )
    # What is large and comes from S3 has its digest by then.
    files = [target] if not is_dir else [it for it in target.rglob("*") if it.is_file()]
    assert digests == {
        file: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if uri.startswith("s3:") and file.stat().st_size >= MULTIPART_THRESHOLD
    }
    return listener


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("size", [0, SMALL, LARGE])
def test_a_file(size: int, tmp_path: Path) -> None:
    """A file comes as it was stored, and its size is told."""
    file = tmp_path / "größe 1.bin"
    file.write_bytes(os.urandom(size))
    uri = _stored(file)
    listener = _fetched(uri, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == file.read_bytes()
    assert listener.size == size
    if uri.startswith("s3:"):
        assert listener.arrived == size
    else:  # MLflow does not tell: the folder is looked at now and then
        assert listener.arrived <= size


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("environment", ["s3"], indirect=True)
def test_names_that_look_like_parts_of_an_address(tmp_path: Path) -> None:
    """A file's name may have in it what would end the path of other addresses."""
    file = tmp_path / "a #2?b=%20.bin"
    file.write_bytes(b"abc")
    _fetched(_stored(file), tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"abc"


@pytest.mark.usefixtures("environment")
def test_a_folder(tmp_path: Path) -> None:
    """A folder comes with all that lies in it, large files and small ones."""
    folder = tmp_path / "model"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "weights.bin").write_bytes(os.urandom(LARGE))
    for number in range(30):
        (folder / "deep" / f"{number}.txt").write_text(str(number))
    (folder / "deep" / "er" / "ü 1.txt").write_text("ü")
    listener = _fetched(_stored(folder), tmp_path / "copy", is_dir=True)
    assert _files(tmp_path / "copy") == _files(folder)
    assert listener.size == sum(map(len, _files(folder).values()))


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("is_dir", [False, True])
def test_what_is_not_there(is_dir: bool, tmp_path: Path) -> None:
    """A file or folder that the store does not have is an error, and none appears."""
    (tmp_path / "other").write_text("other")
    uri = _stored(tmp_path / "other").removesuffix("other") + "nothing"
    with pytest.raises(NotFound, match="nothing"):
        _fetched(uri, tmp_path / "copy", is_dir=is_dir)
    assert not (tmp_path / "copy").exists()


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    "limits",
    [Limits(files=2, size=1000), Limits(files=10, size=8)],
    ids=["files", "bytes"],
)
def test_more_than_anybody_wants(limits: Limits, tmp_path: Path) -> None:
    """A folder beyond the limits is refused before anything of it is fetched."""
    folder = tmp_path / "model"
    folder.mkdir()
    for number in range(3):
        (folder / str(number)).write_text("abc")
    uri, target = _stored(folder), tmp_path / "copy"
    with pytest.raises(ArtifactError):
        download.fetch(uri, target, is_dir=True, limits=limits, listener=Listener())
    assert not target.exists()


@pytest.mark.parametrize("environment", ["simulation"], indirect=True)
@pytest.mark.parametrize("name", ["../out", "a/../../out", "/out", "a//b"])
def test_names_that_lead_elsewhere(
    name: str, environment: dict[str, str], tmp_path: Path
) -> None:
    """An object whose name would be a file elsewhere is refused."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a").write_text("a")
    uri = _stored(tmp_path / "model")
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    s3_client(environment).put_object(Bucket=bucket, Key=f"{key}/{name}", Body=b"x")
    with pytest.raises(ArtifactError, match="cannot be a file's name"):
        _fetched(uri, tmp_path / "folder" / "copy", is_dir=True)
    assert not list(tmp_path.rglob("out"))


@pytest.mark.parametrize("environment", ["simulation"], indirect=True)
def test_marks_of_folders_are_no_files(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """The empty objects by which some tools mark a folder do not become files."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a").write_text("a")
    uri = _stored(tmp_path / "model")
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    for mark in (f"{key}/", f"{key}/deep/"):
        s3_client(environment).put_object(Bucket=bucket, Key=mark, Body=b"")
    _fetched(uri, tmp_path / "copy", is_dir=True)
    assert _files(tmp_path / "copy") == {"a": b"a"}


@pytest.mark.parametrize("environment", ["simulation"], indirect=True)
@pytest.mark.parametrize(("size", "requests"), [(SMALL, 1), (LARGE, 3)])
def test_bytes_that_are_not_those_that_were_stored(
    size: int,
    requests: int,
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A file of the right size and the wrong content is no file, whole or in ranges."""
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    uri = _stored(tmp_path / "file")
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    # As one object, whose tag is a checksum, whatever stored it.
    s3_client(environment).put_object(Bucket=bucket, Key=key, Body=content)
    with fault_proxy(environment["MLFLOW_S3_ENDPOINT_URL"]) as proxy:
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", proxy.url)
        proxy.add(Rule("GET", r"/data/file", late(0.0), times=requests - 1))
        rule = proxy.add(Rule("GET", r"/data/file", falsify))
        with pytest.raises(ServiceUnavailable, match="the checksum"):
            _fetched(uri, tmp_path / "copy")
        assert rule.hits == 1
        _fetched(uri, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == content


@pytest.mark.parametrize("environment", ["simulation"], indirect=True)
@pytest.mark.parametrize(
    ("action", "words"),
    [
        (falsify, "the checksum"),
        (shorten, "bytes instead of"),
        (cut_short, "did not give"),
        (answer(403), "403"),
    ],
)
def test_one_of_many_small_files_that_does_not_come(
    action: Callable[[Exchange], None],
    words: str,
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is got once more, and all are whole; if that fails too, it is an error."""
    folder = tmp_path / "model"
    folder.mkdir()
    for number in range(10):
        (folder / str(number)).write_bytes(os.urandom(SMALL))
    uri = _stored(folder)
    with fault_proxy(environment["MLFLOW_S3_ENDPOINT_URL"]) as proxy:
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", proxy.url)
        rule = proxy.add(Rule("GET", r"/data/model/7", action))
        listener = _fetched(uri, tmp_path / "copy", is_dir=True)
        assert rule.hits == 1
        assert _files(tmp_path / "copy") == _files(folder)
        assert listener.arrived == listener.size
        proxy.add(Rule("GET", r"/data/model/7", action, times=2))
        with pytest.raises(ServiceError, match=words):
            _fetched(uri, tmp_path / "again", is_dir=True)


@pytest.mark.parametrize("environment", ["s3"], indirect=True)
def test_a_transfer_that_is_cut_off(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that ends too early is an error; one part of a large one is got again."""
    (tmp_path / "small").write_bytes(os.urandom(SMALL))
    (tmp_path / "large").write_bytes(os.urandom(LARGE))
    small, large = _stored(tmp_path / "small"), _stored(tmp_path / "large")
    with fault_proxy(environment["MLFLOW_S3_ENDPOINT_URL"]) as proxy:
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", proxy.url)
        proxy.add(Rule("GET", r"/data/small", cut_short))
        with pytest.raises(ServiceError):
            _fetched(small, tmp_path / "copy")
        rule = proxy.add(Rule("GET", r"/data/large", cut_short))
        _fetched(large, tmp_path / "copy")
        assert rule.hits == 1
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "large").read_bytes()


@pytest.mark.parametrize("environment", ["s3"], indirect=True)
def test_a_store_that_does_not_let_us_in(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal of the store names what it is about."""
    (tmp_path / "file").write_text("abc")
    uri = _stored(tmp_path / "file")
    with fault_proxy(environment["MLFLOW_S3_ENDPOINT_URL"]) as proxy:
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", proxy.url)
        proxy.add(Rule("HEAD", r"/data/file", answer(403)))
        with pytest.raises(ServiceRefused, match=r"s3://.*/data/file.*403"):
            _fetched(uri, tmp_path / "copy")


@pytest.mark.parametrize("environment", ["proxied"], indirect=True)
def test_a_server_that_fetches_before_it_answers(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The larger a file is, the longer MLflow is waited for, and it is asked once."""
    file = tmp_path / "file"
    file.write_bytes(os.urandom(20 * MIN_RATE))
    uri = _stored(file)
    with fault_proxy(environment["MLFLOW_TRACKING_URI"]) as proxy:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.url)
        monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "false")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        rule = proxy.add(Rule("GET", BODY, late(3.0)))
        _fetched(uri, tmp_path / "copy")
        assert rule.hits == 1
    assert (tmp_path / "copy").read_bytes() == file.read_bytes()
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "1"


def test_a_file_that_comes_too_short(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of another size than its store has said is no file."""
    (tmp_path / "file").write_bytes(os.urandom(SMALL))
    uri = _stored(tmp_path / "file")
    direct = uri.startswith("s3:")
    service = "MLFLOW_S3_ENDPOINT_URL" if direct else "MLFLOW_TRACKING_URI"
    with fault_proxy(environment[service]) as proxy:
        monkeypatch.setenv(service, proxy.url)
        monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "false")
        proxy.add(Rule("GET", r"/data/file" if direct else BODY, shorten))
        with pytest.raises(ServiceUnavailable, match="500 bytes instead of 1000"):
            _fetched(uri, tmp_path / "copy")


@pytest.mark.parametrize("environment", ["simulation"], indirect=True)
def test_an_object_without_a_checksum_that_is_replaced(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small object that was stored in parts is not taken for the one after it."""
    (tmp_path / "file").write_bytes(os.urandom(SMALL))
    uri = _stored(tmp_path / "file")
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    store = s3_client(environment)
    upload = store.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    part = store.upload_part(
        Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=os.urandom(SMALL)
    )
    store.complete_multipart_upload(
        Bucket=bucket,
        Key=key,
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )

    def replace(exchange: Exchange) -> None:
        store.put_object(Bucket=bucket, Key=key, Body=os.urandom(SMALL))
        exchange.reply(exchange.forward())

    with fault_proxy(environment["MLFLOW_S3_ENDPOINT_URL"]) as proxy:
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", proxy.url)
        proxy.add(Rule("GET", r"/data/file", replace))
        with pytest.raises(ServiceError, match="PreconditionFailed"):
            _fetched(uri, tmp_path / "copy")


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_disk_that_takes_no_more(size: int, tmp_path: Path) -> None:
    """What this machine's disk does not take is not the store's fault, and is said."""
    (tmp_path / "file").write_bytes(os.urandom(size))
    uri = _stored(tmp_path / "file")
    with _no_file_larger_than(size // 2), pytest.raises(ArtifactError) as caught:
        _fetched(uri, tmp_path / "copy")
    words = "no room for it (DIOPTRA_WORKER_WORK_DIR): File too large"
    assert words in str(caught.value)


@contextlib.contextmanager
def _no_file_larger_than(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("environment", ["simulation"], indirect=True)
@pytest.mark.parametrize(("size", "answered"), [(SMALL, 0), (LARGE, 1)])
def test_an_object_that_is_replaced_meanwhile(
    size: int,
    answered: int,
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is replaced between two requests is an error, never a mixture of both."""
    old, new = os.urandom(size), os.urandom(size)
    (tmp_path / "file").write_bytes(old)
    uri = _stored(tmp_path / "file")
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    store = s3_client(environment)

    def replace(exchange: Exchange) -> None:
        store.put_object(Bucket=bucket, Key=key, Body=new)
        exchange.reply(exchange.forward())

    with fault_proxy(environment["MLFLOW_S3_ENDPOINT_URL"]) as proxy:
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", proxy.url)
        proxy.add(Rule("GET", r"/data/file", late(0.0), times=answered))
        proxy.add(Rule("GET", r"/data/file", replace))
        with pytest.raises(ServiceError):
            _fetched(uri, tmp_path / "copy")
        _fetched(uri, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == new
