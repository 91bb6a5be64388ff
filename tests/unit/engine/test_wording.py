"""The small pieces of sentences."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest

from dioptra_worker.engine.reading.places import begin, describe
from dioptra_worker.engine.wording import (
    count,
    format_exception,
    kind,
    listing,
    near,
    quote,
    safe_str,
    suggestion,
)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["a"], "'a'"),
        (["a", "b"], "'a' and 'b'"),
        (["a", "b", "c"], "'a', 'b' and 'c'"),
    ],
)
def test_names_are_quoted_and_joined(names: list[str], text: str) -> None:
    """The last two names are joined by a word."""
    assert listing(names) == text


def test_a_long_list_is_cut() -> None:
    """Nobody reads a hundred names, so the rest is counted."""
    text = listing([f"n{number}" for number in range(100)], "or")
    assert text.endswith("'n11' or 88 more")


def test_exactly_as_many_names_as_are_shown_are_not_cut() -> None:
    """Twelve names fit."""
    assert "more" not in listing([f"n{number}" for number in range(12)])


def test_a_near_match_is_suggested() -> None:
    """A misspelt name gets the right one, and no list."""
    assert suggestion("laod", ["load", "save"]) == " Did you mean 'load'?"


def test_without_a_near_match_there_is_a_list() -> None:
    """A name like no other gets the list of what there is."""
    assert suggestion("x", ["load", "save"]) == " There is 'load' and 'save'."


@pytest.mark.parametrize(("nothing", "text"), [("", ""), ("None.", " None.")])
def test_without_names_there_is_the_given_hint(nothing: str, text: str) -> None:
    """When there is nothing to list, the caller's sentence is the hint."""
    assert suggestion("x", [], nothing) == text


def test_what_is_not_near_is_not_meant() -> None:
    """Only similar names are taken for misspellings."""
    assert near("abc", ["xyz"]) is None
    assert near("paramter", ["parameter"]) == "parameter"


def test_a_long_value_is_shortened() -> None:
    """A quoted value fits into a line."""
    assert quote("x" * 100) == "'" + "x" * 56 + "..."
    assert quote("x" * 58) == "'" + "x" * 58 + "'"


@pytest.mark.parametrize(
    ("number", "text"), [(0, "no values"), (1, "1 value"), (2, "2 values")]
)
def test_numbers_come_with_their_noun(number: int, text: str) -> None:
    """One is singular, and zero is a word."""
    assert count(number, "value") == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "nothing"),
        (True, "a boolean"),
        (1, "an integer"),
        (1.5, "a number"),
        ("a", "a string"),
        ({}, "a mapping"),
        ([], "a list"),
        (dt.date(2026, 1, 1), "a date"),
    ],
)
def test_kinds_are_named_in_the_words_of_yaml(value: Any, text: str) -> None:
    """A dict is a mapping, and a bool is not an integer."""
    assert kind(value) == text


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), "the document"),
        (("graph",), "the section 'graph'"),
        (("extra", "a"), "the section 'extra.a'"),
        (("graph", "train"), "step 'train'"),
        (("types", "t"), "type 't'"),
        (("tasks", "t", "inputs", 0), "'inputs[0]' of task 't'"),
    ],
)
def test_a_place_is_described(path: tuple[str | int, ...], text: str) -> None:
    """A place is named by what is declared there."""
    assert describe(path) == text
    assert begin(path) == text[0].upper() + text[1:]


class Unspeakable(Exception):
    """Refuses to be shown."""

    def __str__(self) -> str:
        raise ValueError

    __repr__ = __str__


def test_whatever_was_raised_is_told() -> None:
    """An error's words are bounded, and one that cannot be shown has a name."""
    assert format_exception(KeyError("missing")) == "KeyError: 'missing'"
    assert format_exception(KeyboardInterrupt()) == "KeyboardInterrupt"
    assert format_exception(Unspeakable()) == (
        "Unspeakable: (a Unspeakable that cannot be shown)"
    )
    assert len(format_exception(ValueError("page " * 1_000_000))) < 3000
    assert safe_str(Unspeakable(), repr) == "(a Unspeakable that cannot be shown)"


def test_an_error_without_a_word_tells_its_place() -> None:
    """Of a bare assert people read where it was raised, not its type alone."""
    with pytest.raises(AssertionError) as caught:
        raise AssertionError
    found = format_exception(caught.value)
    assert re.fullmatch(
        r"AssertionError without a word, in line \d+ of test_wording.py, test_an_.*",
        found,
    )


def test_words_are_plain_text_whatever_a_method_raises_or_returns() -> None:
    """Neither SystemExit nor a string of a class of its own leaves a value."""

    class Words(str):
        __slots__ = ()

        def __len__(self) -> int:
            raise SystemExit

    class Returning:
        def __str__(self) -> str:
            return Words("said")

        def __repr__(self) -> str:
            raise SystemExit

    assert type(safe_str(Returning())) is str
    assert safe_str(Returning()) == "said"
    assert safe_str(Returning(), repr) == "(a Returning that cannot be shown)"
