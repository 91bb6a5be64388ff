"""References and dependencies."""

from __future__ import annotations

import pytest
from tests.unit.engine.documents import document, errors


def steps(text: str) -> list[str]:
    """Find the errors in a graph with a parameter and two artifact inputs beside it."""
    return errors(
        document(
            f"""
            parameters: {{rate: 1}}
            artifact_inputs: {{model: {{net: any}}, data: [{{x: any}}, {{y: any}}]}}
            graph: {{{text}}}
            """
        )
    )


@pytest.mark.parametrize(
    "text",
    [
        "a: {make: []}, b: {take: $a}",
        "a: {make: []}, b: {take: $a.it}",
        "b: {take: [[{k: $a}]]}, a: {make: []}",
        "a: {pair: []}, b: {take: $a.left}",
        "b: {take: $rate}",
        "b: {take: $model}, c: {take: $model.net}, d: {take: $data.y}",
        "b: {take: $$nobody}, c: {take: $}",
        "a: {make: []}, b: {make: [], dependencies: a}",
        "a: {make: [], dependencies: [b]}, b: {make: []}",
        "b: {take: {it: [{task: $a}]}}, a: {make: []}",
    ],
)
def test_what_is_there_can_be_referred_to(text: str) -> None:
    """Steps, parameters and artifact inputs can be named, in any order."""
    assert steps(text) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "step: {make: []}, b: {take: $stpe}",
            (
                "graph.b.take: Step 'b' refers to '$stpe', but there is no"
                " 'stpe'. Did you mean"
                " 'step'? If the text itself is meant, write '$$stpe'."
            ),
        ),
        (
            "b: {take: [[1, {k: [$zzz.y]}]]}",
            (
                "graph.b.take[0][1].k[0]: Step 'b' refers to '$zzz.y', but"
                " there is no 'zzz'. There"
                " is 'b', 'rate', 'model' and 'data'. If the text itself is"
                " meant, write"
                " '$$zzz.y'."
            ),
        ),
        (
            "b: {take: $rate.x}",
            (
                "graph.b.take: Step 'b' refers to '$rate.x', but 'rate' is a"
                " parameter and has no"
                " outputs."
            ),
        ),
        (
            "a: {take: 1}, b: {take: $a}",
            "graph.b.take: Step 'b' refers to '$a', but step 'a' has no outputs.",
        ),
        (
            "a: {take: 1}, b: {take: $a.x}",
            "graph.b.take: Step 'b' refers to '$a.x', but step 'a' has no outputs.",
        ),
        (
            "a: {pair: []}, b: {take: $a}",
            (
                "graph.b.take: Step 'b' refers to '$a', but step 'a' has"
                " several outputs; write"
                " '$a.left' or '$a.right'."
            ),
        ),
        (
            "a: {pair: []}, b: {take: $a.lft}",
            (
                "graph.b.take: Step 'b' refers to '$a.lft', but step 'a' has"
                " no output 'lft'. Did"
                " you mean 'left'?"
            ),
        ),
        (
            "b: {take: $data}",
            (
                "graph.b.take: Step 'b' refers to '$data', but artifact input"
                " 'data' has several"
                " outputs; write '$data.x' or '$data.y'."
            ),
        ),
        (
            "b: {take: $model.}",
            (
                "graph.b.take: Step 'b' refers to '$model.', but artifact"
                " input 'model' has no"
                " output ''. There is 'net'."
            ),
        ),
        (
            "step: {make: []}, b: {make: [], dependencies: stpe}",
            (
                "graph.b.dependencies: Step 'b' depends on 'stpe', which is no"
                " step. Did you mean"
                " 'step'?"
            ),
        ),
        (
            "step: {make: []}, b: {make: [], dependencies: [step, rate]}",
            (
                "graph.b.dependencies[1]: Step 'b' depends on 'rate', which is"
                " no step. There is"
                " 'step' and 'b'."
            ),
        ),
        (
            "a: {add: [$a, 1]}",
            "graph.a: Step 'a' needs itself, so it can never run.",
        ),
        (
            (
                "x: {take: $a}, a: {make: [], dependencies: b}, b: {add: [$c, 1]},"
                " c: {add: [1, 2], dependencies: [a]}"
            ),
            (
                "graph.a: Steps wait for each other for ever: 'a' needs 'b',"
                " which needs 'c',"
                " which needs 'a'."
            ),
        ),
    ],
)
def test_what_leads_nowhere_is_refused(text: str, found: str) -> None:
    """A reference or dependency to nothing, or in a circle, is reported once."""
    assert steps(text) == [found]


def test_what_refers_to_a_wrong_step_is_not_blamed() -> None:
    """The outputs of a step without a task are not known, so that is one issue."""
    assert len(steps("a: {nobody: []}, b: {take: $a.x}, c: {add: [$a, $b.z]}")) == 2


def test_choices_can_close_a_circle() -> None:
    """A circle that some choice of swaps would make is refused."""
    found = steps(
        "a: {?s: {?outputs: [it], x: {make: []}, y: {loop: $b.it}}},"
        " b: {?t: {?outputs: [it], x: {make: []}, y: {loop: $a.it}}}"
    )
    assert found[-1] == (
        "graph.a: Steps wait for each other for ever: 'a' needs 'b', which needs 'a'."
    )
