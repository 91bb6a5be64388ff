"""Blank, dotted, doubled and colliding names."""

from __future__ import annotations

import pytest
from tests.unit.engine.documents import document, errors, warnings

DOT = (
    "has a dot in its name, but in a reference a dot stands before"
    " an output. Rename it."
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("types: {'': }", ["types.: A name in 'types' is blank. Give it a name."]),
        (
            "parameters: {' ': 1}",
            ["parameters. : A name in 'parameters' is blank. Give it a name."],
        ),
        (
            "tasks: {'': {plugin: a.b}}\ngraph: {one: {'': []}}",
            ["tasks.: A name in 'tasks' is blank. Give it a name."],
        ),
        (
            "graph: {'': {make: []}}",
            ["graph.: A name in 'graph' is blank. Give it a name."],
        ),
        ("parameters: {a.b: 1}", [f"parameters.a.b: Parameter 'a.b' {DOT}"]),
        (
            "graph: {a.b: {make: []}, c: {take: $a.b}}",
            [f"graph.a.b: Step 'a.b' {DOT}"],
        ),
        ("types: {a.b: }", []),
        ("tasks: {a.b: {plugin: a.b}}\ngraph: {one: {a.b: []}}", []),
        (
            "parameters: {one: 1}",
            [
                (
                    "graph.one: 'one' is both a step and a parameter, so nobody"
                    " can tell what"
                    " '$one' means. Rename one of them."
                )
            ],
        ),
        (
            (
                "tasks: {t: {plugin: a.b, inputs: [{x: any}, {name: x, type: any}]}}\n"
                "graph: {one: {t: [1, 2]}}"
            ),
            ["tasks.t.inputs[1].type: Task 't' declares the input 'x' twice."],
        ),
        (
            (
                "tasks: {t: {plugin: a.b, outputs: [{x: any}, {x:"
                " any}]}}\ngraph: {one: {t: []}}"
            ),
            ["tasks.t.outputs[1].x: Task 't' declares the output 'x' twice."],
        ),
    ],
)
def test_unusable_names_are_refused(text: str, found: list[str]) -> None:
    """A name must be visible, and mean one thing in a reference."""
    assert errors(document(text)) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "artifact_inputs: {one: {x: any}}",
            [
                (
                    "artifact_inputs.one: 'one' is both an artifact input and a"
                    " step, and"
                    " '$one' means the step. Rename one of them."
                )
            ],
        ),
        (
            "artifact_inputs: {p: {x: any}}\nparameters: {p: 1}",
            [
                (
                    "artifact_inputs.p: 'p' is both an artifact input and a"
                    " parameter, and"
                    " '$p' means the parameter. Rename one of them."
                )
            ],
        ),
        (
            "artifact_inputs: {a: [{x: any}, {x: any}]}",
            [
                (
                    "artifact_inputs.a[1].x: Artifact input 'a' declares the"
                    " output 'x' twice;"
                    " the last value is used."
                )
            ],
        ),
        (
            "artifact_inputs: {a: []}",
            [
                (
                    "artifact_inputs.a: Artifact input 'a' has no outputs, so"
                    " nothing can refer"
                    " to it."
                )
            ],
        ),
    ],
)
def test_what_the_platform_allows_is_warned_about(text: str, found: list[str]) -> None:
    """A name that probably misleads is allowed, as on the platform, with a warning."""
    assert errors(document(text)) == []
    assert warnings(document(text)) == found
