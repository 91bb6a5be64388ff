"""Threads share one arena of the C library's, where it has several."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, sys, threading
from dioptra_worker.common.processes.heap import use_one_arena

if sys.argv[1] == "one":
    assert use_one_arena()
libc = ctypes.CDLL(None)
together = threading.Barrier(8)

def work():
    together.wait()
    kept = [bytes(1000) for _ in range(100)]  # larger than what Python has itself
    together.wait()

threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc.fdopen.restype = ctypes.c_void_p
out = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, out)
libc.fflush(out)
"""


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_info"), reason="no GNU C library"
)
@pytest.mark.parametrize("how_many", ["one", "several"])
def test_arenas_of_threads(how_many: str) -> None:
    """Eight threads have one arena; left alone, the C library makes several."""
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM, how_many],
        capture_output=True,
        text=True,
        check=True,
    )
    arenas = answer.stdout.count("<heap nr=")
    assert (arenas == 1) == (how_many == "one"), answer.stdout
