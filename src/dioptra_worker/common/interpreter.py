"""How Python is started for programs of our own."""

from __future__ import annotations

import sys


def python() -> list[str]:
    """The interpreter, as it finds modules where they are installed, and only there.

    Without ``-P`` the current folder would come first: that of a job, or wherever
    somebody starts the worker, with a `random.py` of their own.
    """
    return [sys.executable, "-P"]
