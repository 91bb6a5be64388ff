"""Our engine in place of the platform's, and our names for plugins."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import dioptra.client
import dioptra.pyplugs
import dioptra.sdk.utilities.paths
from dioptra.sdk.exceptions import task_engine as theirs
from dioptra.sdk.utilities import entrypoint_swaps
from dioptra.task_engine import (
    task_engine,
    type_registry,
    type_validation,
    validation,
)
from dioptra.task_engine.issues import IssueSeverity, IssueType, ValidationIssue
from tests.differential.adapter import documents, meeting, refusals, types
from tests.differential.silent import Silent

from dioptra_worker import engine
from dioptra_worker.engine.checks.definitions import build_types
from dioptra_worker.engine.issues import Report, Severity
from dioptra_worker.engine.typesystem.fit import fits
from dioptra_worker.engine.typesystem.inference import infer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from dioptra_worker.engine import Issue

_UNRECOGNIZED = "unrecognized output: "
"""What the platform says of an output that is not there."""


# -- validation --------------------------------------------------------------------


def is_valid(document: Mapping[str, Any]) -> bool:
    """Whether our engine would run it."""
    return not refusals.errors(engine.validate(document))


def validate(document: Mapping[str, Any]) -> list[Any]:
    """What our engine finds, as issues of the platform's."""
    return [_issue(issue, issue.message) for issue in engine.validate(document)]


def _issue(issue: Issue, words: str) -> Any:
    error = issue.severity is Severity.ERROR
    severity = IssueSeverity.ERROR if error else IssueSeverity.WARNING
    return ValidationIssue(IssueType.SEMANTIC, severity, words)


# -- types -------------------------------------------------------------------------


def build_type_registry(definitions: Mapping[str, Any]) -> dict[str, Any]:
    """The types that a document defines, as the platform's."""
    document = {
        "types": definitions,
        "tasks": {"none": {"plugin": "a.b"}},
        "graph": {"one": {"none": []}},
    }
    issues = engine.validate(document)
    if refusals.errors(issues):
        raise refusals.as_theirs(issues, document)
    built = build_types(definitions, Report())
    return {name: types.to_theirs(one) for name, one in built.items() if one}


def infer_type(value: Any) -> Any:
    """The type of a value."""
    return types.to_theirs(infer(value))


def types_compatible(given: Any, wanted: Any) -> bool:
    """Whether a value of one type may be passed for another."""
    return fits(types.to_ours(given), types.to_ours(wanted))


# -- execution ---------------------------------------------------------------------


def run_experiment(
    experiment_desc: Mapping[str, Any],
    global_parameters: Mapping[str, Any],
    **_: Any,
) -> None:
    """Run a document that needs no artifacts."""
    document = documents.whole(experiment_desc)
    try:
        graph = engine.compile(document)
    except engine.InvalidGraph as error:
        raise refusals.as_theirs(error.issues, document) from error
    _run(graph, global_parameters)


def _run(graph: engine.Graph, parameters: Mapping[str, Any]) -> dict[str, Any]:
    outputs: dict[str, Any] = {}
    raw: list[Any] = []

    def call(plugin: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        module, _, function = plugin.rpartition(".")
        package, _, name = module.rpartition(".")
        raw.append(dioptra.pyplugs.call(package, name, function, *args, **kwargs))
        return raw[-1]

    try:
        engine.run(
            graph,
            parameters=parameters,
            artifacts={},
            call=call,
            save=lambda _artifact, _contents: None,
            observer=Silent(),
            returned=lambda step, found: outputs.update({step: dict(found)}),
        )
    except engine.MissingInput as error:
        raise theirs.MissingGlobalParametersError(error.parameters) from error
    except engine.OutputError as error:
        raise theirs.NonIterableTaskOutputError(raw[-1], error.source) from error
    return outputs


# -- swaps -------------------------------------------------------------------------


def check_swaps_graph_dependencies(graph: Mapping[str, Any]) -> list[Any]:
    """The circles of a graph with open swaps, and dependencies on nothing."""
    kinds = {
        "wait for each other": "Step cycle detected",
        "needs itself": "Step cycle detected",
        "which is no step": "Step not found",
    }
    return [
        _issue(issue, f"{words}: {issue.message}")
        for issue in engine.validate(documents.around(graph))
        for pattern, words in kinds.items()
        if pattern in issue.message
    ]


class Chosen:
    """A document whose swaps are chosen, in place of one that is rewritten so.

    Args:
        config: The document.

    Attributes:
        config: The document.

    Raises:
        ValueError: A choice is open, or has other outputs than its swap names.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config
        try:
            engine.compile(config)
        except engine.InvalidGraph as error:
            for issue in error.issues:
                _refuse_swap(issue)

    def validate(self) -> list[Any]:
        """What our engine finds, as issues of the platform's."""
        return [
            _issue(issue, re.sub("has no output '", _UNRECOGNIZED, issue.message))
            for issue in engine.validate(self.config)
        ]


def _refuse_swap(issue: Issue) -> None:
    for pattern, words in (
        ("is still open", "exactly one choice is needed"),
        ("but the swap's '?outputs' names no output", "interface requires 0"),
    ):
        if pattern in issue.message:
            raise ValueError(f"{issue.message} {words}")


def run_steps(context: Any) -> None:
    """Run what `Chosen` has let pass."""
    document = {"tasks": context.tasks, "graph": context.graph}
    outputs = _run(engine.compile(document), context.global_parameters)
    context.step_outputs.update(outputs)


# -- in their place ----------------------------------------------------------------


def install() -> None:
    """Put ours where the platform's tests look for theirs."""
    places: list[tuple[ModuleType, str, Any]] = [
        (validation, "is_valid", is_valid),
        (validation, "validate", validate),
        (type_registry, "build_type_registry", build_type_registry),
        (type_validation, "_infer_type", infer_type),
        (type_validation, "_types_compatible", types_compatible),
        (task_engine, "run_experiment", run_experiment),
        (task_engine, "_run_steps", run_steps),
        (
            entrypoint_swaps,
            "check_swaps_graph_dependencies",
            check_swaps_graph_dependencies,
        ),
        (entrypoint_swaps, "compile_swaps_config", Chosen),
    ]
    for module, name, function in places:
        setattr(module, name, meeting.noted(function))
    # What plugins import is ours already.
    files = ("select_files_in_directory", "select_one_or_more_files")
    meeting.watch(dioptra.client, *files)
    meeting.watch(dioptra.client.DioptraFile, "__post_init__")
    meeting.watch(dioptra.sdk.utilities.paths, "set_path_ext")
    meeting.watch(dioptra.pyplugs, *dioptra.pyplugs.__all__[1:])
