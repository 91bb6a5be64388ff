"""Whether two files hold equal values though their bytes differ: arrays and tables.

Known are JSON, CSV, TSV, and NumPy's ``.npy`` and ``.npz``, the latter where NumPy is
installed. Nothing is unpickled.
"""

from __future__ import annotations

import csv
import importlib
import io
import math
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from dioptra_worker.common.text import strict_json

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_VALUE_BYTES = 256 << 20
"""Of a file whose values are compared."""


class NotComparable(Exception):
    """Two files are of no kind whose values can be compared; the message says why."""


def has_values(name: str) -> bool:
    """Whether files of that name have values that can be compared."""
    return PurePosixPath(name).suffix.lower() in _READERS


def equal_values(
    name: str, first: bytes | None, second: bytes | None, *, tolerance: float
) -> bool:
    """Whether two files have equal values.

    Args:
        name: Their name, whose ending says what they are.
        first: What one holds; None if it is not there, or too large.
        second: What the other holds.
        tolerance: How far numbers may be apart, in themselves and in proportion.

    Raises:
        NotComparable: They are no arrays or tables, or not there.
    """
    read = _READERS.get(PurePosixPath(name).suffix.lower())
    if read is None or first is None or second is None:
        raise NotComparable(name)
    if max(len(first), len(second)) > MAX_VALUE_BYTES:
        raise NotComparable(f"{name} is too large")
    try:
        return _equal(read(first), read(second), tolerance)
    except Exception as error:  # anybody may have written what is read
        raise NotComparable(f"{name}: {error}") from error


def _equal(first: Any, second: Any, tolerance: float) -> bool:
    match first, second:
        case dict(), dict():
            return first.keys() == second.keys() and all(
                _equal(value, second[key], tolerance) for key, value in first.items()
            )
        case list(), list():
            return len(first) == len(second) and all(
                _equal(one, other, tolerance)
                for one, other in zip(first, second, strict=True)
            )
        case (bool(), _) | (_, bool()):
            return first is second
        case int() | float(), int() | float():
            both_nan = first != first and second != second
            return both_nan or math.isclose(
                first, second, rel_tol=tolerance, abs_tol=tolerance
            )
    if hasattr(first, "dtype") and hasattr(second, "dtype"):
        return _equal_arrays(first, second, tolerance)
    return bool(first == second)


def _equal_arrays(first: Any, second: Any, tolerance: float) -> bool:
    numpy = importlib.import_module("numpy")
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    if first.dtype.kind in "fc":
        return bool(
            numpy.allclose(
                first, second, rtol=tolerance, atol=tolerance, equal_nan=True
            )
        )
    return bool((first == second).all())


def _table(separator: str) -> Callable[[bytes], Any]:
    def read(data: bytes) -> Any:
        text = io.StringIO(data.decode("utf-8-sig"), newline="")
        return [
            [_cell(cell) for cell in row]
            for row in csv.reader(text, delimiter=separator)
        ]

    return read


def _cell(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def _arrays(data: bytes) -> Any:
    numpy = importlib.import_module("numpy")
    found = numpy.load(io.BytesIO(data), allow_pickle=False)
    if hasattr(found, "files"):
        return {name: found[name] for name in found.files}
    return found


_READERS: dict[str, Callable[[bytes], Any]] = {
    ".json": strict_json.loads,
    ".csv": _table(","),
    ".tsv": _table("\t"),
    ".npy": _arrays,
    ".npz": _arrays,
}
