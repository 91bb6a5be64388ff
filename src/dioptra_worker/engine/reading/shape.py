"""Check the shape of a document with the JSON Schema in ``schema.json``.

The schema tells its alternatives apart with ``if`` and ``then`` and never with
``oneOf``, so that each of its errors is about one place. A ``description`` in it
completes the sentence "… must be …", which is how the messages here are made.
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from dioptra_worker.engine.reading.places import begin, describe
from dioptra_worker.engine.wording import kind, listing, near, quote, suggestion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jsonschema import Draft202012Validator

    from dioptra_worker.engine.issues import Location, Report


@dataclass(frozen=True, slots=True)
class _Violation:
    """One error of the JSON Schema library, in our own terms.

    Attributes:
        path: The place in the document.
        keyword: The keyword of the schema that is violated.
        schema: The part of the schema that has this keyword.
        value: What is at that place.
    """

    path: Location
    keyword: str
    schema: Mapping[str, Any]
    value: Any

    @property
    def unknown(self) -> list[str]:
        """The keys that should not be there."""
        if self.keyword != "additionalProperties":
            return []
        known = self.schema.get("properties", {})
        patterns = self.schema.get("patternProperties", {})
        return [
            key
            for key in self.value
            if key not in known and not any(re.search(p, key) for p in patterns)
        ]

    @property
    def missing(self) -> list[str]:
        """The keys that should be there."""
        if self.keyword != "required":
            return []
        return [key for key in self.schema["required"] if key not in self.value]


def check_shape(data: Any, report: Report) -> None:
    """Report every place where a document has not the shape of an entrypoint."""
    if isinstance(data, dict) and data and not data.keys() & {"tasks", "graph"}:
        report.error(_no_entrypoint(data), ())
        return
    by_place: dict[Location, list[_Violation]] = {}
    for violation in _violations(data):
        by_place.setdefault(violation.path, []).append(violation)
    for path, violations in by_place.items():
        _tell(path, violations, report)


def _violations(data: Any) -> Iterator[_Violation]:
    for error in _validator().iter_errors(data):
        yield _Violation(
            tuple(error.absolute_path),
            str(error.validator),
            cast("Mapping[str, Any]", error.schema),
            error.instance,
        )


@functools.cache
def schema() -> dict[str, Any]:
    """Read the JSON Schema of an entrypoint; do not change what is returned."""
    text = Path(__file__).with_name("schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@functools.cache
def _validator() -> Draft202012Validator:
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - slow to import

    return Draft202012Validator(schema())


def _no_entrypoint(data: Mapping[str, Any]) -> str:
    message = f"This is not an entrypoint: it has {listing(list(data))}"
    message += " and neither 'tasks' nor 'graph'."
    if all(isinstance(step, dict) for step in data.values()):
        message += " A bare task graph belongs under 'graph', its tasks under 'tasks'."
    return message


def _tell(path: Location, violations: list[_Violation], report: Report) -> None:
    """Report the violations at one place as the fewest issues that name each cause."""
    unknown = [(key, v) for v in violations for key in v.unknown]
    for key, violation in unknown:
        known = violation.schema.get("properties", {})
        free = [name for name in known if name not in violation.value]
        message = f"Unknown key {key!r} in {describe(path)}.{suggestion(key, free)}"
        report.error(message, (*path, key))
    missing = dict.fromkeys(key for v in violations for key in v.missing)
    lost = [key for key in missing if not any(near(u, [key]) for u, _ in unknown)]
    if lost:
        report.error(f"{begin(path)} must have {listing(lost)}.", path)
    if not unknown and not missing:
        wanted = violations[0].schema["description"]
        found = _found(violations[0].value)
        report.error(f"{begin(path)} must be {wanted}; found {found}.", path)


def _found(value: Any) -> str:
    if isinstance(value, dict) and value:
        return f"a mapping with {listing(list(value))}"
    if value is None:
        return kind(value)
    if value in ({}, [], ""):
        return f"an empty {kind(value).split()[-1]}"
    return f"{kind(value)}: {quote(value)}"
