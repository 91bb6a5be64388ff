"""How Python is started for programs of our own, and whether the worker can use it."""

from __future__ import annotations

import site
import sys
from importlib.util import find_spec
from pathlib import Path


def python() -> list[str]:
    """The interpreter, as it finds modules where they are installed, and only there.

    Without ``-P`` the current folder would come first: that of a job, or wherever
    somebody starts the worker, with a `random.py` of their own. Without ``-s`` it would
    also look in the user's home, where jobs can leave code that each Python runs
    (`usercustomize`, ``.pth`` files).
    """
    return [sys.executable, "-P", *([] if _is_in_home() else ["-s"])]


def user_base() -> dict[str, str]:
    """What programs of ours need in their environment to find us in another home."""
    return {"PYTHONUSERBASE": site.getuserbase()} if _is_in_home() else {}


def _is_in_home() -> bool:
    """Whether we ourselves were installed there, by ``pip install --user``."""
    if not site.ENABLE_USER_SITE:
        return False
    return Path(__file__).is_relative_to(site.getusersitepackages())


def what_python_lacks() -> tuple[str, str] | None:
    """What is wrong with this Python, and the way out; None when nothing is.

    SQLite keeps the journal of what a job produced. Python is built without it where
    its development files are not installed.
    """
    if find_spec("_sqlite3") is not None:
        return None
    return (
        f"Python at {sys.executable} was built without sqlite3",
        "use another Python, or build it again where SQLite's development files are",
    )
