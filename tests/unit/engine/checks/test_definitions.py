"""Definitions of types."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from tests.unit.engine.documents import document, errors, warnings

from dioptra_worker.engine.checks.definitions import build_types
from dioptra_worker.engine.issues import Report
from dioptra_worker.engine.typesystem.types import (
    INTEGER,
    STRING,
    ListOf,
    MapOf,
    Simple,
    TupleOf,
    Union,
    record,
)

BUILT_IN = "'string', 'integer', 'number', 'boolean', 'null' and 'any'"


def build(text: str) -> dict[str, Any]:
    """Build the types that a section defines, without the built-in ones."""
    types = build_types(yaml.safe_load(text), Report())
    return {name: types[name] for name in yaml.safe_load(text)}


def test_types_are_built_in_any_order() -> None:
    """A definition may use what is defined further down."""
    animal = Simple("animal")
    dog = Simple("dog", animal)
    pack = ListOf(dog, "pack")
    assert build(
        """
        pack: {list: dog}
        dog: {is_a: animal}
        animal:
        rock: {}
        pair: {tuple: [pack, {list: string}]}
        unit: {tuple: []}
        point: {mapping: {y: integer, x: integer}}
        empty: {mapping: {}}
        counts: {mapping: [string, {mapping: [integer, pack]}]}
        thing: {union: [dog, rock]}
        never: {union: []}
        """
    ) == {
        "pack": pack,
        "dog": dog,
        "animal": animal,
        "rock": Simple("rock"),
        "pair": TupleOf((pack, ListOf(STRING)), "pair"),
        "unit": TupleOf((), "unit"),
        "point": record({"x": INTEGER, "y": INTEGER}, "point"),
        "empty": record({}, "empty"),
        "counts": MapOf(STRING, MapOf(INTEGER, pack), "counts"),
        "thing": Union(frozenset([dog, Simple("rock")]), "thing"),
        "never": Union(frozenset(), "never"),
    }


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "types: {t: {list: strin}}",
            [
                (
                    "types.t.list: Type 't' refers to 'strin', which is no type."
                    " Did you mean 'string'?"
                )
            ],
        ),
        (
            (
                "types: {t: {mapping: [string, {tuple: [xyz]}]}, u: {list: t},"
                " v: {is_a: t}}"
            ),
            [
                (
                    "types.t.mapping[1].tuple[0]: Type 't' refers to 'xyz', which"
                    " is no type."
                    f" There is 't', 'u', 'v', {BUILT_IN}."
                )
            ],
        ),
        (
            "types: {t: {is_a: ''}}",
            [
                (
                    "types.t.is_a: Type 't' refers to '', which is no type. There"
                    f" is 't', {BUILT_IN}."
                )
            ],
        ),
        (
            "types: {string: }",
            [
                (
                    "types.string: Type 'string' is built in and cannot be defined"
                    " again. Choose another name."
                )
            ],
        ),
        (
            "types: {string: {list: integer}, integer: {list: string}}",
            [
                (
                    "types.string: Type 'string' is built in and cannot be defined"
                    " again. Choose another name."
                ),
                (
                    "types.integer: Type 'integer' is built in and cannot be"
                    " defined again. Choose another name."
                ),
            ],
        ),
        ("types: {t: {list: t}}", ["types.t: Type 't' is defined by itself."]),
        (
            (
                "types: {t: {list: u}, u: {mapping: {x: v}}, v: {union: [t,"
                " string]}, w: {list: v}}"
            ),
            [
                (
                    "types.t: Types are defined by each other in a circle: 't'"
                    " needs 'u',"
                    " which needs 'v', which needs 't'."
                )
            ],
        ),
        (
            "types: {t: {list: string}, u: {is_a: t}, v: {is_a: u}}",
            [
                (
                    "types.u.is_a: Type 'u' cannot be a special case of 't', since"
                    " only simple"
                    " types can."
                )
            ],
        ),
        (
            (
                "types: {t: {mapping: [number, string]}, u: {list: t}, v: {union: [t]},"
                " w: {mapping: {x: t}}, x: {mapping: [string, t]}, y:"
                " {mapping: [t, string]}}"
            ),
            [
                (
                    "types.t.mapping[0]: The keys of a mapping type must be"
                    " 'string' or 'integer', not 'number'."
                )
            ],
        ),
        (
            "types: {t: {list: {mapping: [{list: string}, string]}}}",
            [
                (
                    "types.t.list.mapping[0]: The keys of a mapping type must be"
                    " 'string' or"
                    " 'integer', not 'list[string]'."
                )
            ],
        ),
    ],
)
def test_wrong_definitions_are_refused_once(text: str, found: list[str]) -> None:
    """What is wrong with a type is said once, not again for each use of the type."""
    assert errors(document(text)) == found


def test_a_wrong_type_is_not_checked_against() -> None:
    """Arguments and defaults of a type that is wrong are not blamed for it."""
    config = document(
        """
        types: {t: {list: nope}}
        parameters: {p: {type: t, default: 3}}
        tasks: {make: {plugin: a.b, inputs: [{x: t}, {y: integer}], outputs: {z: t}}}
        graph: {one: {make: [1, $p]}, two: {make: [2, $one]}}
        """
    )
    assert len(errors(config)) == 1


def test_a_doubled_member_of_a_union_is_warned_about() -> None:
    """A union with the same member twice works, and is probably a mistake."""
    config = document("types: {t: {union: [string, {list: any}, {list: any}, string]}}")
    assert errors(config) == []
    assert warnings(config) == [
        "types.t.union[2]: Union 't' lists {'list': 'any'} twice.",
        "types.t.union[3]: Union 't' lists 'string' twice.",
    ]
