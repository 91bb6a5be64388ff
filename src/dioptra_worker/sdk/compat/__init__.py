"""The names that plugins import, as a folder to put in front on ``sys.path``.

The folder holds a ``dioptra/`` tree of re-exports. It is not installed as a top-level
package, so that ``dioptra-platform`` may be in the same environment; what the tree does
not have falls through to it.
"""

from __future__ import annotations

from pathlib import Path


def path() -> Path:
    """Return the folder to put in front on ``sys.path``."""
    return Path(__file__).resolve().parent
