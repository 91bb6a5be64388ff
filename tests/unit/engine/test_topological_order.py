"""Orders and cycles."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dioptra_worker.engine.topological_order import cycles, topological_order

needs = st.dictionaries(
    st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdefx"), max_size=3)
)


@pytest.mark.parametrize(
    ("given_needs", "order"),
    [
        ({}, []),
        ({"b": [], "a": []}, ["b", "a"]),
        ({"a": ["b"], "b": []}, ["b", "a"]),
        ({"c": ["a"], "b": [], "a": []}, ["b", "a", "c"]),
        ({"d": ["a"], "a": [], "b": []}, ["a", "d", "b"]),
        ({"a": ["nobody"]}, ["a"]),
        ({"a": ["a"], "b": []}, ["b"]),
        ({"a": ["b"], "b": ["a"], "c": ["a"]}, []),
    ],
)
def test_what_is_declared_first_comes_first(
    given_needs: dict[str, list[str]], order: list[str]
) -> None:
    """Each comes after what it needs, and else in the order of declaration."""
    assert topological_order(given_needs) == order


@pytest.mark.parametrize(
    ("given_needs", "found"),
    [
        ({"a": [], "b": ["a"]}, []),
        ({"a": ["a"]}, [["a"]]),
        ({"a": ["b"], "b": ["c"], "c": ["a"]}, [["a", "b", "c"]]),
        ({"z": ["a"], "a": ["b"], "b": ["a"]}, [["a", "b"]]),
        ({"a": ["b"], "b": ["a"], "c": ["d"], "d": ["c"]}, [["a", "b"], ["c", "d"]]),
        ({"a": ["b", "c"], "b": ["a"], "c": ["a"]}, [["a", "b"]]),
    ],
)
def test_each_knot_is_named_by_one_cycle(
    given_needs: dict[str, list[str]], found: list[list[str]]
) -> None:
    """A cycle starts at the first name on it; what only leads to it is not on it."""
    assert cycles(given_needs) == found


@given(needs)
def test_an_order_keeps_every_need(given_needs: dict[str, list[str]]) -> None:
    """Nothing comes before what it needs, and nothing comes twice."""
    order = topological_order(given_needs)
    assert len(set(order)) == len(order)
    for position, name in enumerate(order):
        wanted = [n for n in given_needs[name] if n in given_needs]
        assert set(wanted) <= set(order[:position])


@given(needs)
def test_there_is_an_order_or_a_cycle(given_needs: dict[str, list[str]]) -> None:
    """Every name is ordered exactly when there is no cycle, and cycles are real."""
    found = cycles(given_needs)
    assert (len(topological_order(given_needs)) == len(given_needs)) == (not found)
    for cycle in found:
        for name, needed in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            assert needed in given_needs[name]
