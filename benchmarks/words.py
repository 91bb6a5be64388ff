"""Numbers and verdicts in words, for the terminal and for the page alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.rivals import OURS, PEER

if TYPE_CHECKING:
    from benchmarks.results import Measure, Result, Summary, Target

_FIRST = (OURS, PEER)
NOTHING = "–"
BETTER = "better by"
RATE = "1/s"
"""The one unit of which more is better."""


def columns(result: Result) -> list[str]:
    """Who was measured; at the end how much better ours is than the peer."""
    found = {who for measure in result.measures for who in measure.series}
    names = [who for who in _FIRST if who in found]
    names += sorted(found - set(_FIRST))
    return [*names, BETTER] if found >= set(_FIRST) else names


def rows(result: Result, names: list[str]) -> list[list[str]]:
    """A row for each measure."""
    return [
        [label(measure), *(_cell(measure, name) for name in names)]
        for measure in result.measures
    ]


def label(measure: Measure) -> str:
    """What a measure is, with its unit."""
    return f"{measure.name}, {measure.unit}" if measure.unit else measure.name


def _cell(measure: Measure, name: str) -> str:
    if name == BETTER:
        more = measure.unit == RATE
        ratio = measure.ratio(OURS, PEER) if more else measure.ratio(PEER, OURS)
        return NOTHING if ratio is None else f"{times(ratio)} ×"
    summary = measure.summary(name)
    return NOTHING if summary is None else spread(summary)


def spread(summary: Summary) -> str:
    """The median, and the quartiles where there are several values."""
    if summary.n == 1:
        return number(summary.median)
    low, high = number(summary.low), number(summary.high)
    return f"{number(summary.median)} ({low}–{high}, n={summary.n})"


def number(value: float) -> str:
    """A number with three digits that matter."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def times(ratio: float) -> str:
    """A ratio."""
    return (
        f"{ratio:.0f}"
        if ratio >= 20
        else f"{ratio:.2g}"
        if ratio < 1
        else f"{ratio:.1f}"
    )


def verdict(result: Result, target: Target) -> tuple[bool | None, str]:
    """Whether a target is reached, if that was measured; and a sentence."""
    ratio = result.ratio_for(target)
    head = f"Target: {target.text}."
    if ratio is None:
        return None, f"{head} Not measured."
    reached = target.is_reached_by(ratio)
    found = f"{target.above} / {target.below} = {ratio:.2f}"
    return reached, f"{head} {'Reached' if reached else 'Not reached'}: {found}."
