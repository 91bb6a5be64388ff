"""Imports without a look for garbage among what they make, which stays."""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Look for no garbage meanwhile, and later not among what is there at the end.

    To look again and again is a tenth to a quarter of what imports take. Not once at
    the end, either: they leave little. What is frozen so is written to by no collection
    of a fork, for which the system would copy each of its pages.
    """
    looked_before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if looked_before:
            gc.enable()
