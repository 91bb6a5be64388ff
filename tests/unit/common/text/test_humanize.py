"""Durations, sizes and names are written as people write them."""

from __future__ import annotations

import pytest

from dioptra_worker.common.text.humanize import (
    coarse_duration,
    duration,
    precise_duration,
    size,
    some_of,
)

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


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0.012, "0.01 s"),
        (9.5, "9.50 s"),
        (12, "12.0 s"),
        (192.4, "3 min 12 s"),
        (7500, "2 h 5 min"),
    ],
)
def test_precise_duration(amount: float, text: str) -> None:
    """A duration has as many digits as people care for."""
    assert precise_duration(amount) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (61, "1 min"),
        (3600, "1 h"),
        (3660, "1 h 1 min"),
        (3605, "1 h"),
        (100_000, "1 d 3 h"),
        (86_460, "1 d"),
    ],
)
def test_coarse_duration(amount: float, text: str) -> None:
    """A long duration is told by its two largest units."""
    assert coarse_duration(amount) == text


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, ""), (1, "'0'"), (2, "'0', '1'"), (3, "'0', '1' and 1 more")],
)
def test_some_names(count: int, words: str) -> None:
    """Names beyond those that are quoted are counted."""
    assert some_of([str(number) for number in range(count)], 2) == words
