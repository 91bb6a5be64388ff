"""What the REST API's access log says of the requests that it has answered."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LINE = re.compile(
    r'"(?P<method>[A-Z]+) (?:/api/v1)?(?P<path>[^ ?"]+)[^"]*" (?P<status>\d{3}) .*'
    r"(?P<seconds>\d+\.\d{6})$"
)
_ID = re.compile(r"/\d+(?=/|$)")


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        method: Such as ``GET``.
        path: The path behind ``/api/v1``, without a query.
        seconds: How long the API took to answer.
    """

    method: str
    path: str
    seconds: float

    @property
    def kind(self) -> str:
        """The request without its ids, such as ``GET /jobs/…/config``."""
        return f"{self.method} {_ID.sub('/…', self.path)}"


class Requests:
    """The requests since this was made."""

    def __init__(self, log: Path) -> None:
        """Begin here.

        Args:
            log: The access log.
        """
        self._log = log
        self._offset = log.stat().st_size

    def __iter__(self) -> Iterator[Request]:
        with self._log.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                found = _LINE.search(line.decode(errors="replace").strip())
                if found:
                    yield Request(
                        found["method"], found["path"], float(found["seconds"])
                    )

    def count(self, method: str, path: str) -> int:
        """How many there were of one kind."""
        return sum(
            request.method == method and request.path == path for request in self
        )
