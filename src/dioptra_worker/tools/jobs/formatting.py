"""What the API tells, in words for people; pure, and so easy to test."""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING

from dioptra_worker.common.humanize import size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dioptra_worker.api.models import Artifact
    from dioptra_worker.api.user_client import MetricPoint

# Sequences that move the cursor, set colours, titles or links, and whatever else a
# terminal obeys (ECMA-48: CSI; OSC, DCS and their like up to their end; two letters).
_SEQUENCES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)"
    r"|\x1b[ -/]*[0-~]",
    re.DOTALL,
)
# The other control characters, and those that turn the direction of writing around.
_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)


def harmless(text: str) -> str:
    """Text that no terminal obeys: colours are gone, other controls are spelt out."""
    return _CONTROLS.sub(_spelt, _SEQUENCES.sub("", text))


def one_line(text: str) -> str:
    """Harmless text in one line, for a cell of a table."""
    return " ".join(harmless(text).split())


def _spelt(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def seconds(amount: float) -> str:
    """Write a duration: ``0.31 s``, ``12.0 s``, ``3 min 12 s``, ``2 h 5 min``."""
    if amount < 10:
        return f"{amount:.2f} s"
    if amount < 60:
        return f"{amount:.1f} s"
    minutes, rest = divmod(round(amount), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return roughly(amount)


def maybe(amount: float | None) -> str:
    """Write a duration that may be unknown."""
    return "-" if amount is None else seconds(amount)


def roughly(amount: float) -> str:
    """Write a long duration by its two largest units: ``5 s``, ``3 d 4 h``."""
    left = int(amount)
    parts: list[str] = []
    for unit, size_ in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size_)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
        if len(parts) == 2 or (parts and not count):
            break
    if len(parts) == 2 and parts[0].endswith("min"):  # seconds matter no more
        parts.pop()
    return " ".join(parts)


def extent(artifact: Artifact) -> str:
    """Say how large an artifact is, or why it has no size."""
    if artifact.is_deleted:
        return "deleted"
    if artifact.is_dir:
        return "folder"
    return "" if artifact.size is None else size(artifact.size)


def metrics(points: Sequence[MetricPoint]) -> list[tuple[str, str]]:
    """Write each metric's values, one after the other if there are several steps.

    Args:
        points: The values, sorted by name and step.
    """
    return [
        (name, _series([point.value for point in series]))
        for name, series in groupby(points, key=lambda point: point.name)
    ]


def _series(values: Sequence[float]) -> str:
    """Some numbers; of many the first, the last, and how many."""
    if len(values) > 8:
        return f"{values[0]:.4g} → … → {values[-1]:.4g} ({len(values)} values)"
    return " → ".join(f"{value:.4g}" for value in values)


def run_page(mlflow: str, run_id: str) -> str:
    """The address of a run's page; jobs log to the server's default experiment."""
    return f"{mlflow}/#/experiments/0/runs/{run_id}"
