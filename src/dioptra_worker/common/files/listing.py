"""List a folder's entries by how their names begin.

`Path.glob` would compile a pattern for each beginning, which takes longer than to look
at a hundred names, and Python keeps the last 512 of them: what is looked for by a
number that each job has anew would fill that.
"""

from __future__ import annotations

import os
from pathlib import Path


def beginning_with(folder: Path, start: str) -> list[Path]:
    """The entries whose names begin so, in any order.

    Args:
        folder: Where to look; one that is not there, or may not be read, has none.
        start: How they begin.

    Raises:
        OSError: If the folder cannot be read for another reason.
    """
    try:
        with os.scandir(folder) as entries:
            return [Path(it.path) for it in entries if it.name.startswith(start)]
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []
