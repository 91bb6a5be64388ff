"""Options of the form ``NAME=VALUE``, as callbacks for click."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping


def pairs(
    _context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]
) -> dict[str, str]:
    """Names and values of ``NAME=VALUE``."""
    found: dict[str, str] = {}
    for pair in given:
        name, sign, value = pair.partition("=")
        if not sign:
            raise click.BadParameter(f"{pair!r} has no '=': write NAME=VALUE")
        if not name:
            raise click.BadParameter(f"{pair!r} has no name: write NAME=VALUE")
        if name in found:
            raise click.BadParameter(f"{name!r} is given twice.")
        found[name] = value
    return found


def as_texts(
    file_values: Mapping[str, Any], values: Mapping[str, str]
) -> dict[str, str]:
    """Values of a file and of ``-P``, which goes before, as the API takes them."""
    texts = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in file_values.items()
    }
    return texts | dict(values)


values_of_job = click.option(
    "-P",
    "values",
    metavar="NAME=VALUE",
    multiple=True,
    callback=pairs,
    help="A value for a parameter; lists and mappings as JSON, or NAME.KEY=VALUE for"
    " one entry of a mapping.",
)
"""The option of commands that submit jobs."""


def param_file(
    _context: click.Context, _parameter: click.Parameter, file: Path | None
) -> dict[str, Any]:
    """The values that a file has for parameters."""
    from dioptra_worker.tools.resources.parameters import read_values

    if file is None:
        return {}
    try:
        return read_values(file)
    except OSError as error:
        raise click.BadParameter(
            f"{str(file)!r} cannot be read: {error.strerror}"
        ) from error
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


values_from_file = click.option(
    "--param-file",
    "file_values",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    callback=param_file,
    help="Values of parameters: a mapping in JSON, YAML or TOML, which -P goes before.",
)
"""The option of commands that give parameters values."""


def numbers(
    context: click.Context, parameter: click.Parameter, given: tuple[str, ...]
) -> dict[str, int]:
    """Names and ids of ``NAME=ID``."""
    found = pairs(context, parameter, given)
    for name, value in found.items():
        if not (value.isascii() and value.isdigit()):
            raise click.BadParameter(f"{name}={value!r}: the id of an artifact wanted.")
    return {name: int(value) for name, value in found.items()}
