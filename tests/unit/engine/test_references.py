"""References in argument values."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dioptra_worker.engine.references import Reference, find, parse, resolve

values = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("$a", Reference("a")),
        ("$a.b", Reference("a", "b")),
        ("$a.b.c", Reference("a", "b.c")),
        ("$a.", Reference("a", "")),
        ("$a$b", Reference("a$b")),
        ("$", None),
        ("", None),
        ("a", None),
        ("a$b", None),
        ("$$a", None),
        ("$$", None),
    ],
)
def test_one_dollar_sign_at_the_start_makes_a_reference(
    text: str, reference: Reference | None
) -> None:
    """The first dot separates the output; a doubled dollar sign is an escape."""
    assert parse(text) == reference


@pytest.mark.parametrize("text", ["$a", "$a.b", "$a."])
def test_a_reference_is_shown_as_it_was_written(text: str) -> None:
    """The words for a reference are the reference."""
    assert str(parse(text)) == text


def test_references_are_found_with_their_places() -> None:
    """Lists and the values of mappings are searched, keys and sets are not."""
    value = ["$a", {"$k": "$b.c", "task": ["$d"]}, "$$e", 1, {"$f"}]
    assert list(find(value, ("x",))) == [
        (Reference("a"), ("x", 0)),
        (Reference("b", "c"), ("x", 1, "$k")),
        (Reference("d"), ("x", 1, "task", 0)),
    ]


def test_references_are_replaced_and_escapes_undone() -> None:
    """A value is looked up wherever it is referred to, and a key never is."""
    value = {"$k": ["$a", "$$a", "$", "x$a", 3, None]}
    assert resolve(value, lambda reference: f"<{reference.name}>") == {
        "$k": ["<a>", "$a", "$", "x$a", 3, None]
    }


def test_what_is_passed_is_new() -> None:
    """A plugin that changes its argument does not change the graph."""
    value = {"a": [1]}
    passed: Any = resolve(value, str)
    passed["a"].append(2)
    assert value == {"a": [1]}


@given(values)
def test_every_found_reference_is_looked_up(value: Any) -> None:
    """What `find` yields is exactly what `resolve` looks up, in the same order."""
    seen: list[Reference] = []
    resolve(value, seen.append)
    assert seen == [reference for reference, _ in find(value)]
