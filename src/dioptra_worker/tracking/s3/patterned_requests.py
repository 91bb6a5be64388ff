"""Requests for small objects, written after one that boto3 has sent.

Of the time that boto3 takes for a small object, most is its own: it finds out where to
send it, checks what it was given, derives a key and asks every handler, each time anew.
So the first of many objects is boto3's, with all of its settings. What it has sent is
the pattern for the others, which differ in key, content, time and signature alone; and
they go over its connections, with its proxies, certificates and time-outs.

A pattern is used only if signing boto3's own request again gives boto3's own signature.
And whatever a store answers but success is left to boto3: it sends the request once
more, with its retries, redirects and errors.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
from contextvars import ContextVar
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.utils import percent_encode
from urllib3.exceptions import HTTPError as URLLib3Error
from urllib3.util import Retry

from dioptra_worker.tracking.s3 import sigv4

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from botocore.awsrequest import AWSPreparedRequest
    from mypy_boto3_s3 import S3Client
    from urllib3 import BaseHTTPResponse, HTTPConnectionPool

MAX_BYTES = 1 << 20
"""Of an object that goes this way, since it is in memory as a whole."""
_AUTHORIZATION = re.compile(
    rf"{sigv4.ALGORITHM} Credential=(?P<who>.+)/\d{{8}}/(?P<region>[^/]+)"
    r"/(?P<service>[^/]+)/aws4_request, SignedHeaders=(?P<signed>[^,]+), Signature=\w+"
)
_HASHED = re.compile(r"[0-9a-f]{64}")
_UNHASHED = "UNSIGNED-PAYLOAD"
_OWN = frozenset(
    {
        *("authorization", "content-length", "if-match"),
        *("x-amz-content-sha256", "x-amz-date", "x-amz-security-token"),
    }
)
"""Headers that each request has for itself."""
_LEFT_OUT = frozenset({"amz-sdk-invocation-id", "amz-sdk-request", "expect"})
"""Headers that none needs: boto3 counts its attempts, and asks before it sends."""
_UNSIGNED = frozenset({"user-agent"})
_CONTENT = {"ContentType": "content-type", "ContentEncoding": "content-encoding"}
"""Headers that follow from a file's name, by boto3's names for them."""
_ABOUT = re.compile(
    r"cache-control|content-(type|encoding|disposition|language)|expires"
    r"|x-amz-(acl|expected-bucket-owner|grant-\w+|meta-.*|request-payer|storage-class"
    r"|tagging|website-redirect-location|server-side-encryption(-.*)?"
    r"|object-lock-[\w-]+)"
)
"""Headers of which an object has the same as another: what an operator has set."""

_NO_RETRIES = Retry(total=False)
_OF_CONNECTIONS = (OSError, HTTPException, URLLib3Error)
"""What is raised by a connection; boto3 raises it again, if it is still so."""

_sent: ContextVar[list[AWSPreparedRequest] | None] = ContextVar(
    "dioptra_worker_s3_sent", default=None
)


def let_observe(client: S3Client) -> None:
    """Have what a client sends noted in `observed`."""
    client.meta.events.register("before-send.s3", _note)


def _note(request: AWSPreparedRequest, **_: object) -> None:
    sent = _sent.get()
    if sent is not None:
        sent.append(request)


@dataclass(frozen=True)
class Got:
    """An object.

    Attributes:
        content: All of it.
        headers: What the store says of it.
    """

    content: bytes
    headers: Mapping[str, str]


@contextlib.contextmanager
def observed() -> Iterator[list[AWSPreparedRequest]]:
    """What this thread has boto3 send in the block, in order."""
    sent: list[AWSPreparedRequest] = []
    token = _sent.set(sent)
    try:
        yield sent
    finally:
        _sent.reset(token)


class PatternedRequests:
    """Requests after a pattern; any thread may send some."""

    def __init__(
        self,
        client: Any,
        *,
        prefix: str,
        headers: Mapping[str, str],
        signer: sigv4.Signer | None,
        is_hashed: bool,
    ) -> None:
        """Prepare.

        Args:
            client: Whose connections and credentials are used.
            prefix: The address up to an object's key.
            headers: What all requests have.
            signer: Signs them; None where nothing is signed.
            is_hashed: Whether the content is signed, too.
        """
        self._pool, self._target = _connections(client, prefix)
        self._credentials = client._get_credentials()  # noqa: SLF001 - there is no other way in
        self._path = urlsplit(prefix).path
        self._host = _host(prefix)
        self._headers = dict(headers)
        self._signer = signer
        self._is_hashed = is_hashed

    def put(self, key: str, body: bytes, about: Mapping[str, str]) -> bool:
        """Store an object.

        Args:
            key: Its name.
            body: All of it.
            about: What boto3 calls ``ContentType`` and ``ContentEncoding``.

        Returns:
            Whether the store has it; if not, boto3 is to try.
        """
        own = {_CONTENT[name]: value for name, value in about.items()}
        own["content-length"] = str(len(body))
        return self._answer("PUT", key, body, own, size=MAX_BYTES) is not None

    def get(self, key: str, *, tag: str, size: int) -> Got | None:
        """An object that was not replaced, or None where boto3 is to try.

        Args:
            key: Its name.
            tag: That it has to have still.
            size: How many bytes it has.
        """
        got = self._answer("GET", key, b"", {"if-match": tag}, size=size)
        return got if got is not None and len(got.content) == size else None

    def _answer(
        self, method: str, key: str, body: bytes, own: Mapping[str, str], *, size: int
    ) -> Got | None:
        """What is answered, if it is success and not larger than that."""
        path = percent_encode(key, safe="/~")
        headers = {**self._headers, **own}
        if self._signer is not None:
            self._sign(self._signer, method, path, headers, body)
        try:
            answer = self._pool.urlopen(
                method,
                self._target + path,
                body=body if method == "PUT" else None,
                headers=headers,
                retries=_NO_RETRIES,
                assert_same_host=False,
                preload_content=False,
                decode_content=False,
            )
        except _OF_CONNECTIONS:
            return None
        if answer.status == HTTPStatus.OK:
            return _read(answer, size)
        answer.close()
        return None

    def _sign(
        self,
        signer: sigv4.Signer,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
    ) -> None:
        who = self._credentials.get_frozen_credentials()
        payload = hashlib.sha256(body).hexdigest() if self._is_hashed else _UNHASHED
        headers["x-amz-content-sha256"] = payload
        headers["x-amz-date"] = time.strftime(sigv4.TIME_FORMAT, time.gmtime())
        if who.token:
            headers["x-amz-security-token"] = who.token
        signed = {name: text for name, text in headers.items() if name not in _UNSIGNED}
        signed["host"] = self._host
        unsigned = sigv4.Unsigned(method, self._path + path, signed, payload)
        headers["authorization"] = signer.authorization(
            unsigned, access_key=who.access_key, secret_key=who.secret_key
        )


def after(
    client: S3Client,
    sent: list[AWSPreparedRequest],
    *,
    key: str,
    own: Mapping[str, Any],
) -> PatternedRequests | None:
    """Requests after the last one that boto3 has sent, or None where it is not plain.

    Args:
        client: What has sent it.
        sent: What was observed.
        key: The object that it was about.
        own: What boto3 was told of that object alone.
    """
    if not sent:
        return None
    request = sent[-1]
    place = percent_encode(key, safe="/~")
    if "?" in request.url or not request.url.endswith(f"/{place}"):
        return None
    headers = _headers(request)
    if headers is None:
        return None
    named = {_CONTENT[name] for name in own if name in _CONTENT}
    common = {
        name: text
        for name, text in headers.items()
        if name not in _OWN | _LEFT_OUT | named
    }
    if not all(name in _UNSIGNED or _ABOUT.fullmatch(name) for name in common):
        return None
    payload = headers.get("x-amz-content-sha256", "")
    is_hashed = _HASHED.fullmatch(payload) is not None
    signer = None
    if "authorization" in headers:
        signer = _same_signer(client, request, headers)
        if signer is None or not (is_hashed or payload == _UNHASHED):
            return None
    return PatternedRequests(
        client,
        prefix=request.url.removesuffix(place),
        headers=common,
        signer=signer,
        is_hashed=is_hashed,
    )


def _headers(request: AWSPreparedRequest) -> dict[str, str] | None:
    """By names in lower case; None where one comes twice, or is no plain text."""
    found: dict[str, str] = {}
    for name, value in request.headers.items():
        text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
        if name.lower() in found or not text.isascii():
            return None
        found[name.lower()] = text
    return found


def _same_signer(
    client: Any, request: AWSPreparedRequest, headers: Mapping[str, str]
) -> sigv4.Signer | None:
    """What signs as boto3 has signed a request, if we know how that is done."""
    made = _AUTHORIZATION.fullmatch(headers["authorization"])
    credentials = client._get_credentials()  # noqa: SLF001
    if made is None or credentials is None or "x-amz-date" not in headers:
        return None
    who = credentials.get_frozen_credentials()
    if headers.get("x-amz-security-token", "") != (who.token or ""):
        return None
    all_ = {**headers, "host": _host(request.url)}
    names = made["signed"].split(";")
    if not set(names) <= all_.keys():
        return None
    signer = sigv4.Signer(sigv4.Scope(made["region"], made["service"]))
    again = signer.authorization(
        sigv4.Unsigned(
            request.method,
            urlsplit(request.url).path,
            {name: all_[name] for name in names},
            headers.get("x-amz-content-sha256", ""),
        ),
        access_key=who.access_key,
        secret_key=who.secret_key,
    )
    return signer if again == headers["authorization"] else None


def _host(url: str) -> str:
    """What the header ``Host`` is, as HTTP clients say it."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    name = f"[{host}]" if ":" in host else host
    if parts.port in {None, {"http": 80, "https": 443}.get(parts.scheme)}:
        return name
    return f"{name}:{parts.port}"


def _connections(client: Any, prefix: str) -> tuple[HTTPConnectionPool, str]:
    """A client's connections to a place, and how a request names the place there.

    They are what botocore would use: it looks for them anew for each request.
    """
    http = client._endpoint.http_session  # noqa: SLF001 - there is no other way in
    proxy = http._proxy_config.proxy_url_for(prefix)  # noqa: SLF001
    pool = http._get_connection_manager(prefix, proxy).connection_from_url(prefix)  # noqa: SLF001
    http._setup_ssl_cert(pool, prefix, http._verify)  # noqa: SLF001
    return pool, http._get_request_target(prefix, proxy)  # noqa: SLF001


def _read(answer: BaseHTTPResponse, size: int) -> Got | None:
    """An answer's content, which leaves the connection to the next request."""
    try:
        content = answer.read(size + 1)
    except _OF_CONNECTIONS:
        answer.close()
        return None
    if len(content) > size:
        answer.close()
        return None
    return Got(content, answer.headers)
