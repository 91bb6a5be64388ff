"""Environment variables that are set for a while, or where nobody has set them.

Libraries such as MLflow, and plugins by the platform's contract, can be told some
things by their environment only. Settings of ours are read in `settings`.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from dioptra_worker import certificates

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@contextlib.contextmanager
def environment_variables(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables; afterwards they are what they were before."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def environment_as_it_was(then: Mapping[str, str]) -> Iterator[None]:
    """Have the environment as it was; afterwards it is again as it is now.

    For what is ours to do with the operator's variables, after a task has changed them
    for purposes of its own. Its threads see ours meanwhile: where a task has changed
    nothing, which is nearly always, nothing is touched.

    Args:
        then: A copy of ``os.environ`` from before the task.
    """
    now = dict(os.environ)
    if now == dict(then):
        yield
        return
    _replace(now, then)
    try:
        yield
    finally:
        _replace(then, now)


def _replace(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Change what differs, and nothing else: no variable is gone for a moment."""
    for name in before.keys() - after.keys():
        os.environ.pop(name, None)
    for name, value in after.items():
        if before.get(name) != value:
            os.environ[name] = value


def set_defaults(variables: Mapping[str, str]) -> None:
    """Set the environment variables that are not set, where jobs' libraries are used.

    To these, some that are empty mean what nobody meant; see `certificates`.
    """
    for name in certificates.emptied(os.environ):
        del os.environ[name]
    for name, value in variables.items():
        os.environ.setdefault(name, value)
