"""Open files of a process that is forked, and what of them a fork may keep."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container

_SHOWN_AT = "/dev/fd"  # on Linux and macOS
STANDARD = 2
"""The highest of the standard descriptors: input, output, errors."""


def open_descriptors() -> set[int]:
    """The descriptors that this process has, but for the standard ones."""
    listed = map(int, os.listdir(_SHOWN_AT))  # noqa: PTH208 - only the names
    return {fd for fd in listed if fd > STANDARD and _is_open(fd)}


def close_all_but(kept: Container[int]) -> None:
    """Close what a fork has of its parent, but for some and the standard ones.

    Objects of the parent's still hold the numbers: in a fork that never returns to
    where they live, nothing closes them again when another file has the number.
    """
    for descriptor in open_descriptors():
        if descriptor not in kept:
            os.close(descriptor)


def _is_open(descriptor: int) -> bool:
    """Whether it is still open; the one that listed the others is not."""
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
