"""Tools of others that read RO-Crates, which the package does not need."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.plugins.cached import cached, pip

VERSIONS = ("runcrate==0.6.2", "rocrate==0.16.0")


def with_crate_tools(*arguments: str) -> str:
    """Call this interpreter where they are installed; what it prints."""
    tools = cached(
        VERSIONS[0], lambda folder: pip("install", f"--target={folder}", *VERSIONS)
    )
    environment = {**os.environ, "PYTHONPATH": str(tools)}
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
