"""Durations, sizes and signals are written as people write them."""

from __future__ import annotations

import pytest

from dioptra_worker.common.humanize import duration, size

GIB = 1 << 30


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (10, "10 s"),
        (59.4, "59 s"),
        (59.7, "1 min"),
        (192, "3 min 12 s"),
        (3600, "1 h"),
        (3605, "1 h 5 s"),
        (86_400, "24 h"),
        (100 * 86_400 + 60, "2400 h 1 min"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    """Durations are told in the units that people use for them."""
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (83 << 20, "83 MiB"),
        (int(7.9 * GIB), "7.9 GiB"),
        (640 * GIB, "640 GiB"),
        (1023 << 10, "0.999 MiB"),
        (5 << 40, "5 TiB"),
        (5 << 50, "5120 TiB"),
    ],
)
def test_sizes(count: int, words: str) -> None:
    """Sizes are told in binary units with three digits."""
    assert size(count) == words
