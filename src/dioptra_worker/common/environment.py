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


def set_defaults(variables: Mapping[str, str]) -> None:
    """Set the environment variables that are not set, where jobs' libraries are used.

    To these, some that are empty mean what nobody meant; see `certificates`.
    """
    for name in certificates.emptied(os.environ):
        del os.environ[name]
    for name, value in variables.items():
        os.environ.setdefault(name, value)
