"""Which jobs are parked, in words, and where nobody knows."""

from __future__ import annotations

import socket

import pytest

from dioptra_worker.broker.parking import Parked
from dioptra_worker.tools.jobs.parked import REST, ParkedReader, parked_lines


def test_words() -> None:
    """They say since when, why, how often, when again, and until when."""
    parked = Parked(job_id=7, age=720, left=0.5, tries=4, given_up_in=2880, why="500")
    assert parked_lines(parked) == (
        "for 12 min, since the API fails at it and works otherwise: 500",
        "tried 4 times, again now; given up in 48 min",
    )


@pytest.mark.parametrize(
    ("given_up_in", "words"), [(None, "never given up, but"), (-3.0, "given up then")]
)
def test_the_end(given_up_in: float | None, words: str) -> None:
    """A job without results is never given up; one whose time is over is, next time."""
    _, times = parked_lines(Parked(job_id=7, age=9, left=20, given_up_in=given_up_in))
    assert words in times


def test_without_queues() -> None:
    """Who has not the address of the queues is told nothing, and not bothered."""
    found = ParkedReader({}).read()
    assert (found.jobs, found.trouble) == ({}, "")


def test_queues_that_are_away() -> None:
    """Queues that do not answer are told, and left alone for a while."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
    now = 0.0
    reader = ParkedReader(
        {"RQ_REDIS_URI": f"redis://127.0.0.1:{port}"}, clock=lambda: now
    )
    first = reader.read()
    assert first.trouble.startswith("which jobs are parked is not known: Redis cannot")
    assert reader.read() is first
    now = REST
    assert reader.read() is not first


def test_an_address_that_is_none() -> None:
    """Neither does a wrong address keep anybody from his jobs."""
    assert "RQ_REDIS_URI" in ParkedReader({"RQ_REDIS_URI": "ftp://x"}).read().trouble
