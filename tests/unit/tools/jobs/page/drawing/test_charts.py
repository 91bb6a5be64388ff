"""Charts: axes, lines over each other, and numbers for who does not see them."""

from __future__ import annotations

import math
import re

import pytest
from tests.unit.tools.jobs.browsing import serving_page
from tests.unit.tools.jobs.dioptra import Dioptra

from dioptra_worker.api.models import MetricPoint
from dioptra_worker.tools.jobs.page.drawing.charts import (
    MAX_CHARTS,
    Line,
    chart,
    charts,
)


def _points(*values: float) -> list[MetricPoint]:
    return [MetricPoint(name="m<", value=v, step=s) for s, v in enumerate(values)]


def _line(label: str, *values: float) -> Line:
    return Line(label, tuple(enumerate(values)))


def test_one_metric() -> None:
    """A series is a line between labelled axes, a single value a number."""
    drawn = charts(_points(0.0, 10.0, 5.0))
    assert 'points="0.0,1000.0 500.0,0.0 1000.0,500.0"' in drawn
    assert re.findall(r">([\d.]+)</text>", drawn) == [
        *("0", "2", "4", "6", "8", "10"),
        *("0", "1", "2"),
    ]
    assert "3 values, from 0 to 5, lowest 0, highest 10" in drawn
    assert "m&lt;" in drawn
    assert "m<" not in drawn
    assert "<svg" not in charts(_points(0.5))


@pytest.mark.parametrize("scale", ["values", "logarithm", "each"])
@pytest.mark.parametrize(
    "values",
    [
        (1.0, 1.0),
        (math.nan, 1.0, 2.0),
        (math.inf, 1.0),
        (-1.7e308, 1.7e308),
        (math.nan, math.nan),
        (-1.0, 0.0),
        (5e-324, 1.0),
        (),
    ],
)
def test_odd_values(values: tuple[float, ...], scale: str) -> None:
    """Values that cannot be drawn are left out and counted, and no number is wrong."""
    lines = [_line("a", *values), _line("b", 1.0, 2.0)]
    drawn = chart("both", lines, scale=scale)  # type: ignore[arg-type]
    for numbers in re.findall(r'(?:points|cx|cy|x1|y1)="([^"]*)"', drawn):
        assert not re.search("nan|inf", numbers)
    assert 'class="s1"' in drawn
    assert charts(_points(*values)).count("m&lt;") > 0 or not values


def test_left_out() -> None:
    """How many values have no place on a scale is told."""
    drawn = chart("m", [_line("a", 1.0, -1.0, 0.0, 10.0)], scale="logarithm")
    assert "2 values cannot be drawn here" in drawn


def test_steps_that_no_axis_has() -> None:
    """A step beyond all reason is left out, too."""
    drawn = chart("m", [Line("a", ((0, 1.0), (1, 2.0), (10**400, 3.0)))])
    assert "1 values cannot be drawn here" in drawn


def test_long_series() -> None:
    """A line has no more points than can be seen, among them all that sticks out."""
    values = [0.0] * 10_001
    values[5_003], values[-1] = 9.0, 1.0
    drawn = chart("m", [_line("a", *values)])
    (points,) = re.findall(r'points="([^"]*)"', drawn)
    assert len(points.split()) <= 402
    assert points.startswith("0.0,1000.0")
    assert "500.3,100.0" in points
    assert points.endswith("1000.0,900.0")
    assert drawn.count("<tr>") <= 41
    assert "one step of 251" in drawn


def test_each_from_its_lowest_to_its_highest() -> None:
    """Lines of other magnitudes can be compared by their shapes."""
    lines = [_line("a", 0.0, 1.0), _line("b", 0.0, 1e9)]
    same = re.findall(r' points="([^"]*)"', chart("m", lines, scale="each"))
    assert same[0] == same[1]
    other = re.findall(r' points="([^"]*)"', chart("m", lines))
    assert other[0] != other[1]


def test_many_metrics() -> None:
    """Of very many metrics a page says how many it does not draw."""
    metrics = {f"m{number:03}": [1.0, 2.0] for number in range(MAX_CHARTS + 5)}
    dioptra = Dioptra(metrics=metrics)
    dioptra.put(7, ("queued", 0), ("finished", 1))
    with serving_page(dioptra) as browser:
        got = browser.get("/jobs/7").text
        page = browser.get("/jobs/7/metrics").text
    assert got.count("<figure") == MAX_CHARTS
    assert "5 more metrics are not drawn here" in got
    assert page.count('type="checkbox"') == MAX_CHARTS + 5
    assert page.count("<polyline") == page.count(" checked>") == 6


def test_over_each_other() -> None:
    """The chosen metrics are drawn in one chart; a name of evil is text."""
    evil = "\"><script>alert(1)</script>'"
    dioptra = Dioptra(metrics={"loss": [1.0, 0.5], "lr": [0.1, 0.1], evil: [1.0, 2.0]})
    dioptra.put(7, ("queued", 0), ("finished", 1), name=evil)
    with serving_page(dioptra) as browser:
        got = browser.get("/jobs/7").text
        assert 'href="/jobs/7/metrics"' in got
        some = browser.get("/jobs/7/metrics?metric0=loss&metric1=lr&scale=each").text
        assert browser.get("/jobs/7/metrics?metric0=gone&scale=%22x").status == 200
        assert browser.get("/jobs/8/metrics").status == 404
    assert re.findall(r'<polyline class="s\d" [^>]*data-label="(\w+)"', some) == [
        "loss",
        "lr",
    ]
    assert some.count("<figure") == 1
    assert ">lowest</text>" in some
    assert '<option value="each" selected>' in some
    for text in (got, some):
        assert "<script>alert" not in text


def test_no_metrics() -> None:
    """A job without metrics has a page that says so."""
    dioptra = Dioptra()
    dioptra.put(7, ("queued", 0))
    with serving_page(dioptra) as browser:
        assert "no metrics yet" in browser.get("/jobs/7/metrics").text
