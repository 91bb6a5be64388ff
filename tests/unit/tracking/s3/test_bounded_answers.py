"""Answers of a store: one that drips, or promises for ever, is given up."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError
from tests.plugins.hostile_server import Conversation, hostile_server

from dioptra_worker.tracking.s3.bounded_answers import bound_answers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client
    from tests.plugins.hostile_server import Act

SOON = 0.3
"""Seconds for which an answer may last here."""
BODY = b"x" * 100_000


@contextlib.contextmanager
def _client(act: Act) -> Iterator[S3Client]:
    with hostile_server(act) as address:
        client = boto3.client(
            "s3",
            endpoint_url=address,
            aws_access_key_id="nobody",
            aws_secret_access_key="nothing",
            region_name="us-east-1",
            config=Config(
                read_timeout=5,
                retries={"total_max_attempts": 1},
                request_checksum_calculation="when_required",
            ),
        )
        bound_answers(client, seconds=SOON)
        yield client


def _headers(there: Conversation) -> None:
    there.send(b"HTTP/1.1 200 OK\r\n")
    there.drip(b"x-more: 1\r\n")


def _promises(there: Conversation) -> None:
    there.drip(b"HTTP/1.1 100 Continue\r\n\r\n")


def _headers_of_a_promise(there: Conversation) -> None:
    there.send(b"HTTP/1.1 100 Continue\r\n")
    there.drip(b"x-more: 1\r\n")


def _refusal_that_drips(there: Conversation) -> None:
    there.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 100000\r\n\r\n")
    there.drip()


@pytest.mark.parametrize(
    "act", [_headers, _promises, _headers_of_a_promise, _refusal_that_drips]
)
def test_a_store_that_drips_is_given_up(act: Act) -> None:
    """Each byte comes soon enough; the answer as a whole does not."""
    with _client(act) as client:
        with pytest.raises(HTTPClientError):
            client.put_object(Bucket="b", Key="k", Body=io.BytesIO(BODY))
        with pytest.raises(HTTPClientError):
            client.list_objects_v2(Bucket="b")


def test_a_store_that_answers_is_heard() -> None:
    """What is promised, sent, and refused before it is sent: all as ever."""
    received: list[bytes] = []

    def take(there: Conversation) -> None:
        if "key-that-is-refused" in there.head:
            there.answer(b"", status="403 Forbidden")
            return
        there.send(b"HTTP/1.1 100 Continue\r\nx-more: 1\r\n\r\n")
        sock: Any = there._sock
        data = b""
        while len(data) < len(BODY):
            data += sock.recv(65536)
        received.append(data)
        there.answer(b"", 'ETag: "abc"')

    with _client(take) as client:
        answer = client.put_object(Bucket="b", Key="k", Body=io.BytesIO(BODY))
        assert answer["ETag"] == '"abc"'
        with pytest.raises(ClientError, match="403"):
            client.put_object(
                Bucket="b", Key="key-that-is-refused", Body=io.BytesIO(BODY)
            )
    assert received == [BODY]
