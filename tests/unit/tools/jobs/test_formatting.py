"""What people read: durations, sizes, metrics, and text that does no harm."""

from __future__ import annotations

import pytest

from dioptra_worker.api.user_client import MetricPoint
from dioptra_worker.tools.jobs import formatting


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
def test_seconds(amount: float, text: str) -> None:
    """A duration has as many digits as people care for."""
    assert formatting.seconds(amount) == text


def test_metrics() -> None:
    """A metric with several steps is one row with its values in order."""
    points = [
        MetricPoint(name="accuracy", value=0.97593, step=0),
        MetricPoint(name="curve", value=1.0, step=0),
        MetricPoint(name="curve", value=0.25, step=1),
    ]
    assert formatting.metrics(points) == [("accuracy", "0.9759"), ("curve", "1 → 0.25")]


def test_many_values() -> None:
    """Of a long series only the ends are told, and its length."""
    points = [MetricPoint(name="loss", value=1 / n, step=n) for n in range(1, 101)]
    assert formatting.metrics(points) == [("loss", "1 → … → 0.01 (100 values)")]


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
def test_roughly(amount: float, text: str) -> None:
    """A long duration is told by its two largest units."""
    assert formatting.roughly(amount) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;a title\x07done", "done"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;no end", ""),
        ("\x1bc", ""),
        ("\x9b31m", "\\x9b31m"),
        ("a\x07b\x00c\x7f", "a\\x07b\\x00c\\x7f"),
        ("user\u202egpj.exe", "user\\u202egpj.exe"),
        ("back\rspace", "back\\rspace"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("<script>é漢</script>", "<script>é漢</script>"),
    ],
)
def test_harmless(text: str, shown: str) -> None:
    """Nothing that a terminal would obey is left, and nothing else is changed."""
    assert formatting.harmless(text) == shown


def test_one_line() -> None:
    """A cell has one line, whatever was written into it."""
    assert formatting.one_line(" a\tb\n\x1b[1mc ") == "a b c"
