"""Names that are not strings, and endless nesting."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.engine.documents import document, errors

QUOTES = "where a string is needed. Put it in quotes."


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1: {}", [f"[1]: A name in the document is an integer, 1, {QUOTES}"]),
        (
            "parameters: {on: 5}",
            [
                (
                    "parameters[True]: A name in the section 'parameters' is a"
                    " boolean, True,"
                    f" {QUOTES} (YAML reads a bare on, off, yes or no as a boolean.)"
                )
            ],
        ),
        (
            "graph: {one: {make: {2: x}}}",
            [
                (
                    "graph.one.make[2]: A name in 'make' of step 'one' is an"
                    f" integer, 2, {QUOTES}"
                )
            ],
        ),
        (
            "graph: {one: {task: take, kwargs: {2: x}}}",
            [
                (
                    "graph.one.kwargs[2]: A name in 'kwargs' of step 'one' is an"
                    " integer, 2,"
                    f" {QUOTES}"
                )
            ],
        ),
        (
            "graph: {one: {?s: {?outputs: [], a: {take: {~: x}}}}}",
            [
                (
                    "graph.one.?s.a.take.None: A name in '?s.a.take' of step 'one'"
                    " is nothing,"
                    f" None, {QUOTES}"
                )
            ],
        ),
        (
            "types: {t: {mapping: {1: string}}}",
            [
                (
                    "types.t.mapping[1]: A name in 'mapping' of type 't' is an"
                    f" integer, 1, {QUOTES}"
                )
            ],
        ),
        (
            "artifact_outputs: {a: {contents: x, task: {name: S, args: {1: 2}}}}",
            [
                (
                    "artifact_outputs.a.task.args[1]: A name in 'task.args' of"
                    " output artifact"
                    f" 'a' is an integer, 1, {QUOTES}"
                )
            ],
        ),
    ],
)
def test_a_name_must_be_a_string(text: str, found: list[str]) -> None:
    """Every name in the language is a string, and other checks wait for that."""
    assert errors(document(text)) == found


@pytest.mark.parametrize(
    "text",
    [
        "parameters: {p: {default: {1: a}}}",
        "graph: {one: {take: [{1: a}]}}",
        "graph: {one: {take: {it: {1: a}}}}",
        "graph: {one: {?s: {?outputs: [], a: {take: {it: {1: a}}}}}}",
        "artifact_outputs: {a: {contents: x, task: {name: S, args: {b: {1: 2}}}}}",
    ],
)
def test_an_author_may_use_any_keys_in_values(text: str) -> None:
    """The keys of a mapping that is passed as a value are the author's own."""
    assert errors(document(text)) == []


def nested(depth: int) -> Any:
    """Build a list in a list, and so on."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_endless_nesting_is_refused() -> None:
    """A value that is nested too deeply to be looked through is refused."""
    config = document(graph={"one": {"take": nested(300)}})
    assert errors(config) == ["graph.one: Step 'one' is nested deeper than 200 levels."]


def test_deep_nesting_is_allowed() -> None:
    """A value may be nested far deeper than anybody needs."""
    assert errors(document(graph={"one": {"take": nested(190)}})) == []


def test_a_type_may_be_nested_as_deeply_as_a_value() -> None:
    """The schema follows definitions as deep as any document may be."""
    definition: Any = "integer"
    for _ in range(190):
        definition = {"list": definition}
    assert errors(document(types={"t": definition})) == []
