"""Many small objects: which requests are ours, and what is left to boto3."""

from __future__ import annotations

import datetime as dt
import os
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
import pytest
from botocore.config import Config
from botocore.credentials import RefreshableCredentials
from tests.plugins.hostile_server import Conversation, hostile_server
from tests.plugins.insisting_store import Asked, InsistingStore, insisting_store

from dioptra_worker.errors import ServiceRefused
from dioptra_worker.tracking.s3 import client as s3
from dioptra_worker.tracking.s3 import patterned_requests
from dioptra_worker.tracking.s3.bounded_answers import bound_answers
from dioptra_worker.tracking.s3.upload import S3Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from dioptra_worker.tracking.s3.patterned_requests import PatternedRequests

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:botocore")
URI = "s3://bucket/0/run/artifacts"
FILES = 5
PLAIN = Config(
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)
SOON = 0.3
"""Seconds for which an answer may last here."""


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    for number in range(FILES):
        (folder / f"größe {number}.txt").write_bytes(str(number).encode() * number)
    return folder


@pytest.fixture(name="store", autouse=True)
def _store(monkeypatch: pytest.MonkeyPatch) -> Iterator[InsistingStore]:
    """A store that takes all, which the environment names."""
    for name in os.environ:
        if name.upper().endswith("_PROXY") or name.startswith(("AWS_", "MLFLOW_S3_")):
            monkeypatch.delenv(name)
    with insisting_store(lambda _: True) as store:
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", store.address)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "worker")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
        monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
        yield store


def _is_ours(asked: Asked) -> bool:
    return "amz-sdk-request" not in asked.headers


def _ours(store: InsistingStore) -> list[Asked]:
    return [asked for asked in store.asked if _is_ours(asked)]


def _whole(store: InsistingStore) -> list[bytes]:
    return [store.objects[place] for place in sorted(store.objects)]


def _pattern(client: S3Client) -> PatternedRequests:
    with patterned_requests.observed() as sent:
        client.put_object(Bucket="bucket", Key="first", Body=b"1")
    made = patterned_requests.after(client, sent, key="first", own={})
    assert made is not None
    return made


def test_all_but_the_first_are_ours(folder: Path, store: InsistingStore) -> None:
    """Where all is plain, boto3 is asked for one request; each file is whole."""
    S3Store(URI).put(folder, "")
    assert len(store.asked) == FILES
    assert len(_ours(store)) == FILES - 1
    assert _whole(store) == [path.read_bytes() for path in sorted(folder.iterdir())]


def test_nothing_is_asked_before_a_body_is_sent(
    folder: Path, store: InsistingStore
) -> None:
    """None waits for the store to say that it may go on."""
    S3Store(URI).put(folder, "")
    assert not any("expect" in asked.headers for asked in _ours(store))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_REQUEST_CHECKSUM_CALCULATION", "when_supported"),
        ("AWS_MAX_ATTEMPTS", "2"),
        ("AWS_RETRY_MODE", "adaptive"),
        ("MLFLOW_EXPERIMENTAL_S3_SIGNATURE_VERSION", "s3"),
    ],
)
def test_what_is_not_plain_is_boto3s(
    name: str,
    value: str,
    folder: Path,
    store: InsistingStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Checksums, retries and signatures that an operator has chosen are boto3's."""
    monkeypatch.setenv(name, value)
    S3Store(URI).put(folder, "")
    assert len(store.objects) == FILES
    assert _ours(store) == []


def test_a_header_that_nobody_knows(store: InsistingStore) -> None:
    """A request with a header that may be about its content is no pattern."""
    client = s3.client()
    add: Any = lambda params, **_: params["headers"].update({"x-amz-new": "1"})  # noqa: E731
    client.meta.events.register("before-call.s3", add)
    try:
        with patterned_requests.observed() as sent:
            client.put_object(Bucket="bucket", Key="first", Body=b"1")
    finally:
        client.meta.events.unregister("before-call.s3", add)
    assert store.asked[-1].headers["x-amz-new"] == "1"
    assert patterned_requests.after(client, sent, key="first", own={}) is None


@pytest.mark.parametrize("what", ["key", "signature"])
def test_a_request_that_is_not_understood(what: str) -> None:
    """Where another key was asked for, or another signs, there is no pattern."""
    client = s3.client()
    with patterned_requests.observed() as sent:
        client.put_object(Bucket="bucket", Key="first", Body=b"1")
    key = "first"
    if what == "key":
        key = "second"
    else:
        sent[0].headers["X-Amz-Date"] = "20261129T000000Z"
    assert patterned_requests.after(client, sent, key=key, own={}) is None


def test_what_a_store_refuses_is_boto3s(folder: Path, store: InsistingStore) -> None:
    """A request of ours that fails is sent again by boto3, which may do better."""
    store.insist = lambda asked: not _is_ours(asked)
    S3Store(URI).put(folder, "")
    assert len(store.objects) == FILES
    assert len(_ours(store)) == FILES - 1


def test_a_refusal_for_good(folder: Path, store: InsistingStore) -> None:
    """What boto3 is refused as well is an error in boto3's words."""
    store.insist = lambda asked: not asked.path.endswith("3.txt")
    with pytest.raises(ServiceRefused, match="AccessDenied"):
        S3Store(URI).put(folder, "")


def test_a_large_file_among_small_ones(folder: Path, store: InsistingStore) -> None:
    """What would fill the memory is boto3's, which reads it as it goes."""
    large = os.urandom(patterned_requests.MAX_BYTES + 1)
    (folder / "large.bin").write_bytes(large)
    S3Store(URI).put(folder, "")
    assert large in store.objects.values()
    assert len(_ours(store)) == FILES - 1


def test_an_object_that_is_replaced(store: InsistingStore) -> None:
    """Of another size than it had, an object is not ours to give."""
    pattern = _pattern(s3.client())
    store.objects[store.asked[0].host, "/bucket/a"] = b"abc"
    got = pattern.get("a", tag='"none"', size=3)
    assert got is not None
    assert got.content == b"abc"
    assert store.asked[-1].headers["if-match"] == '"none"'
    assert pattern.get("a", tag='"none"', size=2) is None
    assert pattern.get("a", tag='"none"', size=4) is None
    assert pattern.get("b", tag='"none"', size=3) is None
    again = pattern.get("a", tag='"none"', size=3)
    assert again is not None
    assert (again.content, again.headers["ETag"]) == (b"abc", got.headers["ETag"])


def test_credentials_that_are_renewed(store: InsistingStore) -> None:
    """Each request is signed by whoever the worker is by then."""
    given = iter(["first", "second"])

    def renew() -> dict[str, str]:
        who = next(given)
        over = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
        return {
            "access_key": who,
            "secret_key": "nothing",
            "token": f"token-of-{who}",
            "expiry_time": over.isoformat(),
        }

    session: Any = botocore.session.Session()
    credentials: Any = RefreshableCredentials.create_from_metadata(
        renew(), renew, "test"
    )
    session._credentials = credentials
    client = boto3.Session(botocore_session=session).client(
        "s3", endpoint_url=store.address, region_name="us-east-1", config=PLAIN
    )
    patterned_requests.let_observe(client)
    pattern = _pattern(client)
    pattern.put("second", b"2", {})
    credentials._expiry_time = dt.datetime.now(dt.UTC)
    pattern.put("third", b"3", {})
    who = [
        (
            asked.headers["authorization"].split("=")[1].split("/")[0],
            asked.headers["x-amz-security-token"],
        )
        for asked in store.asked
    ]
    first, second = [(name, f"token-of-{name}") for name in ("first", "second")]
    assert who == [first, first, second]


def test_a_store_that_drips_is_left(store: InsistingStore) -> None:
    """An answer that does not end is given up as soon as boto3's would be."""
    del store

    def act(there: Conversation) -> None:
        if there.number == 0:
            there.answer(b"")
            return
        there.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        there.drip()

    with hostile_server(act) as address:
        client = boto3.client(
            "s3",
            endpoint_url=address,
            aws_access_key_id="nobody",
            aws_secret_access_key="nothing",
            region_name="us-east-1",
            config=PLAIN,
        )
        bound_answers(client, seconds=SOON)
        patterned_requests.let_observe(client)
        pattern = _pattern(client)
        assert not pattern.put("second", b"2", {})
        assert pattern.get("second", tag='"none"', size=1000) is None
