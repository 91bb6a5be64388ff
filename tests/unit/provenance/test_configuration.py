"""Configurations: canonical, typed, and without what is the default anyway."""

from __future__ import annotations

import re

import pytest

from dioptra_worker.provenance import (
    BadValue,
    Parameter,
    coerce,
    configuration_id,
    deviations,
)

PARAMETERS = [
    Parameter(name="lr", kind="float", default="0.1"),
    Parameter(name="n", kind="integer", default="3"),
    Parameter(name="opt", kind="mapping", default='{"b": 1, "a": 2}'),
    Parameter(name="flag", kind="boolean", default="False"),
    Parameter(name="sizes", kind="list", default="[1, 2]"),
    Parameter(name="title", kind="string", default=None),
]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"lr": "1e-1", "n": "03", "opt": '{"a": 2,"b": 1}', "flag": "FALSE"},
        {"lr": 0.1, "n": 3, "opt": {"a": 2, "b": 1}, "flag": False, "sizes": [1, 2]},
        {"title": None},
    ],
)
def test_the_default_configuration_is_empty(values: dict[str, object]) -> None:
    """Defaults, in whatever notation or order, are the default configuration."""
    assert deviations(PARAMETERS, values) == {}


def test_equal_configurations_have_one_id() -> None:
    """Notation and order make no other configuration; a value does."""
    first = deviations(PARAMETERS, {"n": "4", "lr": "2e-1", "flag": "TRUE"})
    second = deviations(PARAMETERS, {"flag": True, "lr": 0.2, "n": 4, "sizes": "[1,2]"})
    assert first == second == {"flag": True, "lr": 0.2, "n": 4}
    assert configuration_id(1, first) == configuration_id(1, second)
    assert configuration_id(1, first) != configuration_id(2, first)
    third = deviations(PARAMETERS, {"n": 5, "lr": 0.2, "flag": True})
    assert configuration_id(1, third) != configuration_id(1, first)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("n", "1.5", "parameter 'n' must be an integer, not '1.5'"),
        ("lr", "fast", "parameter 'lr' must be a number, not 'fast'"),
        ("flag", "yes", "parameter 'flag' must be true or false, not 'yes'"),
        ("sizes", '{"a": 1}', "must be a list in JSON, such as [1, 2], not"),
        ("opt", "[1]", "must be a mapping in JSON"),
        ("opt", "{", "must be a mapping in JSON"),
        ("rate", "1", "there is no parameter 'rate': the entrypoint has flag, lr, n"),
    ],
)
def test_a_bad_value_is_named(name: str, value: str, words: str) -> None:
    """A wrong name or type is one sentence that names the parameter."""
    with pytest.raises(BadValue, match=re.escape(words)) as caught:
        deviations(PARAMETERS, {name: value})
    assert caught.value.name == name


def test_an_unknown_kind_is_kept_as_text() -> None:
    """A parameter type that a later platform may bring is taken as it is."""
    assert coerce(Parameter(name="x", kind="tensor", default=None), "abc") == "abc"
