"""Connections to S3 that share certificates do not change them beside each other."""

from __future__ import annotations

import shutil
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import certifi
import pytest
from botocore.exceptions import BotoCoreError, SSLError
from tests.plugins.certificates import self_signed, server_side
from tests.plugins.tcp_proxy import tcp_proxy

from dioptra_worker.tracking.s3 import client as s3

if TYPE_CHECKING:
    from collections.abc import Iterator


PARALLEL = 8


@pytest.fixture(name="believed")
def _believed(tmp_path: Path) -> Path:
    """The certificates that are believed: not that of the server."""
    return Path(shutil.copy(certifi.where(), tmp_path / "believed.pem"))


@pytest.fixture(name="client")
def _client(
    believed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: list[str]
) -> Iterator[Any]:
    """One whose store shows a certificate that is not believed."""
    del reads  # counts before the client is made
    certificate = self_signed(tmp_path)
    with tcp_proxy(1, server_side(certificate)) as proxy:
        values = {
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "something",
            "AWS_CA_BUNDLE": str(believed),
            "AWS_MAX_ATTEMPTS": "1",
            s3.ENDPOINT: f"https://127.0.0.1:{proxy.port}",
        }
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        yield s3.client()


@pytest.fixture(name="reads")
def _reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files of certificates that were read, in order."""
    found: list[str] = []
    read = ssl.SSLContext.load_verify_locations

    def noted(context: ssl.SSLContext, *what: Any) -> None:
        found.append(what[0])
        read(context, *what)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", noted)
    return found


def test_connections_at_once_read_certificates_once(
    client: Any, believed: Path, reads: list[str]
) -> None:
    """Of connections at once, one reads what is believed, and each is refused."""
    together = threading.Barrier(PARALLEL)

    def put(number: int) -> None:
        together.wait(10)
        with pytest.raises(SSLError, match="certificate verify failed"):
            client.put_object(Bucket="bucket", Key=str(number), Body=b"")

    with ThreadPoolExecutor(PARALLEL) as pool:
        list(pool.map(put, range(PARALLEL)))
    assert reads == [str(believed)]


def test_certificates_that_are_replaced_are_read_again(
    client: Any, believed: Path, tmp_path: Path, reads: list[str]
) -> None:
    """Who mends the file of certificates while a job waits is heard."""
    with pytest.raises(SSLError):
        client.head_bucket(Bucket="bucket")
    shutil.copy(tmp_path / "certificate.pem", believed)
    with pytest.raises(BotoCoreError) as raised:  # nothing is behind the proxy
        client.head_bucket(Bucket="bucket")
    assert "certificate verify failed" not in str(raised.value)
    assert reads == [str(believed)] * 2
