"""Ids of the REST API's, as click reads them."""

from __future__ import annotations

from typing import Any

import click

_MAX_DIGITS = 18


class Id(click.ParamType[int]):
    """The number by which the REST API knows a thing.

    Args:
        noun: What it is of, such as ``job``.
        where: Where such numbers are told.
    """

    name = "id"

    def __init__(self, noun: str, where: str) -> None:
        self._noun = noun
        self._where = where

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Read it, or say what is wrong with it."""
        text = str(value)
        digits = text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
        if not digits or int(text) == 0:
            self.fail(
                f"{text!r} is no {self._noun}'s id, which is a number: {self._where}",
                param,
                ctx,
            )
        return int(text)
