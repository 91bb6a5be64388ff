"""Calls of tasks: do the arguments fit the inputs in number and name?"""

from __future__ import annotations

import pytest
from tests.unit.engine.documents import document, errors

ADD = "'first', 'second' and 'third'"


@pytest.mark.parametrize(
    "call",
    [
        "{add: [1, 2]}",
        "{add: [1, 2, 3]}",
        "{add: {second: 2, first: 1}}",
        "{task: add, args: [1], kwargs: {third: 3, second: 2}}",
        "{task: add, args: 1, kwargs: {second: 2}}",
        "{take: ~}",
        "{take: x}",
        "{make: []}",
        "{make: {}}",
        "{task: make}",
    ],
)
def test_every_style_of_call_is_right(call: str) -> None:
    """Arguments may be given by position, by name, or both."""
    assert errors(document(f"graph: {{one: {call}}}")) == []


@pytest.mark.parametrize(
    ("call", "found"),
    [
        (
            "{ad: [1, 2]}",
            [
                (
                    "graph.one.ad: Step 'one' calls 'ad', which is not declared"
                    " under 'tasks'. Did you mean 'add'?"
                )
            ],
        ),
        (
            "{task: ad}",
            [
                (
                    "graph.one.task: Step 'one' calls 'ad', which is not declared"
                    " under 'tasks'. Did you mean 'add'?"
                )
            ],
        ),
        (
            "{add: [1, 2, 3, 4, 5]}",
            [
                (
                    "graph.one.add[3]: Step 'one' gives 5 positional arguments,"
                    " but task 'add' takes 3 inputs."
                )
            ],
        ),
        (
            "{make: ~}",
            [
                (
                    "graph.one.make: Step 'one' gives 1 positional argument, but"
                    " task 'make'"
                    " takes no inputs. To call a task without arguments, write an"
                    " empty list: []."
                )
            ],
        ),
        (
            "{make: x}",
            [
                (
                    "graph.one.make: Step 'one' gives 1 positional argument, but"
                    " task 'make' takes no inputs."
                )
            ],
        ),
        (
            "{task: add, args: [1, 2], kwargs: {second: 2}}",
            [
                (
                    "graph.one.kwargs.second: Step 'one' gives 'second' twice: by"
                    " name, and as positional argument 2."
                )
            ],
        ),
        (
            "{add: {first: 1, second: 2, fourth: 4}}",
            [
                (
                    "graph.one.add.fourth: Step 'one' gives 'fourth', which is no"
                    f" input of task 'add'. There is {ADD}."
                )
            ],
        ),
        (
            "{make: {it: 4}}",
            [
                (
                    "graph.one.make.it: Step 'one' gives 'it', which is no input"
                    " of task 'make'. It takes none."
                )
            ],
        ),
        (
            "{add: [1]}",
            [
                (
                    "graph.one.add: Step 'one' calls task 'add' without 'second',"
                    " which it requires."
                )
            ],
        ),
        (
            "{add: []}",
            [
                (
                    "graph.one.add: Step 'one' calls task 'add' without 'first'"
                    " and 'second', which it requires."
                )
            ],
        ),
        (
            "{add: {first: 1, secnd: 2}}",
            [
                (
                    "graph.one.add.secnd: Step 'one' gives 'secnd', which is no"
                    " input of task"
                    " 'add'. Did you mean 'second'?"
                )
            ],
        ),
    ],
)
def test_wrong_calls_are_refused(call: str, found: list[str]) -> None:
    """Missing, extra, doubled and misspelt arguments are each reported once."""
    assert errors(document(f"graph: {{one: {call}}}")) == found


def test_every_choice_of_a_swap_is_checked() -> None:
    """A swap is right only when each of its choices is."""
    config = document(
        "graph: {one: {?s: {?outputs: [x], a: {add: [1, 2]}, b: {add:"
        " [1]}, c: {nix: []}}}}"
    )
    assert [issue.split(":")[0] for issue in errors(config)] == [
        "graph.one.?s.b.add",
        "graph.one.?s.c.nix",
    ]
