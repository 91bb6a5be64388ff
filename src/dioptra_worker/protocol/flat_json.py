"""Reads JSON objects that hold plain values only, whoever wrote them.

What a runner says comes from a process that plugins share. A decoder of any JSON makes
a hundred bytes of memory of three (``[],``), and numbers without an end; this one makes
no more of a line than is in it.
"""

from __future__ import annotations

import math
import re
from json.decoder import scanstring  # type: ignore[attr-defined] # it is public

Scalar = str | int | float | bool | None

MAX_FIELDS = 16
MAX_INTEGER = 2**63 - 1
"""What services can hold; also of what is below zero."""

_NUMBER = re.compile(
    r"(-?\d{1,19}(?![\d.eE]))|-?\d{1,400}(?:\.\d{1,400})?(?:[eE][-+]?\d{1,4})?"
)
_WORDS: dict[str, Scalar] = {"t": True, "f": False, "n": None}
_WORD = re.compile("true|false|null")


def read_flat(line: bytes) -> dict[str, Scalar]:
    """The object on a line: as `json` writes it, without blanks.

    Args:
        line: UTF-8.

    Returns:
        Its fields; lone surrogates, which nothing else can hold, are written out.

    Raises:
        ValueError: It is no such object, or has numbers beyond `MAX_INTEGER` or floats.
    """
    text = line.decode()
    if not text.startswith("{"):
        raise ValueError("no object")
    fields: dict[str, Scalar] = {}
    end = 1
    while len(fields) < MAX_FIELDS:
        name, end = _string(text, end)
        if text[end : end + 1] != ":":
            raise ValueError("no value")
        fields[name], end = _value(text, end + 1)
        mark, end = text[end : end + 1], end + 1
        if mark == "}" and end == len(text):
            return fields
        if mark != ",":
            raise ValueError("no end")
    raise ValueError("too many fields")


def _value(text: str, start: int) -> tuple[Scalar, int]:
    first = text[start : start + 1]
    if first == '"':
        return _string(text, start)
    if first in _WORDS and (word := _WORD.match(text, start)):
        return _WORDS[first], word.end()
    number = _NUMBER.match(text, start)
    if number is None:
        raise ValueError("no plain value")
    if number[1]:
        integer = int(number[1])
        if abs(integer) > MAX_INTEGER:
            raise ValueError("an integer that is too large")
        return integer, number.end()
    value = float(number[0])
    if not math.isfinite(value):
        raise ValueError("a number that is too large")
    return value, number.end()


def _string(text: str, start: int) -> tuple[str, int]:
    if text[start : start + 1] != '"':
        raise ValueError("no text")
    value, end = scanstring(text, start + 1, True)
    if not value.isascii():
        value = value.encode("utf-8", "backslashreplace").decode()
    return value, end
