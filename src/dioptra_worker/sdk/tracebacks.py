"""Tracebacks for plugin authors: their lines first, our machinery left out."""

from __future__ import annotations

import importlib
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dioptra_worker.engine.wording import format_exception, traceback_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# As Python names our files in tracebacks, where a link led to them, too.
_PACKAGE: Final = Path(__file__).parents[1]
# What calls a plugin. The client (sdk/client) stays: how a plugin called it matters.
_OURS: Final = tuple(
    f"{_PACKAGE / part}" for part in ("engine/", "runner/", "sdk/pyplugs.py")
)
MAX_TRACEBACK: Final = 1 << 18
"""Characters of a traceback; user code can raise whole books."""
_MACHINERY: Final = ("<frozen importlib", str(importlib.__file__))


def plugin_traceback(exc: BaseException, bundle_dirs: Iterable[Path | str]) -> str:
    """Format an exception for the author of a plugin.

    It begins with the error and the plugin's line that led to it. The traceback follows
    without the frames of the engine, the runner and the import system; files of the
    bundles are named relative to them. Causes and contexts are kept. An exception that
    cannot be shown, as its attributes raise others, is told in one line.

    Args:
        exc: The exception, with its traceback.
        bundle_dirs: The directories whose files are plugins.
    """
    folders = [Path(folder).resolve() for folder in bundle_dirs]
    try:
        return _format(exc, folders)
    except BaseException:  # noqa: BLE001 - user code raises SystemExit, too
        return _without_its_words(exc, folders)


def _without_its_words(exc: BaseException, folders: list[Path]) -> str:
    """Where an exception was raised, when it cannot be asked for more."""
    lines = [format_exception(exc)]
    found = _last_frame(exc, folders)
    if found is not None:
        file, line, function = found
        lines.append(f"raised at line {line} of plugin file {file!r}, in {function}")
    lines.append("its traceback cannot be shown: the exception's own attributes raise")
    return "\n".join([*lines, ""])


def _shortened(text: str, limit: int) -> str:
    """The beginning and the end of what is longer than anybody reads."""
    left_out = len(text) - limit
    if left_out <= 0:
        return text
    half = limit // 2
    return f"{text[:half]}\n... ({left_out:,} characters)\n{text[-half:]}"


def _format(exc: BaseException, folders: list[Path]) -> str:
    formatted = traceback.TracebackException.from_exception(exc)
    owned = [_rewrite(part, folders) for part in _chain(formatted)]
    own = next((frame for frame in owned if frame is not None), None)
    head = _shortened("".join(formatted.format_exception_only()), MAX_TRACEBACK // 4)
    if own is not None:
        head += (
            f"raised at line {own.lineno} of plugin file {own.filename!r}, "
            f"in {own.name}:\n    {own.line}\n"
        )
    whole = _shortened("".join(formatted.format()), MAX_TRACEBACK // 2)
    return f"{head}\n{whole}"


def plugin_frame(
    exc: BaseException, bundle_dirs: Iterable[Path | str]
) -> tuple[str, int] | None:
    """Return the file, relative to its bundle, and the line that led to an error.

    Args:
        exc: The exception, with its traceback.
        bundle_dirs: The directories whose files are plugins.
    """
    found = _last_frame(exc, [Path(folder).resolve() for folder in bundle_dirs])
    return None if found is None else found[:2]


def _last_frame(exc: BaseException, folders: list[Path]) -> tuple[str, int, str] | None:
    """The innermost line of a plugin: its file, its number and its function."""
    found = None
    for frame, line in traceback.walk_tb(traceback_of(exc)):
        relative = relative_to_any(frame.f_code.co_filename, folders)
        if relative is not None:
            found = (relative, line, frame.f_code.co_name)
    return found


def _rewrite(
    part: traceback.TracebackException, folders: list[Path]
) -> traceback.FrameSummary | None:
    """Filter and rename the frames of one exception; return the plugin's last."""
    own = None
    kept: list[traceback.FrameSummary] = []
    for frame in part.stack:
        relative = relative_to_any(frame.filename, folders)
        if relative is not None:
            frame.filename = relative
            own = frame
        elif frame.filename.startswith((*_OURS, *_MACHINERY)):
            continue
        kept.append(frame)
    if kept:  # an error of our own alone keeps its frames
        part.stack[:] = kept
    return own


def _chain(
    part: traceback.TracebackException,
) -> Iterator[traceback.TracebackException]:
    seen: set[int] = set()
    waiting: list[traceback.TracebackException | None] = [part]
    while waiting:
        current = waiting.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        waiting += [current.__cause__, current.__context__]
        waiting += getattr(current, "exceptions", None) or []


def relative_to_any(filename: str, folders: Iterable[Path]) -> str | None:
    """Return a file relative to the first of some resolved folders that holds it."""
    for folder in folders:
        if filename.startswith(f"{folder}/"):
            return filename[len(str(folder)) + 1 :]
    path = Path(filename)
    if not path.is_absolute():
        return None
    resolved = path.resolve()
    for folder in folders:
        if resolved.is_relative_to(folder):
            return str(resolved.relative_to(folder))
    return None
