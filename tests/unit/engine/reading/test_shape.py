"""The shape of a document: what the JSON Schema refuses, and in which words."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from tests.unit.engine.documents import document, errors

from dioptra_worker import engine
from dioptra_worker.engine.reading.shape import schema

CALL = "such as {my_task: [1, 2]}"
ONE = "one output such as {result: number}, or a list of such"
NAMED = "exactly one name with its type, such as {count: integer}"


def test_the_schema_is_a_schema() -> None:
    """The file is valid under the 2020-12 draft of JSON Schema."""
    Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("data", [None, 1, "graph", []])
def test_a_document_is_a_mapping(data: Any) -> None:
    """Anything but a mapping is refused with one sentence."""
    (issue,) = engine.validate(data)
    assert issue.message.startswith(
        "The document must be a mapping with the sections 'tasks' and 'graph'; found "
    )


def test_an_empty_document_lacks_both_sections() -> None:
    """What must be there is named in one issue."""
    (issue,) = engine.validate({})
    assert issue.message == "The document must have 'tasks' and 'graph'."


def test_a_misspelt_section_is_reported_once() -> None:
    """A section that is there under a wrong name is not reported as missing too."""
    (issue,) = engine.validate({"tasks": {"t": {"plugin": "a.b"}}, "grpah": {}})
    assert issue.message == (
        "Unknown key 'grpah' in the document. Did you mean 'graph'?"
    )


def test_a_bare_graph_is_recognised() -> None:
    """A file with nothing but steps gets told where they belong."""
    (issue,) = engine.validate({"train": {"fit": []}, "score": {"judge": []}})
    assert issue.message == (
        "This is not an entrypoint: it has 'train' and 'score' and neither 'tasks' nor"
        " 'graph'. A bare task graph belongs under 'graph', its tasks under 'tasks'."
    )


def test_another_file_is_recognised() -> None:
    """A file of another kind is told so, without advice about graphs."""
    (issue,) = engine.validate({"version": 3})
    assert issue.message == (
        "This is not an entrypoint: it has 'version' and neither 'tasks' nor 'graph'."
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "grpah: {}",
            [
                (
                    "grpah: Unknown key 'grpah' in the document. There is 'types',"
                    " 'parameters',"
                    " 'artifact_inputs' and 'artifact_outputs'."
                )
            ],
        ),
        (
            "tasks: {}",
            ["tasks: The section 'tasks' must be a mapping from task names to"],
        ),
        (
            "graph: {}",
            ["graph: The section 'graph' must be a mapping from step names to"],
        ),
        (
            "types: []",
            ["types: The section 'types' must be a mapping from type names to"],
        ),
        ("types: {t: {}}", []),
        ("types: {t: 1}", ["types.t: Type 't' must be empty for a simple type, or a"]),
        ("types: {t: {list: x, union: []}}", ["types.t: Type 't' must be empty for a"]),
        (
            "types: {t: {lst: string}}",
            ["types.t.lst: Unknown key 'lst' in type 't'. Did you mean 'list'?"],
        ),
        (
            "types: {t: {list: {is_a: string}}}",
            [
                (
                    "types.t.list.is_a: 'list.is_a' of type 't' must be under"
                    " 'types': a simple"
                    " type is only a name, so it cannot be defined in place"
                )
            ],
        ),
        (
            "types: {t: {list: {}}}",
            ["types.t.list: 'list' of type 't' must be the name of"],
        ),
        (
            "types: {t: {is_a: 3}}",
            ["types.t.is_a: 'is_a' of type 't' must be the name of"],
        ),
        (
            "types: {t: {tuple: string}}",
            ["types.t.tuple: 'tuple' of type 't' must be a"],
        ),
        (
            "types: {t: {mapping: [string]}}",
            ["types.t.mapping: 'mapping' of type 't' must"],
        ),
        (
            "types: {t: {mapping: [string, string, string]}}",
            [
                (
                    "types.t.mapping: 'mapping' of type 't' must be a list of a"
                    " key type and a"
                )
            ],
        ),
        (
            "types: {t: {mapping: {a: 1}}}",
            ["types.t.mapping.a: 'mapping.a' of type 't'"],
        ),
        (
            "parameters: {p: {}}",
            [
                (
                    "parameters.p: Parameter 'p' must be a default value, or a"
                    " mapping with"
                    " 'type', 'default' or both; found an empty mapping."
                )
            ],
        ),
        (
            "parameters: {p: {type: ~}}",
            [
                (
                    "parameters.p.type: 'type' of parameter 'p' must be the name"
                    " of a type;"
                    " found nothing."
                )
            ],
        ),
        (
            "parameters: {p: {typ: a}}",
            ["parameters.p.typ: Unknown key 'typ' in parameter"],
        ),
        ("tasks: {t: {}}", ["tasks.t: Task 't' must have 'plugin'."]),
        (
            "tasks: {t: {plugn: a.b}}",
            ["tasks.t.plugn: Unknown key 'plugn' in task 't'. Did you mean 'plugin'?"],
        ),
        (
            "tasks: {t: {plugin: a.b, inputs: {x: string}}}",
            [
                (
                    "tasks.t.inputs: 'inputs' of task 't' must be a list of"
                    " inputs, such as"
                    " [{count: integer}]; found a mapping with 'x'."
                )
            ],
        ),
        (
            "tasks: {t: {plugin: a.b, inputs: [{x: string, y: string}]}}",
            [
                (
                    f"tasks.t.inputs[0]: 'inputs[0]' of task 't' must be {NAMED};"
                    " found a mapping"
                )
            ],
        ),
        (
            "tasks: {t: {plugin: a.b, inputs: [{name: x}]}}",
            ["tasks.t.inputs[0]: 'inputs[0]' of task 't' must have 'type'."],
        ),
        (
            "tasks: {t: {plugin: a.b, inputs: [{name: x, type: any, optional: true}]}}",
            [
                (
                    "tasks.t.inputs[0].optional: Unknown key 'optional' in"
                    " 'inputs[0]' of task"
                )
            ],
        ),
        (
            "tasks: {t: {plugin: a.b, inputs: [{name: x, type: any, required: 1}]}}",
            [
                (
                    "tasks.t.inputs[0].required: 'inputs[0].required' of task 't'"
                    " must be true or"
                )
            ],
        ),
        (
            "tasks: {t: {plugin: a.b, outputs: string}}",
            [f"tasks.t.outputs: 'outputs' of task 't' must be {ONE}; found a string:"],
        ),
        (
            "tasks: {t: {plugin: a.b, outputs: {}}}",
            [f"tasks.t.outputs: 'outputs' of task 't' must be {NAMED}; found an empty"],
        ),
        (
            "tasks: {t: {plugin: a.b, outputs: [{x: any}, [y]]}}",
            ["tasks.t.outputs[1]: 'outputs[1]' of task 't' must be one output such as"],
        ),
        (
            "tasks: {t: {plugin: a.b, outputs: {x: {list: any}}}}",
            [
                (
                    "tasks.t.outputs.x: 'outputs.x' of task 't' must be the name"
                    " of a type; found"
                )
            ],
        ),
        (
            "artifact_inputs: {a: 1}",
            [f"artifact_inputs.a: Artifact input 'a' must be {ONE}"],
        ),
        (
            "graph: {one: [make]}",
            ["graph.one: Step 'one' must be a mapping that calls one"],
        ),
        (
            "graph: {one: {}}",
            ["graph.one: Step 'one' must be a call of exactly one task,"],
        ),
        (
            "graph: {one: {make: 1, take: 2}}",
            [
                (
                    "graph.one: Step 'one' must be a call of exactly one task, such as"
                    " {my_task: [1, 2]}; found a mapping with 'make' and 'take'."
                )
            ],
        ),
        (
            "graph: {one: {dependencies: []}}",
            ["graph.one: Step 'one' must be a call of exactly one task, with"],
        ),
        (
            "graph: {one: {make: [], take: [], dependencies: []}}",
            ["graph.one: Step 'one' must be a call of exactly one task, with"],
        ),
        (
            "graph: {one: {make: 2026-01-01}}",
            ["graph.one.make: 'make' of step 'one' must be"],
        ),
        (
            "graph: {one: {make: [], dependencies: {a: b}}}",
            [
                (
                    "graph.one.dependencies: 'dependencies' of step 'one' must be"
                    " the name of a"
                )
            ],
        ),
        (
            "graph: {one: {make: [], dependencies: [1]}}",
            [
                (
                    "graph.one.dependencies[0]: 'dependencies[0]' of step 'one'"
                    " must be the name"
                )
            ],
        ),
        (
            "graph: {one: {task: ''}}",
            ["graph.one.task: 'task' of step 'one' must be the name"],
        ),
        (
            "graph: {one: {task: [1]}}",
            ["graph.one.task: 'task' of step 'one' must be the name"],
        ),
        (
            "graph: {one: {task: make, arg: 1}}",
            ["graph.one.arg: Unknown key 'arg' in step 'one'. Did you mean 'args'?"],
        ),
        (
            "graph: {one: {task: make, args: {}}}",
            ["graph.one.args: 'args' of step 'one' must"],
        ),
        (
            "graph: {one: {task: make, kwargs: []}}",
            ["graph.one.kwargs: 'kwargs' of step 'one'"],
        ),
        (
            "graph: {one: {?s: {?outputs: []}}}",
            [
                (
                    "graph.one.?s: '?s' of step 'one' must be a mapping with"
                    " '?outputs' and at"
                )
            ],
        ),
        (
            "graph: {one: {?s: {a: {make: []}}}}",
            ["graph.one.?s: '?s' of step 'one' must have '?outputs'."],
        ),
        (
            "graph: {one: {?s: {?outputs: [x, x], a: {make: []}}}}",
            ["graph.one.?s.?outputs: '?s.?outputs' of step 'one' must be a list of"],
        ),
        (
            "graph: {one: {?s: {?outputs: [''], a: {make: []}}}}",
            [
                (
                    "graph.one.?s.?outputs[0]: '?s.?outputs[0]' of step 'one' must"
                    " be the name of"
                )
            ],
        ),
        (
            "graph: {one: {?s: {?outputs: [], ?a: {make: []}, b: {make: []}}}}",
            ["graph.one.?s.?a: Unknown key '?a' in '?s' of step 'one'."],
        ),
        (
            "graph: {one: {?s: {?outputs: [], a: {make: [], take: []}}}}",
            [
                (
                    "graph.one.?s.a: '?s.a' of step 'one' must be a call of"
                    " exactly one task,"
                )
            ],
        ),
        (
            "graph: {one: {?s: {?outputs: [], a: {make: [], dependencies: []}}}}",
            [
                (
                    "graph.one.?s.a: '?s.a' of step 'one' must be a call of"
                    " exactly one task,"
                ),
                (
                    "graph.one.?s.a.dependencies: '?s.a.dependencies' of step"
                    " 'one' must be"
                    " beside the swap: it belongs to the step, whatever is chosen;"
                    " found"
                ),
            ],
        ),
        (
            "graph: {one: {?s: {?outputs: [], a: {task: make, dependencies: []}}}}",
            [
                (
                    "graph.one.?s.a.dependencies: '?s.a.dependencies' of step"
                    " 'one' must be beside"
                )
            ],
        ),
        (
            (
                "graph: {one: {?s: {?outputs: [], a: {make: []}}, ?t:"
                " {?outputs: [], a: {b: 1}}}}"
            ),
            [
                (
                    "graph.one: Step 'one' must be one swap; found a mapping with"
                    " '?s' and '?t'."
                )
            ],
        ),
        (
            "graph: {one: {?s: {?outputs: [], a: {make: []}}, make: []}}",
            [
                (
                    "graph.one: Step 'one' must be one swap; found a mapping with"
                    " '?s' and 'make'."
                )
            ],
        ),
        (
            "artifact_outputs: {a: {contents: [1], task: {name: S}}}",
            [
                (
                    "artifact_outputs.a.contents: 'contents' of output artifact"
                    " 'a' must be a"
                )
            ],
        ),
        (
            "artifact_outputs: {a: {contents: x}}",
            ["artifact_outputs.a: Output artifact 'a' must have 'task'."],
        ),
        (
            "artifact_outputs: {a: {contents: x, task: {args: []}}}",
            [
                (
                    "artifact_outputs.a.task.args: 'task.args' of output artifact"
                    " 'a' must be a"
                ),
                (
                    "artifact_outputs.a.task: 'task' of output artifact 'a' must"
                    " have 'name'."
                ),
            ],
        ),
    ],
)
def test_the_shape_is_checked(text: str, found: list[str]) -> None:
    """What has the wrong shape is refused, with one issue for each cause."""
    shown = sorted(errors(document(text)))
    assert len(shown) == len(found), shown
    for issue, start in zip(shown, sorted(found), strict=True):
        assert issue.startswith(start), issue
