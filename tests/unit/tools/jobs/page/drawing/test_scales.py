"""Axes end at round numbers, have all values, and are never wrong."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dioptra_worker.tools.jobs.page.drawing.scales import axis

NUMBERS = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1)
POSITIVE = st.lists(
    st.floats(min_value=5e-324, allow_nan=False, allow_infinity=False), min_size=1
)
STEPS = st.lists(st.integers(-(1 << 62), 1 << 62), min_size=1)


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ((0.0, 0.9927), (0, 0.2, 0.4, 0.6, 0.8, 1)),
        ((-0.02, 1.0), (-0.2, 0, 0.2, 0.4, 0.6, 0.8, 1)),
        ((3.0, 3.0), (3,)),
        ((0.0,), (0,)),
        ((-1.7e308, 1.7e308), (-1.7e308, 1.7e308)),
        ((0.0, 5e-324), (0, 5e-324)),
    ],
)
def test_ticks(values: tuple[float, ...], ticks: tuple[float, ...]) -> None:
    """Numbers that people count in, beyond the values on both sides."""
    assert axis(values).ticks == pytest.approx(ticks)


def test_steps() -> None:
    """Steps are labelled by whole numbers, and the axis ends with them."""
    found = axis((0, 59), whole=True)
    assert (found.low, found.high) == (0, 59)
    assert found.ticks == (0, 10, 20, 30, 40, 50)
    assert axis((0, 9), whole=True).ticks == (0, 2, 4, 6, 8)
    assert axis((0, 1), whole=True).ticks == (0, 1)
    assert axis((4,), whole=True).share(4) == 0.5


def test_logarithms() -> None:
    """On a logarithmic axis equal lengths are equal factors."""
    found = axis((1e-3, 10.0), "logarithmic")
    assert found.ticks == pytest.approx((1e-3, 1e-2, 1e-1, 1, 10))
    shares = [found.share(tick) for tick in found.ticks]
    assert shares == pytest.approx([0, 0.25, 0.5, 0.75, 1])


def test_labels() -> None:
    """Labels have as many digits as tell them apart."""
    assert axis((0.1, 0.3)).labels() == ("0.1", "0.15", "0.2", "0.25", "0.3")
    found = axis((1_000_000.1, 1_000_000.3)).labels()
    assert len(set(found)) == len(found)


@given(values=NUMBERS)
def test_any_numbers(values: list[float]) -> None:
    """Whatever the values, they lie on the axis, in their order."""
    _check(values, "linear")


@given(values=POSITIVE)
def test_any_positive_numbers(values: list[float]) -> None:
    """The same by their logarithms."""
    _check(values, "logarithmic")


@given(values=STEPS)
def test_any_steps(values: list[int]) -> None:
    """The same of steps."""
    found = axis(values, whole=True)
    assert 1 <= len(found.ticks) <= 13
    assert all(-0.001 <= found.share(value) <= 1.001 for value in values)


def _check(values: list[float], kind: str) -> None:
    found = axis(values, kind)  # type: ignore[arg-type]
    assert 1 <= len(found.ticks) <= 13
    assert list(found.ticks) == sorted(found.ticks)
    shares = [found.share(value) for value in sorted(values)]
    assert all(map(math.isfinite, shares))
    assert all(-0.001 <= share <= 1.001 for share in shares)
    assert all(a <= b + 1e-9 for a, b in itertools.pairwise(shares))
    assert len(set(found.labels())) == len(found.ticks)
