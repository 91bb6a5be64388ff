"""Small helpers that older plugins import from ``dioptra.sdk.utilities``."""

from __future__ import annotations

import contextlib
import functools
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from dioptra_worker.sdk.exceptions import BaseOptionalDependencyError

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

set_cwd = contextlib.chdir


def require_package(
    name: str,
    exc_message: str | None = None,
    exc_type: type[BaseOptionalDependencyError] = BaseOptionalDependencyError,
) -> Callable[[F], F]:
    """Let a function fail with a sentence when a package is not installed.

    Args:
        name: The module to import before each call.
        exc_message: The sentence; by default it names the package and the function.
        exc_type: The error to raise.
    """

    def decorate(func: F) -> F:
        @functools.wraps(func)
        def checked(*args: Any, **kwargs: Any) -> Any:
            try:
                importlib.import_module(name)
            except ModuleNotFoundError as error:
                raise exc_type(
                    exc_message
                    or f"{func.__name__}() needs the package {name!r}: install it in "
                    "the environment of this worker"
                ) from error
            return func(*args, **kwargs)

        return cast("F", checked)

    return decorate


def set_path_ext(filepath: str | Path, ext: str) -> Path:
    """Replace every suffix of a file name: ``a/b.tar.gz`` with ``zip`` is ``a/b.zip``.

    Args:
        filepath: The path.
        ext: The new suffix, with or without its dot.
    """
    path = Path(filepath)
    stem = path.name.removesuffix("".join(path.suffixes))
    return path.with_name(f"{stem}.{ext.lstrip('.')}")
