"""A stop is raised again where it was swallowed, and not where it is heeded."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

import pytest

pytestmark = pytest.mark.process

PROGRAM = """
import asyncio, ctypes, os, signal, sys, threading, time
from dioptra_worker.runner import stop as module

module.RAISE_INTERVAL = 0.05
stop = module.StopSignal()
stop.install()
threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGTERM]).start()

def work():
{body}

try:
    work()
    stop.check()
except module.JobStopped:
    print("stopped")
"""

SWALLOWED = {
    "a callback of asyncio": """
        async def main():
            asyncio.get_running_loop().call_soon(time.sleep, 0.3)
            await asyncio.sleep(60)
        asyncio.run(main())
    """,
    "a task of asyncio": """
        async def busy():
            time.sleep(0.3)
        async def main():
            kept = asyncio.create_task(busy())
            await asyncio.sleep(60)
        asyncio.run(main())
    """,
    "except BaseException": """
        try:
            time.sleep(60)
        except BaseException:
            pass
        time.sleep(60)
    """,
    "a task that returns": """
        try:
            time.sleep(60)
        except BaseException:
            return
    """,
    "a callback of C": """
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
        def compare(a, b):
            time.sleep(0.3)
            return 0
        numbers = (ctypes.c_int * 2)()
        ctypes.CDLL(None).qsort(numbers, 2, 4, kind(compare))
        time.sleep(60)
    """,
}


def _run(body: str) -> str:
    indented = "\n".join("    " + line for line in dedent(body).splitlines())
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(body=indented)],
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    ).stdout


@pytest.mark.parametrize("way", SWALLOWED)
def test_a_stop_is_not_swallowed(way: str) -> None:
    """Whoever drops it has it raised again."""
    assert _run(SWALLOWED[way]).splitlines()[-1] == "stopped"


def test_tidying_up_is_not_interrupted() -> None:
    """A task that heeds the stop is not stopped again, nor by a second signal."""
    told = _run("""
        try:
            time.sleep(60)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.5)
            print("tidy")
    """)
    assert told.splitlines() == ["tidy", "stopped"]
