"""Check the shape of a document with the JSON Schema in ``schema.json``.

The schema tells its alternatives apart with ``if`` and ``then`` and never with
``oneOf``, so that each of its errors is about one place. A ``description`` in it
completes the sentence "… must be …", which is how the messages here are made.
"""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dioptra_worker.engine.places import begin, describe
from dioptra_worker.engine.wording import kind, listing, near, quote, suggestion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

    from dioptra_worker.engine.issues import Location, Report

SECTIONS = (
    "types",
    "parameters",
    "artifact_inputs",
    "tasks",
    "graph",
    "artifact_outputs",
)


def check_shape(data: Any, report: Report) -> None:
    """Report every place where a document has not the shape of an entrypoint."""
    if isinstance(data, dict) and data and not data.keys() & {"tasks", "graph"}:
        report.error(_no_entrypoint(data), ())
        return
    by_place: dict[Location, list[ValidationError]] = {}
    for error in _validator().iter_errors(data):
        by_place.setdefault(tuple(error.absolute_path), []).append(error)
    for path, errors in by_place.items():
        _tell(path, errors, report)


@functools.cache
def schema() -> dict[str, Any]:
    """Read the JSON Schema of an entrypoint; do not change what is returned."""
    text = Path(__file__).with_name("schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@functools.cache
def _validator() -> Draft202012Validator:
    from jsonschema import Draft202012Validator  # slow to import, not always needed

    return Draft202012Validator(schema())


def _no_entrypoint(data: Mapping[str, Any]) -> str:
    message = f"This is not an entrypoint: it has {listing(list(data))}"
    message += " and neither 'tasks' nor 'graph'."
    if all(isinstance(step, dict) for step in data.values()):
        message += " A bare task graph belongs under 'graph', its tasks under 'tasks'."
    return message


def _tell(path: Location, errors: list[ValidationError], report: Report) -> None:
    """Report the errors at one place as the fewest issues that name every cause."""
    unknown = [
        (key, error)
        for error in errors
        if error.validator == "additionalProperties"
        for key in _unknown_keys(error)
    ]
    for key, error in unknown:
        free = [
            k for k in error.schema.get("properties", {}) if k not in error.instance
        ]
        message = f"Unknown key {key!r} in {describe(path)}.{suggestion(key, free)}"
        report.error(message, (*path, key))
    missing = _missing_keys(errors)
    lost = [k for k in missing if not any(near(u, [k]) for u, _ in unknown)]
    if lost:
        report.error(f"{begin(path)} must have {listing(lost)}.", path)
    if not unknown and not missing:
        report.error(_must_be(errors[0], path), path)


def _unknown_keys(error: ValidationError) -> list[str]:
    known = error.schema.get("properties", {})
    patterns = error.schema.get("patternProperties", {})
    return [
        key
        for key in error.instance
        if key not in known and not any(re.search(p, key) for p in patterns)
    ]


def _missing_keys(errors: list[ValidationError]) -> list[str]:
    wanted = [e for e in errors if e.validator == "required"]
    return (
        [k for k in wanted[0].validator_value if k not in wanted[0].instance]
        if wanted
        else []
    )


def _must_be(error: ValidationError, path: Location) -> str:
    wanted = error.schema["description"]
    return f"{begin(path)} must be {wanted}; found {_found(error.instance)}."


def _found(value: Any) -> str:
    if isinstance(value, dict) and value:
        return f"a mapping with {listing(list(value))}"
    if value is None:
        return kind(value)
    if value in ({}, [], ""):
        return f"an empty {kind(value).split()[-1]}"
    return f"{kind(value)}: {quote(value)}"
