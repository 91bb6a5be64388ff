"""Text that becomes a parameter's value, by the type that is declared."""

from __future__ import annotations

from typing import Any

import pytest

from dioptra_worker.tools.resources.parameters import NotOfType, parse
from dioptra_worker.tools.workbench.errors import InvalidRequest
from dioptra_worker.tools.workbench.planning import values

CONFIG = {
    "types": {
        "table": {"list": {"mapping": ["string", "any"]}},
        "row": {"mapping": ["string", "any"]},
        "opaque": None,
    },
    "parameters": {
        "name": {"type": "string"},
        "times": {"type": "integer", "default": 3},
        "rate": {"type": "number", "default": 0.5},
        "rows": {"type": "table", "default": []},
        "row": {"type": "row", "default": {}},
        "thing": {"type": "opaque", "default": None},
        "bare": 7,
        "flag": False,
        "words": ["a"],
        "untyped": {"default": "x"},
    },
}


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("03", "string", "03"),
        ("3", "integer", 3),
        ("1", "float", 1.0),
        ("1e-1", "float", 0.1),
        ("TRUE", "boolean", True),
        ("false", "boolean", False),
        ("[1, 2]", "list", [1, 2]),
        ('{"a": 1}', "mapping", {"a": 1}),
        ("3", "any", 3),
        ("three", "any", "three"),
    ],
)
def test_values_of_each_kind(text: str, kind: str, value: object) -> None:
    """A text becomes what the platform would make of it."""
    read = parse(text, kind)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("x", "integer", "'x' is no integer"),
        ("1.5", "integer", "'1.5' is no integer"),
        ("x", "float", "'x' is no number"),
        ("yes", "boolean", "neither 'true' nor 'false'"),
        ("a, b", "list", r"is not JSON .*write a list such as \[1, 2\]"),
        ("{}", "list", "'{}' is no list"),
        ("[]", "mapping", "no mapping such as"),
    ],
)
def test_a_wrong_value_is_one_sentence(text: str, kind: str, words: str) -> None:
    """What cannot be read is quoted, with what it should have been."""
    with pytest.raises(NotOfType, match=words):
        parse(text, kind)


def test_kinds_follow_types_and_defaults() -> None:
    """A declared type decides, and without one the default does."""
    assert values.kinds(CONFIG) == {
        "name": "string",
        "times": "integer",
        "rate": "float",
        "rows": "list",
        "row": "mapping",
        "thing": "any",
        "bare": "integer",
        "flag": "boolean",
        "words": "list",
        "untyped": "string",
    }


def _values(given: dict[str, Any]) -> dict[str, Any]:
    return values.values(given, CONFIG, values.kinds(CONFIG))


def test_defaults_are_filled_in() -> None:
    """What is not given has its default, in the order of declaration."""
    found = _values({"name": "Ada", "rate": 1})
    assert list(found) == list(CONFIG["parameters"])
    assert found["name"] == "Ada"
    assert found["times"] == 3
    assert isinstance(found["rate"], float)
    assert found["bare"] == 7


def test_all_that_is_wrong_is_said_at_once() -> None:
    """Unknown names come with the near one, missing values with how to give them."""
    with pytest.raises(InvalidRequest) as caught:
        _values({"tims": "3", "times": "x", "flag": "maybe"})
    said = "\n".join(caught.value.problems)
    assert "no parameter 'tims'. Did you mean 'times'?" in said
    assert "parameter 'times': 'x' is no integer" in said
    assert "parameter 'flag': 'maybe' is neither" in said
    assert "'name' has no default: give it a value, such as -P name=..." in said


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"name": 3}, "3 is an integer, not a string"),
        ({"times": True}, "True is a boolean, not an integer"),
        ({"rows": {}}, "is a mapping, not a list"),
    ],
)
def test_values_from_python_have_their_kind(given: dict[str, Any], words: str) -> None:
    """A value that is no text is not converted, only checked."""
    with pytest.raises(InvalidRequest, match=words):
        _values({"name": "n", **given})


def test_what_is_in_lists_has_its_type() -> None:
    """A list is refused for an entry that its type, or a step, does not take."""
    config = {
        "types": {"sizes": {"list": "integer"}, "opaque": None},
        "parameters": {"a": {"type": "sizes"}, "b": {"default": []}, "c": "opaque"},
        "tasks": {"t": {"plugin": "p.m.t", "inputs": [{"sizes": "sizes"}]}},
        "graph": {"step": {"t": ["$b"]}},
    }
    kinds = values.kinds(config) | {"c": "any"}
    good = {"a": "[1, 2]", "b": "[3]", "c": "[1.5]"}
    assert values.values(good, config, kinds)["a"] == [1, 2]
    for name in ("a", "b"):
        with pytest.raises(InvalidRequest, match=rf"'{name}' is given \[1, 2\.5\]: "):
            values.values(good | {name: "[1, 2.5]"}, config, kinds)
