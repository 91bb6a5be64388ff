"""The rules about types: equality, fitting, inference, and how types are shown."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dioptra_worker.engine.typesystem.fit import fits
from dioptra_worker.engine.typesystem.inference import infer
from dioptra_worker.engine.typesystem.types import (
    ANY,
    BOOLEAN,
    BUILT_IN,
    INTEGER,
    NOTHING,
    NULL,
    NUMBER,
    STRING,
    ListOf,
    MapOf,
    Simple,
    TupleOf,
    Type,
    Union,
    record,
)

if TYPE_CHECKING:
    from dioptra_worker.engine.references import Reference

ANIMAL = Simple("animal")
DOG = Simple("dog", ANIMAL)
PUPPY = Simple("puppy", DOG)
ROCK = Simple("rock")


def lists(*members: Type) -> Type:
    """Build the union of the members."""
    return Union(frozenset(members))


SIMPLE = [*BUILT_IN.values(), ANIMAL, DOG, PUPPY, ROCK]

simple = st.sampled_from(SIMPLE)
types: st.SearchStrategy[Type] = st.recursive(
    simple,
    lambda inner: st.one_of(
        inner.map(ListOf),
        st.lists(inner, max_size=3).map(lambda parts: TupleOf(tuple(parts))),
        st.dictionaries(st.sampled_from("ab"), inner).map(record),
        st.builds(MapOf, st.sampled_from([STRING, INTEGER]), inner),
        st.frozensets(inner, max_size=3).map(Union),
    ),
    max_leaves=6,
)
literals = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(), inner, max_size=3)
        | st.dictionaries(st.integers(), inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("given_type", "wanted"),
    [
        (INTEGER, NUMBER),
        (PUPPY, ANIMAL),
        (TupleOf((INTEGER, NUMBER)), ListOf(NUMBER)),
        (TupleOf(()), ListOf(ROCK)),
        (TupleOf((DOG,)), TupleOf((ANIMAL,))),
        (ListOf(DOG), ListOf(ANIMAL)),
        (record({}), MapOf(STRING, ROCK)),
        (record({"a": DOG}), MapOf(STRING, ANIMAL)),
        (record({"b": DOG, "a": ROCK}), record({"a": ROCK, "b": ANIMAL})),
        (MapOf(INTEGER, DOG), MapOf(INTEGER, ANIMAL)),
        (DOG, lists(ROCK, ANIMAL)),
        (lists(DOG, PUPPY), ANIMAL),
        (ListOf(DOG, "pack"), ListOf(ANIMAL)),
        (ListOf(DOG), ListOf(ANIMAL, "herd")),
        (ListOf(DOG, "pack"), ListOf(DOG, "pack")),
        (lists(DOG), Union(frozenset([DOG, ROCK]), "things")),
        (ANY, lists(ANY, ROCK)),
    ],
)
def test_fits(given_type: Type, wanted: Type) -> None:
    """A special case fits where the general one is wanted, in every structure."""
    assert fits(given_type, wanted)


@pytest.mark.parametrize(
    ("given_type", "wanted"),
    [
        (NUMBER, INTEGER),
        (BOOLEAN, INTEGER),
        (ANIMAL, DOG),
        (ANY, STRING),
        (ANY, ListOf(ANY)),
        (STRING, ListOf(STRING)),
        (ListOf(STRING), STRING),
        (ListOf(DOG), TupleOf((DOG,))),
        (ListOf(ANIMAL), ListOf(DOG)),
        (TupleOf((DOG,)), TupleOf((DOG, DOG))),
        (TupleOf((ANIMAL,)), TupleOf((DOG,))),
        (TupleOf((DOG, ROCK)), ListOf(DOG)),
        (TupleOf((DOG,)), record({"a": DOG})),
        (ListOf(DOG), MapOf(INTEGER, DOG)),
        (MapOf(STRING, DOG), ListOf(DOG)),
        (MapOf(STRING, DOG), record({})),
        (MapOf(STRING, DOG), MapOf(INTEGER, DOG)),
        (MapOf(STRING, ANIMAL), MapOf(STRING, DOG)),
        (record({"a": DOG}), MapOf(INTEGER, DOG)),
        (record({"a": ANIMAL}), MapOf(STRING, DOG)),
        (record({"a": DOG}), record({"b": DOG})),
        (record({"a": DOG}), record({"a": DOG, "b": DOG})),
        (record({"a": ANIMAL}), record({"a": DOG})),
        (ListOf(DOG, "pack"), ListOf(DOG, "team")),
        (lists(DOG, ROCK), ANIMAL),
        (ROCK, lists(DOG, ANIMAL)),
        (ROCK, NOTHING),
    ],
)
def test_fits_not(given_type: Type, wanted: Type) -> None:
    """What is more general, differently built or differently named does not fit."""
    assert not fits(given_type, wanted)


@given(types)
def test_every_type_fits_itself_and_any(one: Type) -> None:
    """Fitting is reflexive, and everything is a value."""
    assert fits(one, one)
    assert fits(one, ANY)


@given(types, types)
def test_structures_are_covariant(one: Type, other: Type) -> None:
    """A structure fits exactly where its part does; the key does not matter."""
    assume(one != other)
    assert fits(ListOf(one), ListOf(other)) == fits(one, other)
    assert fits(TupleOf((one,)), TupleOf((other,))) == fits(one, other)
    assert fits(TupleOf((one,)), ListOf(other)) == fits(one, other)
    assert fits(record({"a": one}), record({"a": other})) == fits(one, other)
    assert fits(record({"a": one}), MapOf(STRING, other)) == fits(one, other)
    assert fits(MapOf(INTEGER, one), MapOf(INTEGER, other)) == fits(one, other)


@given(types, types)
def test_a_member_fits_its_union(one: Type, other: Type) -> None:
    """A union takes each of its members, and what one of them takes."""
    assert fits(one, lists(one, other))


@given(types, types, types)
def test_a_union_fits_where_all_its_members_do(one: Type, two: Type, to: Type) -> None:
    """A union is given when any of its members may be, so all must fit."""
    assume(lists(one, two) != to)
    assert fits(lists(one, two), to) == (fits(one, to) and fits(two, to))


@given(types)
def test_the_empty_union_fits_everywhere(one: Type) -> None:
    """No value is of the empty union, so it fits; nothing but itself fits it."""
    assert fits(NOTHING, one)
    empty = isinstance(one, Union) and all(fits(m, NOTHING) for m in one.members)
    assert fits(one, NOTHING) == empty


def test_fitting_of_simple_types_is_transitive() -> None:
    """What fits where something fits, fits where that does."""
    for a, b, c in itertools.product(SIMPLE, repeat=3):
        assert fits(a, c) or not (fits(a, b) and fits(b, c))


@pytest.mark.parametrize(
    ("value", "inferred"),
    [
        ("a", STRING),
        ("$a", STRING),
        (1, INTEGER),
        (1.0, NUMBER),
        (True, BOOLEAN),
        (None, NULL),
        ([], TupleOf(())),
        ([1, "a"], TupleOf((INTEGER, STRING))),
        ((1,), TupleOf((INTEGER,))),
        ({}, record({})),
        ({"a": 1, "b": [None]}, record({"b": TupleOf((NULL,)), "a": INTEGER})),
        ({1: "a", 2: "b"}, MapOf(INTEGER, STRING)),
        ({1: "a", 2: 3}, MapOf(INTEGER, lists(STRING, INTEGER))),
        ({1: "a", "b": 3}, ANY),
        ({1: "a", 2.5: 3}, ANY),
        ({True: "a"}, ANY),
        (dt.date(2026, 1, 1), ANY),
    ],
)
def test_inference(value: Any, inferred: Type) -> None:
    """Lists are tuples, mappings are records or maps, and the rest is a value."""
    assert infer(value) == inferred


def test_references_are_inferred_where_they_are_allowed() -> None:
    """A reference is of the type of what it means, also deep inside a value."""

    def type_of(reference: Reference) -> Type:
        return Simple(reference.name)

    assert infer("$dog", type_of) == Simple("dog")
    assert infer(["$$dog", {"$k": "$dog.x"}, {1: "$dog"}], type_of) == TupleOf(
        (STRING, record({"$k": Simple("dog")}), MapOf(INTEGER, Simple("dog")))
    )


@given(literals)
def test_an_inferred_type_fits_itself_and_its_list(value: Any) -> None:
    """Every literal may be passed where its own type, or a list of it, is wanted."""
    inferred = infer(value)
    assert fits(inferred, inferred)
    assert fits(infer([value, value]), ListOf(inferred))
    assert fits(infer({"k": value}), MapOf(STRING, inferred))
    assert fits(infer({7: value}), MapOf(INTEGER, inferred))


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (INTEGER, "integer"),
        (ListOf(INTEGER), "list[integer]"),
        (ListOf(INTEGER, "numbers"), "numbers"),
        (TupleOf((INTEGER, STRING)), "tuple[integer, string]"),
        (TupleOf((), "unit"), "unit"),
        (record({"a": INTEGER}), "mapping{a: integer}"),
        (record({"a": INTEGER}, "point"), "point"),
        (MapOf(STRING, INTEGER), "mapping[string, integer]"),
        (MapOf(STRING, INTEGER, "counts"), "counts"),
        (lists(STRING, INTEGER), "union[integer, string]"),
        (Union(frozenset(), "never"), "never"),
    ],
)
def test_a_type_is_shown_by_its_name_or_its_structure(shown: Type, text: str) -> None:
    """A name says it all; without one, the structure is written out."""
    assert str(shown) == text


def test_the_built_in_types_are_the_six() -> None:
    """The platform has six built-in types, and an integer is a number."""
    assert list(BUILT_IN) == ["string", "integer", "number", "boolean", "null", "any"]
    assert INTEGER.parent == NUMBER
