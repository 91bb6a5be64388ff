"""Topological order of things that wait for each other; the cycles that forbid one."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


def topological_order(needs: Mapping[str, Collection[str]]) -> list[str]:
    """Order names so that each comes after what it needs.

    Among those that could come next the one declared first does, so that the order is
    the author's wherever the graph leaves a choice.

    Args:
        needs: What each name waits for; names that are not keys are ignored.

    Returns:
        The names that can be ordered: all of them, unless there is a cycle.
    """
    rank = {name: position for position, name in enumerate(needs)}
    waiting = {name: {n for n in needs[name] if n in rank} for name in needs}
    followers: dict[str, list[str]] = {name: [] for name in needs}
    for name, prerequisites in waiting.items():
        for prerequisite in prerequisites:
            followers[prerequisite].append(name)
    names = list(needs)
    ready = [rank[name] for name in names if not waiting[name]]
    ordered = []
    while ready:
        name = names[heapq.heappop(ready)]
        ordered.append(name)
        for follower in followers[name]:
            waiting[follower].discard(name)
            if not waiting[follower]:
                heapq.heappush(ready, rank[follower])
    return ordered


def cycles(needs: Mapping[str, Collection[str]]) -> list[list[str]]:
    """Find the cycles, one for each knot of names that wait for each other.

    Args:
        needs: What each name waits for, as for `topological_order`.

    Returns:
        Each cycle as the names on it; each needs the next, and the last the first.
    """
    found = []
    left = _knotted(needs)
    while left:
        cycle = _walk(left)
        found.append(cycle)
        gone = set(cycle)
        left = _knotted({n: v for n, v in left.items() if n not in gone})
    return found


def _knotted(needs: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
    """Keep the names that no order has room for, and what they need of each other."""
    stuck = set(needs) - set(topological_order(needs))
    return {n: [p for p in needs[n] if p in stuck] for n in needs if n in stuck}


def _walk(knot: Mapping[str, list[str]]) -> list[str]:
    """Follow needs until a name comes again; every name in a knot needs another."""
    trail: list[str] = []
    name = next(iter(knot))
    while name not in trail:
        trail.append(name)
        name = knot[name][0]
    return trail[trail.index(name) :]
