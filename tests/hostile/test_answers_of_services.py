"""A service answers what no honest one would: the call fails, in time and in words.

Whoever has taken the place of the REST API or of MLflow can hold up a call for as long
as one answer may take, and cannot have the worker's password sent elsewhere, fill its
memory or its disk, or name a file of its own choice.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import time
import zlib
from typing import TYPE_CHECKING, Any

import pytest
import requests
from tests.plugins.hostile_server import Conversation, hostile_server

from dioptra_worker.api.client import DioptraApi
from dioptra_worker.api.health import HealthAnswer
from dioptra_worker.common.network import answer_pieces, bounded_http, origins
from dioptra_worker.errors import (
    ArtifactError,
    ServiceError,
    ServiceRefused,
    ServiceUnavailable,
    WorkerError,
)
from dioptra_worker.sdk.client.errors import APIConnectionError
from dioptra_worker.sdk.client.transport import Patience, Transport
from dioptra_worker.sdk.worker.bridge import Session
from dioptra_worker.tools.lineage.mlflow_api import MlflowApi

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.plugins.hostile_server import Act

    from dioptra_worker.api.models import Job

PATIENCE = 0.6
"""Seconds that these clients let one answer take."""
MARGIN = 3.0
PASSWORD = "swordfish-and-chips"
JOB: dict[str, Any] = {
    "id": 7,
    "status": "queued",
    "experiment": {"id": 3},
    "group": {"id": 1},
    "entrypoint": {"id": 5, "snapshotId": 50, "name": "train"},
    "queue": {"name": "cpu"},
}


def _api(url: str) -> DioptraApi:
    return DioptraApi(url=url, username="worker", password=PASSWORD, timeout=PATIENCE)


def _job(url: str) -> Job:
    with _api(url) as api:
        return api.job(7)


def _login(url: str) -> None:
    with _api(url) as api:
        api.login()


def _then(start: bytes, act: Act) -> Act:
    """Send something first."""

    def both(them: Conversation) -> None:
        them.send(start)
        act(them)

    return both


# -- time --------------------------------------------------------------------------


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LONG = b"Content-Length: 9999999\r\n\r\n"

DRIPS: dict[str, Act] = {
    "the first line": lambda them: them.drip(b"H"),
    "headers": _then(OK + b"X: ", Conversation.drip),
    "more and more headers": _then(
        b"HTTP/1.1 200 OK\r\n", lambda them: them.drip(b"X-More: y\r\n")
    ),
    "continue, continue": lambda them: them.drip(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "the body": _then(
        OK + LONG,
        lambda them: them.drip(b" "),
    ),
    "chunks": _then(
        CHUNKED,
        lambda them: them.drip(b"1\r\n \r\n"),
    ),
    "a chunk's length": _then(
        CHUNKED,
        lambda them: them.drip(b"0"),
    ),
    "why it refuses": _then(
        b"HTTP/1.1 500 Oh\r\n" + LONG,
        lambda them: them.drip(b" "),
    ),
    "where it leads": _then(
        b"HTTP/1.1 302 Oh\r\nLocation: /api/v1/b\r\n" + LONG,
        lambda them: them.drip(b" "),
    ),
}


@pytest.mark.parametrize("drips", DRIPS.values(), ids=DRIPS)
@pytest.mark.parametrize("call", [_job, _login], ids=["a call", "the login"])
def test_an_answer_that_drips(call: Callable[[str], object], drips: Act) -> None:
    """Silence is never long, and still the whole answer has its time only."""
    began = time.monotonic()
    with hostile_server(drips) as url, pytest.raises(ServiceUnavailable):
        call(url)
    assert time.monotonic() - began < PATIENCE + MARGIN


def test_a_download_that_drips(tmp_path: Path) -> None:
    """A download lasts by what has come, and one that drips is broken off."""

    def drips(them: Conversation) -> None:
        them.send(OK + LONG)
        them.drip(b"x")

    began = time.monotonic()
    with (
        hostile_server(drips) as url,
        _api(url) as api,
        pytest.raises(ServiceUnavailable),
    ):
        api.plugin_bundle(1, 2, tmp_path / "bundle")
    assert time.monotonic() - began < PATIENCE + MARGIN


def test_other_clients_do_not_wait_for_drips_either() -> None:
    """A plugin's client, MLflow's for the commands, and the doctor keep time, too."""
    patience = Patience(connect=PATIENCE, read=PATIENCE, attempts=1)
    with hostile_server(DRIPS["the body"]) as url:
        began = time.monotonic()
        with pytest.raises(APIConnectionError):
            Transport(url, parse=True, patience=patience).send("GET", "/jobs/1")
        assert time.monotonic() - began < PATIENCE + MARGIN
        began = time.monotonic()
        with _api(url) as api:
            assert api.health() == HealthAnswer()
        assert time.monotonic() - began < PATIENCE + MARGIN
        with (
            MlflowApi(url, timeout=PATIENCE) as mlflow,
            pytest.raises(ServiceUnavailable),
        ):
            mlflow.experiments()
        assert time.monotonic() - began < 2 * (PATIENCE + MARGIN)


# -- size --------------------------------------------------------------------------


@pytest.fixture(name="small")
def _small(monkeypatch: pytest.MonkeyPatch) -> int:
    """Let answers have a megabyte, so that a test needs not send hundreds."""
    monkeypatch.setattr(bounded_http, "MAX_ANSWER_BYTES", 1 << 20)
    return 1 << 20


BOMBS: dict[str, Act] = {
    "plain": _then(
        CHUNKED,
        lambda them: them.flood(b"10000\r\n" + b" " * 65536 + b"\r\n"),
    ),
    "without an end": _then(OK + b"\r\n", lambda them: them.flood(b" " * 65536)),
    "gzip": lambda them: them.answer(
        gzip.compress(bytes(50 << 20)), "Content-Encoding: gzip"
    ),
    "deflate": lambda them: them.answer(
        zlib.compress(bytes(50 << 20)), "Content-Encoding: deflate"
    ),
    "gzip twice": lambda them: them.answer(
        gzip.compress(gzip.compress(bytes(50 << 20))), "Content-Encoding: gzip, gzip"
    ),
    "after the end of gzip": _then(
        OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"{}"),
        lambda them: them.flood(bytes(65536)),
    ),
    "an unknown encoding": lambda them: them.answer(b"{}", "Content-Encoding: br"),
    "as an error": lambda them: them.answer(
        gzip.compress(bytes(50 << 20)), "Content-Encoding: gzip", status="500 Oh"
    ),
    "a header": _then(OK + b"X: ", lambda them: them.flood(b"x" * 65536)),
    "headers": _then(
        b"HTTP/1.1 200 OK\r\n", lambda them: them.flood(b"X-More: y\r\n" * 1000)
    ),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
@pytest.mark.usefixtures("small")
def test_an_answer_without_end(bomb: Act) -> None:
    """What is kept in memory has a limit, however little was sent for it."""
    with hostile_server(bomb) as url, pytest.raises(ServiceUnavailable):
        _job(url)


@pytest.mark.parametrize("over", [0, 1])
def test_an_answer_at_the_limit(over: int, small: int) -> None:
    """An answer may be as large as the limit, and not a byte larger."""
    body = json.dumps(JOB).encode().ljust(small + over)
    with hostile_server(lambda them: them.answer(body)) as url:
        if not over:
            assert _job(url).id == JOB["id"]
            return
        with pytest.raises(ServiceUnavailable, match="an answer of more than 1 MiB"):
            _job(url)


def test_pieces_of_a_bomb_are_small() -> None:
    """A compressed download is decompressed piece by piece, and ends at its limit."""
    bomb = gzip.compress(bytes(50 << 20))
    with (
        hostile_server(lambda them: them.answer(bomb, "Content-Encoding: gzip")) as url,
        _api(url) as api,
        api.open_artifact(1, 2, is_dir=False) as download,
    ):
        assert download.length is None
        sizes = [len(piece) for piece in download]
    assert max(sizes) <= answer_pieces.PIECE_BYTES
    assert sum(sizes) == 50 << 20


def test_a_bundle_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle that does not end is broken off at its limit."""
    monkeypatch.setitem(
        DioptraApi.plugin_bundle.__globals__["_BUNDLE"], "max_bytes", 1 << 20
    )
    with (
        hostile_server(BOMBS["without an end"]) as url,
        _api(url) as api,
        pytest.raises(ArtifactError, match="sends more than 1 MiB"),
    ):
        api.plugin_bundle(1, 2, tmp_path / "bundle")
    assert (tmp_path / "bundle").stat().st_size <= 1 << 20


# -- JSON --------------------------------------------------------------------------

JSON: dict[str, bytes] = {
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "deeper than honest": b'{"id":' * 200 + b"7" + b"}" * 200,
    "never closed": b"[" * 100_000,
    "a long number": json.dumps(JOB).encode().replace(b"7", b"7" * 5000),
    "a large number": json.dumps(JOB).encode().replace(b"7", b"7" * 30),
    "many values": b"[" + b"[]," * 3_000_000 + b"[]]",
    "no UTF-8": b'{"id": "\xff\xfe"}',
    "UTF-16": json.dumps(JOB).encode("utf-16"),
    "NaN": b"NaN",
    "an id that is NaN": json.dumps(JOB).encode().replace(b"7", b"NaN"),
    "an id that is none": json.dumps(JOB | {"id": True}).encode(),
    "an id below zero": json.dumps(JOB | {"id": -7}).encode(),
    "a path as an id": json.dumps(
        JOB | {"experiment": {"id": "../../users/1"}}
    ).encode(),
    "a float as an id": json.dumps(JOB | {"group": {"id": 1.5}}).encode(),
    "a list as a status": json.dumps(JOB | {"status": []}).encode(),
    "a text as a queue": json.dumps(JOB | {"queue": "cpu"}).encode(),
    "infinite": json.dumps(JOB).encode().replace(b"50", b"1e999"),
    "nothing": b"",
    "null": b"null",
}


@pytest.mark.parametrize("body", JSON.values(), ids=JSON)
def test_json_that_harms(body: bytes) -> None:
    """JSON that is none, or harms who reads it, is a failed call in one sentence."""
    with (
        hostile_server(lambda them: them.answer(body)) as url,
        pytest.raises(ServiceUnavailable) as caught,
    ):
        _job(url)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "change",
    [
        {"artifact_id": "../../../outside"},
        {"artifact_snapshot_id": "1/../.."},
        {"artifact_id": 0},
        {"plugin_id": "7/../../users"},
        {"plugin_snapshot_id": None},
        {"plugin_name": "../evil"},
        {"plugin_name": "a.b"},
        {"file_name": "/etc/passwd.py"},
        {"file_name": "../../evil.py"},
        {"file_name": "a b.py"},
        {"task_name": 7},
    ],
    ids=str,
)
def test_names_and_ids_become_no_paths(change: dict[str, object]) -> None:
    """What becomes part of a path is an id or a name, and nothing else."""
    task: dict[str, object] = {
        "plugin_id": 1,
        "plugin_snapshot_id": 2,
        "plugin_name": "io",
        "file_name": "readers/csv.py",
        "task_name": "Csv",
        "outputs": [{"name": "rows"}],
    }
    whole: dict[str, object] = {
        "artifact_id": 8,
        "artifact_snapshot_id": 9,
        "artifact_uri": "s3://b/data",
        "is_dir": False,
        "artifact_task": task,
    }

    def ask(body: object) -> object:
        answer = json.dumps({"data": body}).encode()
        with (
            hostile_server(lambda them: them.answer(answer)) as url,
            _api(url) as api,
        ):
            return api.artifact_parameters(7)

    assert ask(whole)
    task |= {name: value for name, value in change.items() if name in task}
    whole |= {name: value for name, value in change.items() if name in whole}
    with pytest.raises(ServiceUnavailable, match="of another shape"):
        ask(whole)


@pytest.mark.parametrize("run", ["../../users", "0" * 31, 7, "x" * 32])
def test_a_run_is_named_by_its_digits(run: object) -> None:
    """The id of an MLflow run becomes part of addresses, so it is nothing else."""
    body = json.dumps({"mlflowRunId": run}).encode()
    with (
        hostile_server(lambda them: them.answer(body)) as url,
        _api(url) as api,
        pytest.raises(ServiceUnavailable, match="of another shape"),
    ):
        api.mlflow_run(7)


# -- elsewhere ---------------------------------------------------------------------


@pytest.mark.parametrize("status", ["301 M", "302 F", "303 S", "307 T", "308 P"])
@pytest.mark.parametrize("way", ["another port", "another name", "no scheme"])
def test_a_redirect_elsewhere(status: str, way: str) -> None:
    """Nothing is sent to where an answer leads, unless it is the same place."""
    asked: list[str] = []

    def elsewhere(them: Conversation) -> None:
        asked.append(them.head)
        them.answer(b"{}")

    with hostile_server(elsewhere) as there:
        place = {
            "another port": there,
            "another name": there.replace("127.0.0.1", "localhost"),
            "no scheme": there.removeprefix("http:"),
        }[way]
        leads = f"Location: {place}/api/v1/auth/login"

        def here(them: Conversation) -> None:
            them.answer(b"", leads, status=status)

        with hostile_server(here) as url:
            for call in (_login, _job):
                with pytest.raises(ServiceError, match="leads to another address"):
                    call(url)
            with (
                MlflowApi(url, username="u", password=PASSWORD) as mlflow,
                pytest.raises(WorkerError, match="leads to another address"),
            ):
                mlflow.experiments()
            with pytest.raises(APIConnectionError, match="leads to another address"):
                Transport(url, parse=True).send("POST", "/auth/login", json={"p": 1})
    assert asked == []


def test_a_redirect_to_the_same_place_is_followed() -> None:
    """What a web server does when a slash is missing goes on to work."""

    def leads(them: Conversation) -> None:
        if " /api/v1/jobs/7 " in them.head:
            them.answer(b"", "Location: /api/v1/jobs/7/", status="308 P")
        else:
            them.answer(json.dumps(JOB).encode())

    with hostile_server(leads) as url, _api(url) as api:
        assert api.job(7).id == 7


def test_redirects_in_a_circle() -> None:
    """A circle ends after a few turns."""
    seen: list[str] = []

    def leads(them: Conversation) -> None:
        seen.append(them.head)
        them.answer(b"", "Location: /api/v1/jobs/7", status="302 F")

    with hostile_server(leads) as url, pytest.raises(ServiceUnavailable):
        _job(url)
    assert len(seen) <= bounded_http.MAX_REDIRECTS + 1


@pytest.mark.parametrize(
    ("here", "there", "follows"),
    [
        ("http://a/x", "http://a/y", True),
        ("http://a/x", "http://A:80/y", True),
        ("http://a/x", "https://a/y", True),
        ("https://a/x", "http://a/y", False),
        ("http://a:5000/x", "https://a/y", False),
        ("http://a:5000/x", "https://a:5000/y", True),
        ("http://a/x", "http://a.b/y", False),
        ("http://a/x", "http://a@b/y", False),
        ("http://a/x", "http://a:x/y", False),
        ("http://[::1]:5/x", "http://[::1]:5/y", True),
    ],
)
def test_where_a_redirect_may_lead(here: str, there: str, *, follows: bool) -> None:
    """The same scheme, host and port, or TLS at the same ones."""
    assert origins.may_follow(here, there) is follows


def _cookies(count: int, size: int) -> list[str]:
    return [f"Set-Cookie: c{number}={'x' * size}; Path=/" for number in range(count)]


def test_cookies_make_no_request_too_large() -> None:
    """A session's own cookie is kept, and of a flood no more than any request takes."""

    def act(them: Conversation) -> None:
        heads.append(them.head)
        session = f"Set-Cookie: session=s{them.number}; Path=/"
        them.answer(json.dumps(JOB).encode(), session, *_cookies(90, 500))

    heads: list[str] = []
    with hostile_server(act) as url, _api(url) as api:
        for _ in range(3):
            api.job(7)
    assert "session=s1" in heads[2]
    assert max(map(len, heads)) < bounded_http.MAX_COOKIE_BYTES + 1000


def test_a_request_that_cookies_made_too_large_is_sent_anew() -> None:
    """Whoever gave us the cookies does not cost a job its results: we log in again."""

    def act(them: Conversation) -> None:
        heads.append(them.head)
        if "auth/login" in them.head:
            them.answer(b"{}", "Set-Cookie: session=fresh; Path=/")
        elif "c0=" in them.head:
            them.answer(b"<html>", status="431 Request Header Fields Too Large")
        else:
            them.answer(json.dumps(JOB).encode(), *_cookies(5, 500))

    heads: list[str] = []
    with hostile_server(act) as url, _api(url) as api:
        assert api.job(7).id == 7
        assert api.job(7).id == 7
    assert [head.split()[1] for head in heads] == [
        "/api/v1/jobs/7",
        "/api/v1/jobs/7",
        "/api/v1/auth/login",
        "/api/v1/jobs/7",
    ]


@pytest.mark.parametrize("status", ["421 M", "431 H"])
def test_what_is_about_the_connection_is_no_refusal(status: str) -> None:
    """Nothing is given up for it: it may be over at the next try."""
    with (
        hostile_server(lambda them: them.answer(b"<html>", status=status)) as url,
        pytest.raises(ServiceError) as error,
        _api(url) as api,
    ):
        api.set_status(3, 7, "finished")
    assert isinstance(error.value, ServiceUnavailable)


def test_a_plugins_cookies_go_to_the_api_only() -> None:
    """The worker's session is sent to the host of the API, and to no other."""

    class Bridge:
        job_id = 7

        def session(self) -> Session:
            return Session(url=url, cookies={"session": "secret"})

        renew = session

    heads: list[str] = []

    def note(them: Conversation) -> None:
        heads.append(them.head)
        them.answer(b"{}")

    with hostile_server(note) as url:
        transport = Transport(None, parse=True, bridge=Bridge())  # type: ignore[arg-type]
        transport.send("GET", "/jobs/7")
        session = transport._open()
        session.get(url.replace("127.0.0.1", "localhost"))
        transport.close()
    assert ["session=secret" in head for head in heads] == [True, False]
    for name in ("http://localhost:5000", "http://api.example", "http://[::1]:5000"):
        jar = bounded_http.BoundedSession()
        jar.cookies.set_cookie(origins.cookie_for(name, "a", "b"))
        prepared = [
            jar.prepare_request(requests.Request("GET", f"{url}/x"))
            for url in (name, "http://other.example")
        ]
        assert ["Cookie" in each.headers for each in prepared] == [True, False]


def test_no_netrc_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in the home folder does not say who the worker is."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login evil password evil")
    monkeypatch.setenv("HOME", str(tmp_path))
    heads: list[str] = []

    def note(them: Conversation) -> None:
        heads.append(them.head)
        them.answer(json.dumps(JOB).encode())

    with hostile_server(note) as url:
        _job(url)
    assert "Authorization" not in heads[0]


STORES = [
    ("mlflow-artifacts:/1/abc/days", False),
    ("mlflow-artifacts:///1/abc/days", False),
    ("mlflow-artifacts://mlflow:5000/1/abc/my days", False),
    ("mlflow-artifacts://MLFLOW:5000/1/abc/days", False),
    ("mlflow-artifacts://evil.example/1/abc/days", True),
    ("mlflow-artifacts://mlflow/1/abc/days", True),
    ("mlflow-artifacts://mlflow:5000@evil.example/1/abc/days", True),
    ("mlflow-artifacts://mlflow:x/1/abc/days", True),
    ("mlflow-artifacts://evil.example\\@mlflow:5000/1/abc/days", True),
    ("http://mlflow:5000/api/2.0/mlflow-artifacts/artifacts/1/abc", False),
    ("http://evil.example/1/abc", True),
    ("https://mlflow:5000/1/abc", True),
    ("http://evil.example\\@mlflow:5000/1/abc", True),
    ("http://evil.exam\tple@mlflow:5000/1/abc", True),
    ("http:///1/abc", True),
    ("sftp://mlflow:5000/1/abc", True),
    ("r2://bucket@evil.example/1/abc", True),
    ("abfss://container@account.evil.example/1/abc", True),
    ("hdfs://evil.example/1/abc", True),
    ("gs://bucket/1/abc", False),
    ("s3://bucket/1/abc", False),
    ("/mlruns/1/abc", False),
    ("file:///mlruns/1/abc", False),
]
"""Where MLflow says that artifacts are, and whether nobody is to go there."""


@pytest.mark.parametrize(("uri", "refused"), STORES)
def test_mlflows_password_goes_to_mlflow_only(uri: str, *, refused: bool) -> None:
    """What MLflow says names no other host that a password or artifact is sent to."""
    stores = pytest.importorskip("dioptra_worker.tracking.store_address")
    expected = (
        pytest.raises(ServiceRefused, match="would be sent passwords")
        if refused
        else contextlib.nullcontext()
    )
    with expected:
        stores.refuse_unknown_store(uri, "http://u:secret@mlflow:5000")


def test_uploads_go_where_somebody_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an artifact nothing is sent to a host that MLflow's answer has made up."""
    artifact_store = pytest.importorskip("dioptra_worker.tracking.artifact_store")
    download = pytest.importorskip("dioptra_worker.tracking.mlflow.download")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://u:secret@127.0.0.1:9")
    asked: list[str] = []

    def note(them: Conversation) -> None:
        asked.append(them.head)
        them.answer(b"{}")

    with hostile_server(note) as url:
        host = url.removeprefix("http://")
        for uri in (f"mlflow-artifacts://{host}/1/abc", f"{url}/1/abc"):
            with pytest.raises(ServiceRefused, match="is not the tracking server"):
                artifact_store.store(uri)
            with pytest.raises(ServiceRefused, match="is not the tracking server"):
                artifact_store.remove(uri, "model")
            with pytest.raises(ServiceRefused, match="is not the tracking server"):
                download.fetch(
                    f"{uri}/model",
                    tmp_path / "model",
                    is_dir=False,
                    limits=None,
                    listener=None,
                )
    assert asked == []


def test_a_scheme_that_the_operator_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does keep artifacts there says so with MLflow's own variable."""
    stores = pytest.importorskip("dioptra_worker.tracking.store_address")
    monkeypatch.setenv(stores.ALLOWED, "hdfs, abfss")
    stores.refuse_unknown_store("hdfs://namenode/1/abc", "http://mlflow:5000")
    with pytest.raises(ServiceRefused, match="nobody configured"):
        stores.refuse_unknown_store("sftp://host/1/abc", "http://mlflow:5000")


@pytest.mark.parametrize(
    "target", ["http://evil.example\\@127.0.0.1", "http://evil.example\x01@127.0.0.1"]
)
def test_an_address_that_is_read_in_two_ways_has_no_origin(target: str) -> None:
    """What one reader takes for our host and another for theirs is followed by none."""
    assert origins.origin(target) == origins.NO_ORIGIN
    assert not origins.may_follow("http://127.0.0.1", target)


@pytest.mark.parametrize("name", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_an_empty_variable_turns_nothing_off(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3's certificate is looked at unless somebody says otherwise in so many words."""
    s3 = pytest.importorskip("dioptra_worker.tracking.s3.client")
    monkeypatch.delenv("MLFLOW_S3_IGNORE_TLS", raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv(name, "")
    client = s3._make(access_key="a", secret_key="b")
    assert client._endpoint.http_session._verify is True
