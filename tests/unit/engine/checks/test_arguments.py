"""The types of arguments."""

from __future__ import annotations

import pytest
from tests.unit.engine.documents import document, errors

SECTIONS = """
types: {pet: , dog: {is_a: pet}, dogs: {list: dog}, pets: {list: pet},
        named: {mapping: [string, pet]}}
parameters: {count: {type: integer}, rate: 0.5, words: [a, b], boss: {type: dog}}
artifact_inputs: {saved: {dog: dog}, both: [{a: integer}, {b: dog}]}
tasks:
  dog: {plugin: a.b, outputs: {it: dog}}
  wants: {plugin: a.b, inputs: [{pet: pet}]}
  number: {plugin: a.b, inputs: [{n: number}]}
  whole: {plugin: a.b, inputs: [{n: integer}]}
  pets: {plugin: a.b, inputs: [{ps: pets}]}
  named: {plugin: a.b, inputs: [{ps: named}]}
  text: {plugin: a.b, inputs: [{t: string}, {name: u, type: string, required: false}]}
"""


def graph(text: str) -> list[str]:
    """Find the errors in a graph with many types, each call a step."""
    return errors(document(f"{SECTIONS}\ngraph: {{dog: {{dog: []}}, one: {text}}}"))


@pytest.mark.parametrize(
    "call",
    [
        "{wants: $dog}",
        "{wants: $saved}",
        "{wants: $boss}",
        "{wants: $both.b}",
        "{number: $count}",
        "{number: $rate}",
        "{number: {n: 3}}",
        "{pets: [[$dog, $saved.dog, $boss]]}",
        "{pets: [[]]}",
        "{named: {ps: {a: $dog}}}",
        "{text: $$dog}",
    ],
)
def test_arguments_that_fit(call: str) -> None:
    """What is of the type, or a special case of it, may be passed."""
    assert graph(call) == []


@pytest.mark.parametrize(
    ("call", "found"),
    [
        (
            "{wants: $count}",
            (
                "graph.one.wants: Step 'one' gives '$count' of type 'integer'"
                " for 'pet' of task"
                " 'wants', which takes 'pet'."
            ),
        ),
        (
            "{whole: {n: $rate}}",
            (
                "graph.one.whole.n: Step 'one' gives '$rate' of type 'number'"
                " for 'n' of task"
                " 'whole', which takes 'integer'."
            ),
        ),
        (
            "{wants: dog}",
            (
                "graph.one.wants: Step 'one' gives 'dog' of type 'string' for"
                " 'pet' of task"
                " 'wants', which takes 'pet'. If a step or parameter is meant,"
                " write '$dog'."
            ),
        ),
        (
            "{wants: a b}",
            (
                "graph.one.wants: Step 'one' gives 'a b' of type 'string' for"
                " 'pet' of task"
                " 'wants', which takes 'pet'."
            ),
        ),
        (
            "{pets: [[$dog, 1]]}",
            (
                "graph.one.pets[0]: Step 'one' gives ['$dog', 1] of type"
                " 'tuple[dog, integer]'"
                " for 'ps' of task 'pets', which takes 'pets'."
            ),
        ),
        (
            "{text: [a, $words]}",
            (
                "graph.one.text[1]: Step 'one' gives '$words' of type"
                " 'tuple[string, string]' for"
                " 'u' of task 'text', which takes 'string'."
            ),
        ),
        (
            "{whole: $both.b}",
            (
                "graph.one.whole: Step 'one' gives '$both.b' of type 'dog' for"
                " 'n' of task"
                " 'whole', which takes 'integer'."
            ),
        ),
    ],
)
def test_arguments_that_do_not_fit(call: str, found: str) -> None:
    """An argument of another type is reported with both types."""
    assert graph(call) == [found]


def test_an_unknown_reference_is_reported_once() -> None:
    """What a wrong reference means is unknown, so its type is not reported too."""
    assert len(graph("{whole: $nobody}")) == 1
    assert len(graph("{whole: $count.x}")) == 1
    assert len(graph("{whole: [[$dog.nobody]]}")) == 2


def test_an_extra_argument_has_no_type_to_fit() -> None:
    """An argument for which there is no input is reported once."""
    assert len(graph("{whole: [1, a]}")) == 1
    assert len(graph("{whole: {n: 1, m: a}}")) == 1


def test_a_parameter_hides_an_artifact_input() -> None:
    """A name that both have is of the type of the parameter, and has no outputs."""
    text = """
        parameters: {p: {type: integer}}
        artifact_inputs: {p: {x: string}}
        tasks: {whole: {plugin: a.b, inputs: [{n: integer}]}}
        """
    assert errors(document(f"{text}\n        graph: {{one: {{whole: $p}}}}")) == []
    assert errors(document(f"{text}\n        graph: {{one: {{whole: $p.x}}}}")) == [
        (
            "graph.one.whole: Step 'one' refers to '$p.x', but 'p' is a parameter and"
            " has no outputs."
        )
    ]
