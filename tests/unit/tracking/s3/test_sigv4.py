"""Our signatures beside botocore's."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.utils import percent_encode

from dioptra_worker.tracking.s3 import sigv4

if TYPE_CHECKING:
    from collections.abc import Mapping

SCOPE = sigv4.Scope("eu-west-3", "s3")
DAYS = [dt.datetime(2026, 11, day, 23, 59, 58, tzinfo=dt.UTC) for day in (28, 29)]
KEYS = [
    "0/run/artifacts/model/weights.bin",
    "größe 1~2.txt",
    "a #2?b=%20+&c*'(d)",
    "a//b/../c",
]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("token", ["", "for-an-hour"])
def test_botocore_signs_alike(
    key: str, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For any key, with and without a session, on either side of midnight."""
    signer = sigv4.Signer(SCOPE)
    for day in DAYS:
        monkeypatch.setattr(auth, "get_current_datetime", lambda day=day: day)
        path = "/bucket/" + percent_encode(key, safe="/~")
        headers = {"Content-Type": "text/html;  charset=x", "x-amz-acl": "private"}
        theirs = AWSRequest("PUT", f"http://store.test:9{path}", headers, b"content")
        who = Credentials("somebody", "secret", token or None)
        auth.S3SigV4Auth(who, SCOPE.service, SCOPE.region).add_auth(theirs)
        ours = _signed(signer, path, dict(theirs.headers.items()))
        assert ours == theirs.headers["Authorization"]


def _signed(signer: sigv4.Signer, path: str, headers: Mapping[str, str]) -> str:
    plain = {name.lower(): str(value) for name, value in headers.items()}
    del plain["authorization"]
    plain["host"] = "store.test:9"
    payload = plain["x-amz-content-sha256"]
    request = sigv4.Unsigned("PUT", path, plain, payload)
    return signer.authorization(request, access_key="somebody", secret_key="secret")


def test_a_key_of_a_day() -> None:
    """Another day, or another secret, has another key; the same has the same."""
    signer = sigv4.Signer(SCOPE)

    def signature(day: str, secret: str) -> str:
        headers = {"x-amz-date": f"{day}T000000Z", "host": "store.test"}
        request = sigv4.Unsigned("GET", "/", headers, "UNSIGNED-PAYLOAD")
        made = signer.authorization(request, access_key="who", secret_key=secret)
        return made.rpartition("=")[2]

    asked = [("20261128", "a"), ("20261129", "a"), ("20261129", "b"), ("20261128", "a")]
    first, *others = [signature(*one) for one in asked]
    assert others[-1] == first
    assert len({first, *others}) == 3
