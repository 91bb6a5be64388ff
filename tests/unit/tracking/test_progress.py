"""A long transfer says how far it is; a short one says nothing."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from dioptra_worker.tracking.progress import Progress

if TYPE_CHECKING:
    import pytest


def test_a_short_transfer_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody reads how far a transfer is that is over in seconds."""
    caplog.set_level(logging.INFO)
    progress = Progress("storing 'a'", total=10)
    progress.add(10)
    assert caplog.text == ""


def test_a_long_transfer_says_how_far_it_is(caplog: pytest.LogCaptureFixture) -> None:
    """Each line says what, how much of how much, and how fast."""
    caplog.set_level(logging.INFO)
    progress = Progress("storing 'model'", total=4 << 20, interval=0.0)
    progress.add(1 << 20)
    progress.add(1 << 20)
    assert "storing 'model': 1 MiB of 4 MiB, " in caplog.text
    assert "storing 'model': 2 MiB of 4 MiB, " in caplog.text


def test_a_transfer_of_unknown_size_says_what_has_come() -> None:
    """Where nobody knows how much there is, the line has what is there."""
    said: list[str] = []
    progress = Progress("fetching 'x'", total=None, interval=0.0, log_line=said.append)
    progress.add(3 << 20)
    (line,) = said
    assert line.startswith("fetching 'x': 3 MiB, ")
    assert line.endswith("/s")
