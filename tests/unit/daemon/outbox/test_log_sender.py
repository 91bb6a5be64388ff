"""What of a batch is in the job's log already, whatever pages the API has of it."""

from __future__ import annotations

from typing import Any

import pytest

from dioptra_worker.daemon.outbox.log_sender import LogSender
from dioptra_worker.protocol.messages import Log

BATCH = [
    Log(severity="INFO", logger="job", message=f"2026-01-01T00:00:0{n}Z line")
    for n in range(3)
]


class Api:
    """A job's log as the API shows it, from its end."""

    def __init__(self, *pages: list[str]) -> None:
        self._pages = pages

    def log_backwards(self, _job_id: int, *, first: int) -> Any:
        """The pages."""
        assert first > len(BATCH)
        return iter(self._pages)


@pytest.mark.parametrize(
    ("pages", "count"),
    [
        ([[]], 0),
        ([[], []], 0),
        ([[], [BATCH[0].message, BATCH[1].message]], 2),
        ([[BATCH[0].message], []], 1),
    ],
)
def test_empty_pages(pages: list[list[str]], count: int) -> None:
    """A page without records, as of a log that somebody cuts, says nothing."""
    api: Any = Api(*pages)
    nobody: Any = None
    sender = LogSender(api, 7, nobody, prefix="", notable=1.0)
    assert sender.count_delivered(BATCH) == count
