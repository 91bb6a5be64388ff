"""Puts boxes into rows, each below those that it is the cause of; pure.

A line that passes a row gets a place of its own in it, so that it runs behind no box.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable
from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Line = tuple[Hashable, Hashable]
"""The upper and the lower box that a line joins."""


@dataclass(frozen=True)
class Spot:
    """A place: the number of its row from the top, and how far it is from the left.

    Attributes:
        row: The row, from 0.
        column: How many places are before it; half ones where a row is shorter.
    """

    row: int
    column: float


@dataclass(frozen=True)
class Layers:
    """Where everything is.

    Attributes:
        boxes: The place of each box.
        lines: The places that each line passes: its upper box, its lower box, and
            those in between.
        rows: How many rows there are.
        columns: How many places the longest row has.
    """

    boxes: Mapping[Hashable, Spot]
    lines: Mapping[Line, Sequence[Spot]]
    rows: int
    columns: int


def layers(rows: Sequence[Sequence[Hashable]], lines: Iterable[Line]) -> Layers:
    """Place boxes and lines.

    Args:
        rows: The boxes of each row, from the top; one at least.
        lines: Those between them; the upper box stands in a higher row.
    """
    row_of = {box: number for number, row in enumerate(rows) for box in row}
    filled = [list(row) for row in rows]
    above: dict[Hashable, list[Hashable]] = {}
    passed: dict[Line, list[Hashable]] = {}
    for upper, lower in dict.fromkeys(lines):
        between = range(row_of[upper] + 1, row_of[lower])
        passes = [(upper, lower, row) for row in between]
        for point in passes:
            filled[point[2]].append(point)
        points = [upper, *passes, lower]
        for higher, deeper in itertools.pairwise(points):
            above.setdefault(deeper, []).append(higher)
        passed[upper, lower] = points
    order: dict[Hashable, float] = {}
    for row in filled:
        # As near to what is above as can be, so that few lines cross.
        row.sort(key=lambda it: mean([order[up] for up in above.get(it, [])] or [0.0]))
        order |= {it: number - len(row) / 2 for number, it in enumerate(row)}
    columns = max(map(len, filled))
    spots = {
        it: Spot(number, columns / 2 + order[it])
        for number, row in enumerate(filled)
        for it in row
    }
    return Layers(
        boxes={box: spots[box] for box in row_of},
        lines={
            line: [spots[point] for point in points] for line, points in passed.items()
        },
        rows=len(filled),
        columns=columns,
    )
