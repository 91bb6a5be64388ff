"""Output artifacts."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.engine.documents import document, errors, warnings

SCHEMAS: dict[str, Any] = {
    "Table": {"format": {"enum": ["csv", "json"]}, "rows": {"type": "integer"}},
    "Plain": None,
    "Broken": {"x": {"type": "nonsense"}},
}


def artifact(contents: str = "$one", task: str = "{name: Table}") -> dict[str, Any]:
    """Build a document with one output artifact."""
    return document(
        f"artifact_outputs: {{out: {{contents: {contents}, task: {task}}}}}"
    )


@pytest.mark.parametrize("contents", ["$one", "$one.it", "text", "$$one", "''"])
def test_contents_may_be_a_reference_or_text(contents: str) -> None:
    """What is saved is referred to, or is a string."""
    assert errors(artifact(contents), artifact_tasks=SCHEMAS) == []


def test_contents_must_lead_somewhere() -> None:
    """A reference to nothing is refused, as in a step."""
    (found,) = errors(artifact("$two"))
    assert found.startswith(
        "artifact_outputs.out.contents: Output artifact 'out' refers"
        " to '$two', but there"
        " is no 'two'. There is 'one'."
    )


def test_an_unknown_artifact_task_is_refused() -> None:
    """The artifact task is one of those that the entrypoint's plugins have."""
    config = artifact(task="{name: Tabel}")
    assert errors(config, artifact_tasks=SCHEMAS) == [
        (
            "artifact_outputs.out.task.name: Output artifact 'out' is"
            " serialised by 'Tabel',"
            " which is no artifact task of this entrypoint's artifact"
            " plugins. Did you mean"
            " 'Table'?"
        )
    ]
    assert errors(config, artifact_tasks={})[0].endswith(" The entrypoint has none.")


def test_artifact_tasks_that_are_not_known_are_not_checked() -> None:
    """Without the plugins nobody can tell which artifact tasks there are."""
    assert errors(artifact(task="{name: Tabel, args: {x: 1}}")) == []


def test_arguments_are_checked_by_the_artifact_task() -> None:
    """An argument obeys the schema that the artifact task gives for it."""
    right = artifact(task="{name: Table, args: {format: csv, rows: 3}}")
    assert errors(right, artifact_tasks=SCHEMAS) == []
    wrong = artifact(task="{name: Table, args: {format: csv, rows: x}}")
    assert errors(wrong, artifact_tasks=SCHEMAS) == [
        (
            "artifact_outputs.out.task.args.rows: Output artifact 'out'"
            " gives 'x' for 'rows' of"
            " artifact task 'Table': 'x' is not of type 'integer'."
        )
    ]


@pytest.mark.parametrize(
    ("task", "hint"),
    [
        (
            "{name: Table, args: {fromat: csv}}",
            "'Table' does not declare the argument 'fromat'. Did you mean 'format'?",
        ),
        (
            "{name: Plain, args: {x: 1}}",
            "'Plain' does not declare the argument 'x'. It declares none.",
        ),
    ],
)
def test_an_undeclared_argument_is_warned_about(task: str, hint: str) -> None:
    """The platform lets it through, so it is no error."""
    assert errors(artifact(task=task), artifact_tasks=SCHEMAS) == []
    (found,) = warnings(artifact(task=task), artifact_tasks=SCHEMAS)
    assert found.endswith(f"Artifact task {hint}")


def test_a_schema_that_is_none_is_the_fault_of_the_artifact_task() -> None:
    """When validation() returns no JSON Schema, the message says so."""
    config = artifact(task="{name: Broken, args: {x: 1}}")
    (found,) = errors(config, artifact_tasks=SCHEMAS)
    assert "its validation() is no JSON Schema: 'nonsense' is not valid" in found
