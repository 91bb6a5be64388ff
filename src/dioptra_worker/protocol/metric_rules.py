"""Which metrics the REST API and MLflow behind it take; asked where they are made.

A metric that is refused later costs a job many seconds of its end, and nobody learns
which line of the plugin it came from.
"""

from __future__ import annotations

import math
import re
from typing import Any

MAX_METRIC_NAME = 250
"""Characters of a metric's name that MLflow keeps."""
MAX_STEP = 2**63 - 1
"""The largest step that the API's database can hold; the least is below zero."""

# The API's rule: a letter, or a letter or underscore with more of them or digits. It
# looks for the end with "$", before which a newline may stand.
_NAME = re.compile(r"(?:[A-Za-z]|[A-Za-z_][A-Za-z0-9_]+)\n?")
_SPECIAL = {"nan", "inf", "-inf"}


def name_problem(name: object) -> str | None:
    """What is wrong with a metric's name; None if nothing is."""
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        return (
            f"{_shown(name)} is no name for a metric: use letters, digits and"
            " underscores, and begin with a letter"
        )
    if len(name) > MAX_METRIC_NAME:
        return (
            f"{_shown(name)} is no name for a metric: use at most {MAX_METRIC_NAME}"
            f" characters, not {len(name)}"
        )
    return None


def wire_value(value: Any) -> float | str:
    """A value as JSON can carry it: NaN and infinities are words.

    Args:
        value: A number of whatever type a plugin has.

    Raises:
        ValueError: It is no number, or too large for one.
    """
    if type(value).__name__ == "NAType":  # pandas.NA, which cannot be made a float
        return "nan"
    try:
        number = float(value)
    except Exception:  # noqa: BLE001 - of user code
        raise ValueError(
            f"{_shown(value)} is no value for a metric: give a real number that a"
            " float can hold"
        ) from None
    return number if math.isfinite(number) else str(number)


def value_problem(value: float | str) -> str | None:
    """What is wrong with a value as `wire_value` gives it; None if nothing is."""
    if isinstance(value, str) and value not in _SPECIAL:
        return f"{_shown(value)} is no value for a metric"
    return None


def wire_step(step: Any) -> int | None:
    """A step as the API takes it.

    Raises:
        ValueError: It is no integer, or too large for the API.
    """
    if step is None:
        return None
    try:
        number = int(step)
    except Exception:  # noqa: BLE001 - of user code
        raise ValueError(f"{_shown(step)} is no integer") from None
    if not -MAX_STEP - 1 <= number <= MAX_STEP:
        raise ValueError(
            f"{_shown(step)} is no step of a metric: it must fit into 64 bits, so be"
            f" {MAX_STEP} at most"
        )
    return number


def _shown(value: object) -> str:
    try:
        return f"{value!r:.80}"
    except Exception:  # noqa: BLE001 - a __repr__ of user code, or digits without end
        return f"a {type(value).__name__}"
