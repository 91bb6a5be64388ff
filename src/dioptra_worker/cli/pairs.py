"""Options of the form ``NAME=VALUE``, as callbacks for click."""

from __future__ import annotations

import click


def pairs(
    _context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]
) -> dict[str, str]:
    """Names and values of ``NAME=VALUE``."""
    found: dict[str, str] = {}
    for pair in given:
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise click.BadParameter(f"{pair!r} has no '=': write NAME=VALUE")
        if name in found:
            raise click.BadParameter(f"{name!r} is given twice.")
        found[name] = value
    return found


def numbers(
    context: click.Context, parameter: click.Parameter, given: tuple[str, ...]
) -> dict[str, int]:
    """Names and ids of ``NAME=ID``."""
    found = pairs(context, parameter, given)
    for name, value in found.items():
        if not (value.isascii() and value.isdigit()):
            raise click.BadParameter(f"{name}={value!r}: the id of an artifact wanted.")
    return {name: int(value) for name, value in found.items()}
