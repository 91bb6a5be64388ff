"""A graph runs here as it does at the peer's: same needs, same values passed."""

from __future__ import annotations

import zlib
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from tests.differential import graphs
from tests.differential.silent import Silent
from tests.differential.test_verdicts import GROUPS, SAMPLES, SEED

from dioptra_worker import engine

if TYPE_CHECKING:
    from tests.differential.peer import Peer


def run(graph: engine.Graph, parameters: dict[str, Any]) -> tuple[list[str], bool]:
    """Run a graph with the plugins that the oracle has; the calls, and if it failed."""
    calls: list[str] = []

    def call(plugin: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        name = plugin.rpartition(".")[2]
        calls.append(repr([name, args, kwargs]))
        given = (name, tuple(args), sorted(kwargs.items()))
        digest = zlib.crc32(repr(given).encode())
        return [f"{name}-{digest}-{index}" for index in range(2)]

    try:
        engine.run(
            graph,
            parameters=parameters,
            artifacts={},
            call=call,
            save=lambda _artifact, _contents: None,
            observer=Silent(),
        )
    except engine.OutputError:
        return calls, True
    return calls, False


@pytest.mark.parametrize("group", range(GROUPS))
def test_same_needs_and_same_values(peer: Peer, group: int) -> None:
    """Every step needs the same steps, and calls with the same values, as theirs."""
    compared = 0
    for number in range(group, SAMPLES, GROUPS):
        random = Random(SEED + number)  # noqa: S311 - nothing secret
        config = graphs.Maker(random).entrypoint()
        config.pop("artifact_outputs", None)
        try:
            graph = engine.compile(config)
        except engine.InvalidGraph:
            continue
        if graph.artifact_inputs.keys() & {name for name, _ in _read(graph)}:
            continue  # the oracle has no artifacts to give
        parameters: dict[str, Any]
        parameters = {name: f"value of {name}" for name in list(graph.parameters)[::2]}
        parameters |= {n: 1 for n, p in graph.parameters.items() if not p.has_default}
        theirs = peer.run(config, dict(parameters))
        calls, failed = run(graph, parameters)
        assert failed == (theirs["failed"] is not None), (config, theirs)
        if failed:
            continue
        assert sorted(calls) == sorted(theirs["calls"]), config
        assert {s.name: sorted(s.needs) for s in graph.steps} == theirs["needs"], config
        compared += 1
    assert compared > 0


def _read(graph: engine.Graph) -> set[tuple[str, str]]:
    values = [[*step.args, *step.kwargs.values()] for step in graph.steps]
    return graph.sources(values)
