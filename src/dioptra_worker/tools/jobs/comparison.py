"""Two jobs side by side, as people look at them; `tools.capsule` compares them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One thing of both jobs.

    Attributes:
        name: Its name.
        first: How it is in the first job, in words; empty where it is not there.
        second: The same of the second.
        differs: Whether it is not the same.
        within_tolerance: Whether what differs are last digits only.
        remark: How much of it differs, where it has parts; may be empty.
    """

    name: str
    first: str
    second: str
    differs: bool
    within_tolerance: bool = False
    remark: str = ""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Things of one kind.

    Attributes:
        kind: The kind, as `jobs diff` names it, such as ``parameter``.
        pairs: All of them, also those that are the same.
    """

    kind: str
    pairs: tuple[Pair, ...]

    @property
    def differing(self) -> tuple[Pair, ...]:
        """Those that differ."""
        return tuple(pair for pair in self.pairs if pair.differs)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two jobs, compared.

    Attributes:
        groups: What made them, and then what came of them.
        metrics: The value at each step of each metric, of the first and of the second.
        left_out: What could not be compared, and why; empty if all was.
    """

    groups: tuple[Group, ...]
    metrics: tuple[Mapping[str, Mapping[int, float]], Mapping[str, Mapping[int, float]]]
    left_out: str = ""
