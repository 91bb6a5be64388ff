"""Where the peer departs from its own reference, and what we do instead.

docs/explanation/engine.md tells the same to people; its table has a row for each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.differential import verdicts

if TYPE_CHECKING:
    from tests.differential.peer import Peer

TASKS: dict[str, Any] = {
    "make": {"plugin": "pkg.mod.make", "outputs": {"it": "integer"}},
    "take": {
        "plugin": "pkg.mod.take",
        "inputs": [{"it": "any"}],
        "outputs": {"r": "any"},
    },
}


def document(**sections: Any) -> dict[str, Any]:
    """Build a small right document, with some sections replaced."""
    return {"tasks": TASKS, "graph": {"one": {"make": []}}} | sections


WE_ACCEPT = {
    "an empty union fits where anything is wanted": document(
        types={"never": {"union": []}},
        tasks={
            "make": {"plugin": "a.b", "outputs": {"it": "never"}},
            "take": {"plugin": "a.c", "inputs": [{"it": "number"}]},
        },
        graph={"one": {"make": []}, "two": {"take": ["$one"]}},
    ),
    "an empty union may be written in place": document(
        types={"nevers": {"list": {"union": []}}}
    ),
    "the name of a step may begin with a dollar sign": document(
        graph={"$one": {"make": []}, "two": {"take": [1], "dependencies": "$one"}}
    ),
}

WE_REFUSE = {
    "a blank name is no type": document(types={"odd": {"is_a": ""}}),
    "only a simple type has special cases": document(
        types={"never": {"union": []}, "odd": {"is_a": "never"}}
    ),
    "a reference under a key named task is a reference": document(
        graph={"one": {"take": [{"task": "$two"}]}, "two": {"take": ["$one"]}}
    ),
    "a parameter has no outputs, not even one without a name": document(
        parameters={"rate": 1},
        artifact_outputs={"saved": {"contents": "$rate.", "task": {"name": "S"}}},
    ),
    "the name of an input is a string": document(
        tasks={"make": {"plugin": "a.b", "inputs": [{True: "any"}]}},
        graph={"one": {"make": [1]}},
    ),
    "the name of a property is a string": document(
        types={"odd": {"mapping": {1: "string"}}}
    ),
}


@pytest.mark.parametrize("rule", WE_ACCEPT)
def test_what_the_peer_refuses_against_its_reference(peer: Peer, rule: str) -> None:
    """The peer refuses what its reference allows, and we do not."""
    assert not peer.job(WE_ACCEPT[rule])["accepted"]
    assert verdicts.job(WE_ACCEPT[rule]) == (True, [])


@pytest.mark.parametrize("rule", WE_REFUSE)
def test_what_the_peer_accepts_against_its_reference(peer: Peer, rule: str) -> None:
    """The peer accepts what its reference forbids, and we do not."""
    assert peer.job(WE_REFUSE[rule])["accepted"]
    accepted, why = verdicts.job(WE_REFUSE[rule])
    assert not accepted
    assert len(why) == 1
