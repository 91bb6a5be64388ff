"""What a browser asks, and what it gets."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Download(Protocol):
    """What is sent in pieces while it comes."""

    @property
    def length(self) -> int | None:
        """How many bytes there are, where that is known."""

    def __enter__(self) -> object:
        """Begin."""

    def __exit__(self, *error: object) -> None:
        """End it, whether all has come or not."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield the pieces."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a browser asks.

    Attributes:
        method: ``GET`` or ``POST``.
        path: The path, without the query.
        query: The query's values by name.
        form: The form's values by name, of a POST.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the browser gets.

    Attributes:
        status: The HTTP status.
        body: The contents.
        content_type: What they are.
        location: Where to go next.
        cookie: What the browser is to keep.
        download: Comes in place of the body, and is closed by who sends it.
        name: What to save it as.
    """

    status: HTTPStatus = HTTPStatus.OK
    body: bytes = b""
    content_type: str = "text/html; charset=utf-8"
    location: str | None = None
    cookie: str | None = None
    download: Download | None = None
    name: str = ""
