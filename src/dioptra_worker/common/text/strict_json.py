"""Reads JSON that nobody vouches for.

What is no JSON, or would harm who reads it, is one kind of error, and nothing is built
that takes far more memory than its text.
"""

from __future__ import annotations

import json
from typing import Any

MAX_DEPTH = 100
"""Levels; no honest answer has a tenth of it, and whoever walks it needs a stack."""
MAX_VALUES = 5_000_000
"""Lists, objects and members, each of which takes up to 64 bytes of memory."""


class NotJson(ValueError):
    """It is no JSON, or none that an honest service sends; the message says why."""


def loads(data: bytes) -> Any:
    """Read JSON.

    ``NaN`` and infinities are read, which Python's services send. Text may hold lone
    surrogates, which JSON can write and UTF-8 cannot.

    Args:
        data: The text in UTF-8.

    Raises:
        NotJson: It is none, is nested too deeply, has too many parts, or an object
            with two members of a name.
    """
    openings = data.count(b"[") + data.count(b"{")
    if openings + data.count(b",") > MAX_VALUES:
        raise NotJson(f"it may have more than {MAX_VALUES:,} values")
    try:
        text = data.decode("utf-8-sig")
        found = json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise NotJson("it is nested too deeply") from None
    except ValueError as error:  # also bytes that are no UTF-8, and endless numbers
        raise NotJson(str(error)[:200]) from None
    if openings > MAX_DEPTH:
        _check_depth(found)
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; of two members of a name, one reader takes the first, one the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise NotJson(f"it has two members {name[:80]!r} in one object")
            seen.add(name)
    return found


def _check_depth(found: Any) -> None:
    level = [found]
    for _ in range(MAX_DEPTH + 1):
        inner: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                inner += [it for it in each.values() if isinstance(it, dict | list)]
            elif isinstance(each, list):
                inner += [it for it in each if isinstance(it, dict | list)]
        if not inner:
            return
        level = inner
    raise NotJson(f"it is nested more than {MAX_DEPTH} levels deep")
