"""Runs programs without any network, where that can be had."""

from __future__ import annotations

import functools
import shutil
import subprocess


@functools.cache
def cut_off() -> tuple[str, ...]:
    """What a command begins with that is to have no network; nothing where it cannot.

    A network of its own has only a loopback interface, which is down: no service can be
    reached, on this machine or beyond.
    """
    program = shutil.which("unshare")
    if program is None:
        return ()
    tried = subprocess.run([program, "-n", "true"], capture_output=True, check=False)
    return () if tried.returncode else (program, "-n")
