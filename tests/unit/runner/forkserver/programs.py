"""Programs in an interpreter of their own: what they import stays there."""

from __future__ import annotations

import subprocess
import sys


def printed(program: str, *arguments: object) -> str:
    """What a program prints that ends well."""
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
        timeout=110,
    )
    return done.stdout
