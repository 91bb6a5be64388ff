"""Compiling: from a document to a graph that can be run."""

from __future__ import annotations

import dataclasses

import pytest
from tests.unit.engine.documents import document

from dioptra_worker import engine

CONFIG = document(
    """
    parameters: {rate: 0.5, count: {type: integer}}
    artifact_inputs: {model: {net: any}}
    graph:
      three: {task: add, args: [$two.x], kwargs: {second: [$rate]}, dependencies: [one]}
      two: {?s: {?outputs: [x, y], a: {pair: []}}, dependencies: one}
      one: {take: $model}
    artifact_outputs: {out: {contents: $three, task: {name: Table, args: {a: 1}}}}
    """.replace("[$rate]", "$rate")
)
CONFIG["tasks"] = CONFIG["tasks"] | {
    "pair": {"plugin": "p.m.pair", "outputs": [{"l": "number"}, {"r": "any"}]}
}


def test_steps_are_in_order_with_what_they_call() -> None:
    """A step knows its task, plugin, arguments, outputs and what it waits for."""
    assert engine.compile(CONFIG).steps == (
        engine.CompiledStep(
            "one", "take", "pkg.mod.take", ("$model",), {}, (), True, frozenset()
        ),
        engine.CompiledStep(
            "two", "pair", "p.m.pair", (), {}, ("x", "y"), True, frozenset(["one"])
        ),
        engine.CompiledStep(
            "three",
            "add",
            "pkg.mod.add",
            ("$two.x",),
            {"second": "$rate"},
            ("sum",),
            False,
            frozenset(["one", "two"]),
        ),
    )


def test_a_graph_knows_what_it_needs() -> None:
    """Declared tasks, used plugins, parameters and artifacts can be looked up."""
    graph = engine.compile(CONFIG)
    assert graph.plugins() == {"pkg.mod.take", "p.m.pair", "pkg.mod.add"}
    assert graph.tasks["make"] == "pkg.mod.make"
    assert graph.parameters["rate"].default == 0.5
    assert not graph.parameters["count"].has_default
    assert graph.artifact_inputs["model"].outputs.names == ["net"]
    assert graph.artifact_outputs["out"].args == {"a": 1}
    assert graph.sources(["$two", "$two.y", {"k": "$rate"}, "$model"]) == {
        ("two", "x"),
        ("two", "y"),
        ("model", "net"),
    }


def test_a_graph_is_frozen() -> None:
    """Nobody can change a compiled graph."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        engine.compile(CONFIG).steps = ()  # type: ignore[misc]


def test_a_wrong_entrypoint_is_refused_with_all_issues() -> None:
    """The error holds every issue, and its text shows them line by line."""
    config = document("parameters: {'': 1}\ngraph: {one: {nix: []}, two: {take: $no}}")
    with pytest.raises(engine.InvalidGraph) as caught:
        engine.compile(config)
    assert len(caught.value.issues) == 3
    assert len(str(caught.value).splitlines()) == 3


def test_a_document_of_the_wrong_shape_is_refused() -> None:
    """Without the right shape there is nothing to compile."""
    with pytest.raises(engine.InvalidGraph):
        engine.compile({})


def test_warnings_stay_with_the_graph() -> None:
    """What is only suspicious does not refuse the graph, and can be shown later."""
    graph = engine.compile(document("artifact_inputs: {a: []}"))
    (issue,) = graph.warnings
    assert issue.severity is engine.Severity.WARNING


def test_artifact_tasks_are_checked() -> None:
    """A job knows the artifact tasks, so that a wrong name is refused."""
    with pytest.raises(engine.InvalidGraph, match="'Table'"):
        engine.compile(CONFIG, artifact_tasks={})
    assert engine.compile(CONFIG, artifact_tasks={"Table": None}).warnings


def test_a_parameter_hides_an_artifact_input_of_the_same_name() -> None:
    """A name means a step, else a parameter, else an artifact input."""
    config = document(
        """
        parameters: {a: 1}
        artifact_inputs: {a: {x: any}, one: {z: any}}
        """
    )
    assert engine.compile(config).producers == {"one": ("it",)}
