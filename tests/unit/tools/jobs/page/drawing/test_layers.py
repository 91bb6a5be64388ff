"""Boxes are placed in rows, and lines get around them."""

from __future__ import annotations

from dioptra_worker.tools.jobs.page.drawing.layers import Spot, layers


def test_a_chain_is_straight() -> None:
    """One box below the other, in the middle."""
    placed = layers([["a"], ["b"], ["c"]], [("a", "b"), ("b", "c")])
    assert [placed.boxes[it] for it in "abc"] == [Spot(0, 0), Spot(1, 0), Spot(2, 0)]
    assert placed.lines["a", "b"] == [Spot(0, 0), Spot(1, 0)]
    assert (placed.rows, placed.columns) == (3, 1)


def test_a_line_that_passes_a_row_has_a_place_in_it() -> None:
    """It runs beside the boxes of that row, and behind none."""
    placed = layers([["a"], ["b"], ["c"]], [("a", "b"), ("b", "c"), ("a", "c")])
    _, passed, _ = placed.lines["a", "c"]
    assert passed.row == 1
    assert passed != placed.boxes["b"]
    assert placed.columns == 2


def test_what_belongs_together_is_near() -> None:
    """Causes stand in the order of what they have caused, whatever order they had."""
    lines = [("a", "x"), ("b", "y"), ("r", "a"), ("r", "b")]
    placed = layers([["r"], ["a", "b"], ["y", "x"]], lines)
    assert placed.boxes["x"].column < placed.boxes["y"].column
    taken = list(placed.boxes.values())
    assert len(set(taken)) == len(taken)
