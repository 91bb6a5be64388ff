"""Signatures of requests to S3, with a signing key that is made once a day.

This is `Signature Version 4`_ for requests without a query; the path is signed as it is
sent. botocore derives the key anew for each request, and looks at each header twice.

.. _Signature Version 4:
   https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ALGORITHM = "AWS4-HMAC-SHA256"
TIME_FORMAT = "%Y%m%dT%H%M%SZ"
"""How ``X-Amz-Date`` says a time, of which the first eight letters are the day."""
_DAY = 8


@dataclass(frozen=True)
class Scope:
    """What a signature is good for.

    Attributes:
        region: Such as ``us-east-1``.
        service: Such as ``s3``.
    """

    region: str
    service: str

    def on(self, day: str) -> str:
        """The scope of one day, which is written as ``20261129``."""
        return f"{day}/{self.region}/{self.service}/aws4_request"


@dataclass(frozen=True)
class Unsigned:
    """What a signature is over.

    Attributes:
        method: Such as ``PUT``.
        path: As it is sent, with its percent signs.
        headers: By names in lower case, the host's included.
        payload: The checksum of what is sent, as ``X-Amz-Content-SHA256`` says it.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    payload: str


class Signer:
    """Signs requests; any thread may use it."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._made: tuple[str, str, bytes] = ("", "", b"")

    def authorization(
        self, request: Unsigned, *, access_key: str, secret_key: str
    ) -> str:
        """The header ``Authorization``.

        Args:
            request: With the time of its signature as ``x-amz-date``.
            access_key: Who signs.
            secret_key: What with.
        """
        moment = request.headers["x-amz-date"]
        names = sorted(request.headers)
        signed = ";".join(names)
        lines = [
            request.method,
            request.path,
            "",  # the query
            *(f"{name}:{' '.join(request.headers[name].split())}" for name in names),
            "",
            signed,
            request.payload,
        ]
        digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        scope = self._scope.on(moment[:_DAY])
        text = f"{ALGORITHM}\n{moment}\n{scope}\n{digest}"
        key = self._key(secret_key, moment[:_DAY])
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        return (
            f"{ALGORITHM} Credential={access_key}/{scope}, SignedHeaders={signed},"
            f" Signature={signature}"
        )

    def _key(self, secret_key: str, day: str) -> bytes:
        made = self._made  # replaced as a whole, so no thread sees half of it
        if made[:2] == (secret_key, day):
            return made[2]
        key = f"AWS4{secret_key}".encode()
        for text in self._scope.on(day).split("/"):
            key = hmac.digest(key, text.encode(), "sha256")
        self._made = (secret_key, day, key)
        return key
