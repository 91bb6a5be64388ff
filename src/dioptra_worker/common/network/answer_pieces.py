"""An answer in pieces of a bounded size, decompressed, as they come."""

from __future__ import annotations

import http.client
import zlib
from typing import TYPE_CHECKING

import requests
import urllib3

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE_BYTES = 1 << 18
"""Of a download, at once."""
_ENCODINGS = {"gzip", "x-gzip", "deflate"}


def pieces(response: requests.Response) -> Iterator[bytes]:
    """Yield what a streamed answer holds, in pieces as they come, decompressed.

    No piece is larger than `PIECE_BYTES`, whatever was compressed to how little.

    Raises:
        requests.RequestException: It broke off, is too slow, or cannot be decompressed.
    """
    encodings = _encodings(response)
    if not encodings:
        yield from _raw_pieces(response)
        return
    if len(encodings) > 1 or encodings[0] not in _ENCODINGS:
        raise requests.exceptions.ContentDecodingError(
            f"it is compressed in a way that was not asked for: {encodings}"
        )
    yield from _decompressed(_raw_pieces(response))


def is_encoded(response: requests.Response) -> bool:
    """Whether ``Content-Length`` is not what `pieces` will give."""
    return bool(_encodings(response))


def _encodings(response: requests.Response) -> list[str]:
    named = response.headers.get("Content-Encoding", "").lower().split(",")
    return [name for part in named if (name := part.strip()) not in {"", "identity"}]


def _decompressed(raw: Iterator[bytes]) -> Iterator[bytes]:
    decoder = None
    for data in raw:
        if decoder is None:
            decoder = zlib.decompressobj(_window_bits(data))
        rest = data
        while rest:
            try:
                piece = decoder.decompress(rest, PIECE_BYTES)
            except zlib.error as error:
                raise requests.exceptions.ContentDecodingError(
                    f"it cannot be decompressed: {error}"
                ) from error
            if piece:
                yield piece
            if decoder.unused_data:
                raise requests.exceptions.ContentDecodingError(
                    "it goes on after its end"
                )
            rest = decoder.unconsumed_tail
    if decoder is not None and not decoder.eof:
        raise requests.exceptions.ChunkedEncodingError("it ends before its end")


def _window_bits(start: bytes) -> int:
    """Of gzip, zlib, or what some servers send as deflate, which has no header."""
    has_header = start[:1] == b"\x1f" or (
        start[:1] == b"x" and int.from_bytes(start[:2], "big") % 31 == 0
    )
    return 32 + zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS


def _raw_pieces(response: requests.Response) -> Iterator[bytes]:
    raw = response.raw
    read = getattr(raw, "read1", raw.read)  # read1 since urllib3 2.1
    try:
        while data := read(PIECE_BYTES, decode_content=False):
            yield data
    except urllib3.exceptions.ReadTimeoutError as error:
        raise requests.exceptions.ReadTimeout(error) from error
    except urllib3.exceptions.ProtocolError as error:
        raise requests.exceptions.ChunkedEncodingError(error) from error
    except (urllib3.exceptions.HTTPError, http.client.HTTPException) as error:
        raise requests.exceptions.ConnectionError(error) from error
