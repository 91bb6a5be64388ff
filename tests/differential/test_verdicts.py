"""Our verdict on made and damaged entrypoints is the peer's."""

from __future__ import annotations

import os
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from tests.differential import graphs, verdicts

if TYPE_CHECKING:
    from tests.differential.peer import Peer

SEED = 20_260
SAMPLES = int(os.environ.get("DIFFERENTIAL_SAMPLES", "300"))
"""How many entrypoints to make; each is judged whole and damaged in four ways."""

GROUPS = 10
DAMAGED = 4


def known_difference(config: Any) -> bool:
    """Whether the peer departs from its own reference here.

    docs/explanation/engine.md lists the cases, and `test_differences` holds them.
    """
    return any(
        (key == "is_a" and value == "")
        or (key == "union" and value == [])
        or (isinstance(value, dict) and "task" in value and depth > 2)
        for depth, key, value in _entries(config)
    )


def _entries(value: Any, depth: int = 0) -> Any:
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in pairs:
            yield depth, key, item
            yield from _entries(item, depth + 1)


@pytest.mark.parametrize("group", range(GROUPS))
def test_same_verdict_on_a_damaged_entrypoint(peer: Peer, group: int) -> None:
    """What the peer refuses of a damaged entrypoint we refuse, and nothing else."""
    judged = {True: 0, False: 0}
    for number in range(group, SAMPLES, GROUPS):
        random = Random(SEED + number)  # noqa: S311 - nothing secret
        whole = graphs.Maker(random).entrypoint()
        for config in [graphs.damage(random, whole) for _ in range(DAMAGED)]:
            if known_difference(config):
                continue
            theirs = peer.job(config)
            accepted, why = verdicts.job(config)
            assert accepted == theirs["accepted"], (config, why, theirs["why"])
            judged[accepted] += 1
    assert min(judged.values()) > 0, "the sample must have both kinds"


@pytest.mark.parametrize("group", range(GROUPS))
def test_same_verdict_on_an_open_entrypoint(peer: Peer, group: int) -> None:
    """An entrypoint is right when every combination of its swaps is for the peer.

    We look at each choice once; the peer renders all of them.
    """
    judged = {True: 0, False: 0}
    for number in range(group, SAMPLES, GROUPS):
        whole = graphs.Maker(Random(SEED + number)).entrypoint()  # noqa: S311
        theirs = peer.entrypoint(whole)
        accepted, why = verdicts.entrypoint(whole)
        assert accepted == theirs["accepted"], (whole, why, theirs["why"])
        judged[accepted] += 1
    assert min(judged.values()) > 0, "the sample must have both kinds"
