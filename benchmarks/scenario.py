"""What a scenario is, and how often it does things."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.results import Result
    from benchmarks.stage import Stage


@dataclass(frozen=True)
class Plan:
    """How much to do.

    Attributes:
        quick: Only see that it works.
        runs: How often to measure, instead of what each scenario thinks best.
        say: Told what goes on.
    """

    quick: bool
    runs: int | None
    say: Callable[[str], None]

    def times(self, full: int, quick: int = 1) -> int:
        """How often to measure."""
        return self.runs or (quick if self.quick else full)

    def size(self, full: int, quick: int) -> int:
        """How large to make something."""
        return quick if self.quick else full


@dataclass(frozen=True)
class Scenario:
    """One thing to measure.

    Attributes:
        name: What ``--only`` takes, and the name of its file.
        title: Its heading.
        question: What it answers, in a sentence.
        run: Measures it.
        in_quick: Whether the quick form does it, too.
    """

    name: str
    title: str
    question: str
    run: Callable[[Stage, Plan], Result]
    in_quick: bool = True
