"""Where a stack's folder and the cache lie unless somebody says otherwise."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def default_directory() -> Path:
    """Return the folder of the user's stack, by the custom of the system."""
    if sys.platform == "darwin":
        return _home("Library/Application Support") / "local"
    return _home(".local/state", variable="XDG_STATE_HOME") / "local"


def default_cache() -> Path:
    """Return the folder of what can be made again, by the custom of the system."""
    if sys.platform == "darwin":
        return _home("Library/Caches")
    return _home(".cache", variable="XDG_CACHE_HOME")


def _home(default: str, *, variable: str = "") -> Path:
    # The XDG variables say where a home's folders are, as HOME does; they are not
    # settings of ours.
    base = os.environ.get(variable) if variable else None
    return (Path(base) if base else Path.home() / default) / "dioptra-worker"
