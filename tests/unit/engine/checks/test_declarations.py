"""Declarations of tasks, parameters and artifact inputs."""

from __future__ import annotations

import pytest
from tests.unit.engine.documents import document, errors

MUST = "it must be the dotted path of a function, such as 'package.module.function'."
NOT_DEFINED = "which is not defined under 'types' and not built in."


@pytest.mark.parametrize("plugin", ["mod", "a..b", ".b", "a.", "."])
def test_a_plugin_is_a_dotted_path(plugin: str) -> None:
    """A plugin has a module and a function, and no empty part."""
    config = document(tasks={"t": {"plugin": plugin}}, graph={"one": {"t": []}})
    assert errors(config) == [
        f"tasks.t.plugin: Task 't' names the plugin {plugin!r}; {MUST}"
    ]


@pytest.mark.parametrize("plugin", ["a.b", "a.b.c", "a.b.c.d"])
def test_a_plugin_may_lie_at_any_depth(plugin: str) -> None:
    """Two parts are enough, and there may be more."""
    assert (
        errors(document(tasks={"t": {"plugin": plugin}}, graph={"one": {"t": []}}))
        == []
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            (
                "tasks: {make: {plugin: a.b, inputs: [{x: imge}]}}\n"
                "types: {image: }\ngraph: {one: {make: [1]}}"
            ),
            [
                (
                    "tasks.make.inputs[0].x: Input 'x' of task 'make' is of type"
                    " 'imge',"
                    f" {NOT_DEFINED} Did you mean 'image'?"
                )
            ],
        ),
        (
            (
                "tasks: {make: {plugin: a.b, outputs: {x: imge}},"
                " take: {plugin: a.c, inputs: [{x: integer}]}}\n"
                "types: {image: }\ngraph: {one: {make: []}, two: {take: $one}}"
            ),
            [
                (
                    "tasks.make.outputs.x: Output 'x' of task 'make' is of type 'imge',"
                    f" {NOT_DEFINED} Did you mean 'image'?"
                )
            ],
        ),
        (
            "artifact_inputs: {a: [{x: string}, {y: strng}]}",
            [
                (
                    "artifact_inputs.a[1].y: Output 'y' of artifact input 'a' is"
                    " of type"
                    f" 'strng', {NOT_DEFINED} Did you mean 'string'?"
                )
            ],
        ),
        (
            "parameters: {p: {type: intger, default: x}}",
            [
                (
                    "parameters.p.type: Parameter 'p' is of type 'intger',"
                    f" {NOT_DEFINED} Did"
                    " you mean 'integer'?"
                )
            ],
        ),
        (
            "parameters: {p: {type: integer, default: x}}",
            [
                (
                    "parameters.p.default: Parameter 'p' is declared as 'integer',"
                    " but its"
                    " default 'x' is of type 'string'."
                )
            ],
        ),
        (
            "parameters: {p: {type: integer, default: ~}}",
            [
                (
                    "parameters.p.default: Parameter 'p' is declared as 'integer',"
                    " but its"
                    " default None is of type 'null'."
                )
            ],
        ),
        ("parameters: {p: {type: integer}}", []),
        ("parameters: {p: {type: number, default: 3}}", []),
        ("parameters: {p: {type: string, default: $nobody}}", []),
        ("parameters: {p: [1, {a: $nobody}], q: , r: {default: ~}}", []),
    ],
)
def test_types_must_exist_and_defaults_must_fit(text: str, found: list[str]) -> None:
    """A declared type is known, and a default is of it; references are not resolved."""
    assert errors(document(text)) == found
