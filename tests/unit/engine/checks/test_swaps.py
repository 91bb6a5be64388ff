"""Swaps: are the choices interchangeable, and is one left for a job?"""

from __future__ import annotations

import pytest
from tests.unit.engine.documents import document, errors

from dioptra_worker import engine


@pytest.mark.parametrize(
    "swap",
    [
        "{?outputs: [x, y], a: {pair: []}, b: {task: pair}}",
        "{?outputs: [it], a: {make: []}}",
        "{?outputs: [], a: {take: 1}, b: {take: {it: 2}}, task: {take: 3}}",
    ],
)
def test_right_swaps(swap: str) -> None:
    """Choices with outputs of the same number and types are interchangeable."""
    assert errors(document(f"graph: {{one: {{?s: {swap}}}}}")) == []


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        (
            (
                "one: {?s: {?outputs: [it], a: {make: []}}}, two: {?s:"
                " {?outputs: [it], a: {make: []}}}"
            ),
            [
                (
                    "graph.two.?s: Swap 's' is in step 'one' and in step 'two'."
                    " Rename one, since"
                    " a job chooses by that name."
                )
            ],
        ),
        (
            "one: {?s: {?outputs: [x], a: {pair: []}}}, two: {take: $one.y}",
            [
                (
                    "graph.one.?s.a: Choice 'a' of swap 's' calls task 'pair' with"
                    " 2 outputs, but"
                    " the swap's '?outputs' names 1 output: 'x'."
                )
            ],
        ),
        (
            "one: {?s: {?outputs: [], a: {make: []}}}",
            [
                (
                    "graph.one.?s.a: Choice 'a' of swap 's' calls task 'make' with"
                    " 1 output, but"
                    " the swap's '?outputs' names no outputs."
                )
            ],
        ),
        (
            (
                "one: {?s: {?outputs: [x], a: {make: []}, b: {add: [1, 2]}, c:"
                " {make: []}}}"
            ),
            [
                (
                    "graph.one.?s.b: Choice 'b' of swap 's' calls task 'add' with"
                    " outputs of type"
                    " 'number', but choice 'a' has 'any'. They must be the same."
                )
            ],
        ),
    ],
)
def test_choices_that_are_not_interchangeable(steps: str, found: list[str]) -> None:
    """A swap's name is unique, and its choices have the outputs that it names."""
    assert errors(document(f"graph: {{{steps}}}")) == found


def test_the_outputs_have_the_names_that_the_swap_gives() -> None:
    """The rest of the graph uses the swap's names, and the task's own are hidden."""
    right = "graph: {one: {?s: {?outputs: [x, y], a: {pair: []}}}, two: {take: $one.y}}"
    assert errors(document(right)) == []
    assert errors(document(right.replace("$one.y", "$one.left"))) == [
        (
            "graph.two.take: Step 'two' refers to '$one.left', but step"
            " 'one' has no output"
            " 'left'. There is 'x' and 'y'."
        )
    ]


def test_the_outputs_have_the_types_of_the_task() -> None:
    """What is renamed keeps its type."""
    text = (
        "graph: {one: {?s: {?outputs: [x, y], a: {pair: []}}}, two: {add: [1, $one.y]}}"
    )
    assert errors(document(text)) == []
    assert len(errors(document(text.replace("$one.y", "$one.x")))) == 1


def test_a_choice_with_an_unknown_task_is_reported_once() -> None:
    """The swap's outputs are those of the choices that are known."""
    text = (
        "graph: {one: {?s: {?outputs: [x], a: {nix: []}, b: {make:"
        " []}}}, two: {take: $one.x}}"
    )
    assert len(errors(document(text))) == 1


def test_a_job_must_have_chosen() -> None:
    """An open swap is right in an entrypoint and refused in a job's configuration."""
    config = document(
        "graph: {one: {?s: {?outputs: [it], a: {make: []}, b: {make: []}}}}"
    )
    assert engine.validate(config) == []
    with pytest.raises(engine.InvalidGraph) as caught:
        engine.compile(config)
    assert str(caught.value) == (
        "error at graph.one.?s: Swap 's' of step 'one' is still open: choose 'a' or 'b'"
        " when creating the job."
    )
