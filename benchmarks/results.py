"""What a scenario has measured, and its JSON file."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Summary:
    """The spread of some values.

    Attributes:
        median: The middle.
        low: The first quartile.
        high: The third quartile.
        n: How many values.
    """

    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: list[float]) -> Self:
        """Summarise values, one at least."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0], 1)
        low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(middle, low, high, len(values))


@dataclass
class Measure:
    """One quantity, measured on everyone.

    Attributes:
        name: What was measured.
        unit: ``s``, ``MiB``, ``1/s`` or nothing for a number.
        series: The values, by who they are of.
    """

    name: str
    unit: str
    series: dict[str, list[float]] = field(default_factory=dict)

    def add(self, who: str, value: float) -> None:
        """Keep one more value."""
        self.series.setdefault(who, []).append(value)

    def summary(self, who: str) -> Summary | None:
        """The spread of somebody's values, if there are any."""
        values = self.series.get(who)
        return Summary.of(values) if values else None

    def ratio(self, above: str, below: str) -> float | None:
        """The ratio of two medians, if both are there."""
        over, under = self.summary(above), self.summary(below)
        if over is None or under is None or not under.median:
            return None
        return over.median / under.median


@dataclass(frozen=True)
class Target:
    """A ratio of two medians that is to be reached.

    Attributes:
        text: The target in words.
        measure: The measure's name.
        above: Whose median is divided ...
        below: ... by whose.
        at_least: What the ratio must be at least.
        at_most: What it may be at most.
    """

    text: str
    measure: str
    above: str
    below: str
    at_least: float | None = None
    at_most: float | None = None

    def is_reached_by(self, ratio: float) -> bool:
        """Whether a ratio is good enough."""
        if self.at_least is not None and ratio < self.at_least:
            return False
        return self.at_most is None or ratio <= self.at_most


@dataclass(frozen=True)
class Table:
    """More to know, as text."""

    title: str
    columns: list[str]
    rows: list[list[str]]


@dataclass
class Result:
    """What a scenario has measured.

    Attributes:
        measures: The quantities.
        targets: What is to be reached.
        tables: More to know.
        notes: Sentences about how it was measured, or where time goes.
        about: The circumstances: date, machine, versions.
    """

    measures: list[Measure]
    targets: list[Target] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)

    def measure(self, name: str) -> Measure:
        """Find a measure by its name."""
        return next(measure for measure in self.measures if measure.name == name)

    def ratio_for(self, target: Target) -> float | None:
        """The ratio that a target is about, if it was measured."""
        return self.measure(target.measure).ratio(target.above, target.below)


def write(result: Result, path: Path) -> None:
    """Keep a result; the file changes as a whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(_rounded(asdict(result)), indent=1) + "\n", "utf-8")
    draft.replace(path)


def read(path: Path) -> Result:
    """Read what `write` has kept."""
    body = json.loads(path.read_text("utf-8"))
    return Result(
        measures=[Measure(**entry) for entry in body["measures"]],
        targets=[Target(**entry) for entry in body["targets"]],
        tables=[Table(**entry) for entry in body["tables"]],
        notes=body["notes"],
        about=body["about"],
    )


def _rounded(body: Any) -> Any:
    """The same with six digits a number, which is more than anyone can measure."""
    if isinstance(body, float):
        return float(f"{body:.6g}")
    if isinstance(body, dict):
        return {key: _rounded(value) for key, value in body.items()}
    return [_rounded(value) for value in body] if isinstance(body, list) else body
