"""Reads YAML that people write beside a task graph: values, settings, Compose files."""

from __future__ import annotations

from typing import IO, Any

import yaml


class NotYaml(ValueError):
    """It cannot be read; the message is the parser's."""


def load(source: str | bytes | IO[Any]) -> Any:
    """Read a document without tags of anybody's own.

    Args:
        source: The text, or a file that has it.

    Raises:
        NotYaml: It is none, or has a value that is not what its tag says.
    """
    try:
        return yaml.safe_load(source)
    except (yaml.YAMLError, RecursionError, UnicodeDecodeError) as error:
        raise NotYaml(str(error)) from error
    except (ValueError, LookupError, AttributeError, TypeError) as error:
        # PyYAML's own constructors: `!!bool abc`, the 45th of a month.
        raise NotYaml(f"a value is not of its type: {error}") from error
