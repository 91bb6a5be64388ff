"""Small pieces of the sentences that people read."""

from __future__ import annotations

import difflib
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

_MAX_QUOTED = 60
"""Characters of a value that an author wrote."""
_MAX_ERROR = 2000
"""Characters of what an error says."""
_MAX_TYPE_NAME = 200
_MAX_NAMES = 12


def listing(names: Sequence[object], word: str = "and") -> str:
    """Quote names and join them: ``'a', 'b' and 'c'``; long lists are cut."""
    shown = [repr(name) for name in names[:_MAX_NAMES]]
    if len(names) > _MAX_NAMES:
        shown.append(f"{len(names) - _MAX_NAMES} more")
    if len(shown) < 2:
        return "".join(shown)
    return f"{', '.join(shown[:-1])} {word} {shown[-1]}"


def near(name: object, known: Iterable[str]) -> str | None:
    """Find the known name that was probably meant."""
    found = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def suggestion(name: object, known: Iterable[str], nothing: str = "") -> str:
    """Say what was probably meant, or what there is; begins with a space.

    Args:
        name: What the author wrote.
        known: The names that would have been right.
        nothing: The whole hint when there are none.
    """
    names = list(known)
    meant = near(name, names)
    if meant is not None:
        return f" Did you mean {meant!r}?"
    if names:
        return f" There is {listing(names)}."
    return f" {nothing}" if nothing else ""


def quote(value: Any) -> str:
    """Quote what the author wrote, shortened when it is long."""
    text = repr(value)
    return text if len(text) <= _MAX_QUOTED else f"{text[: _MAX_QUOTED - 3]}..."


def format_exception(error: BaseException) -> str:
    """Name an error and what it says, shortened when it is long.

    User code may have raised anything: a whole book, what refuses to be shown, or what
    says nothing, as a bare ``assert``: of that, where it was raised is told.
    """
    name, text = type_name(error), safe_str(error)
    if text.strip():
        return f"{name}: {text}"
    place = traceback_of(error)
    if place is None:
        return name
    while place.tb_next is not None:
        place = place.tb_next
    code = place.tb_frame.f_code
    file = PurePath(code.co_filename).name
    return f"{name} without a word, in line {place.tb_lineno} of {file}, {code.co_name}"


def traceback_of(error: BaseException) -> TracebackType | None:
    """Where an error was raised, past what user code's class says."""
    found: TracebackType | None = BaseException.__dict__["__traceback__"].__get__(error)
    return found


def safe_str(value: object, show: Callable[[Any], str] = str) -> str:
    """What user code's value says of itself, shortened when it is long.

    Whatever its methods raise stays here; a stop that comes meanwhile comes again.
    """
    try:
        text = str.__str__(show(value))  # not of a class of user code's
    except BaseException:  # noqa: BLE001 - user code raises SystemExit, too
        return f"(a {type_name(value)} that cannot be shown)"
    cut = len(text) > _MAX_ERROR
    return f"{text[:_MAX_ERROR]}..." if cut else text


def type_name(value: object) -> str:
    """The name of a value's class, past what a metaclass of user code calls it."""
    name = str(type.__dict__["__name__"].__get__(type(value)))
    return name if len(name) <= _MAX_TYPE_NAME else f"{name[:_MAX_TYPE_NAME]}..."


def count(number: int, noun: str) -> str:
    """Write a number with its noun: ``1 output``, ``no outputs``, ``3 outputs``."""
    if number == 1:
        return f"1 {noun}"
    return f"{number or 'no'} {noun}s"


def kind(value: Any) -> str:
    """Name the kind of a value in YAML's words."""
    if value is None:
        return "nothing"
    names: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (bool, "a boolean"),
        (int, "an integer"),
        (float, "a number"),
        (str, "a string"),
        (dict, "a mapping"),
        (list, "a list"),
    )
    for types, name in names:
        if isinstance(value, types):
            return name
    return f"a {type(value).__name__}"
