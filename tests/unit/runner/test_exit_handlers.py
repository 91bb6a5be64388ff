"""What a job leaves to be done at its end is done, or given up in time."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

import pytest

pytestmark = pytest.mark.process

PROGRAM = """
import atexit, logging, os, signal, sys, tempfile, threading, time, weakref
from dioptra_worker.runner.exit_handlers import (
    forget_earlier_handlers,
    run_exit_handlers,
)

def too_late():
    print("too late", flush=True)
    os._exit(3)

def end(*, join_threads=True, timeout=30.0):
    run_exit_handlers(join_threads=join_threads, too_late=too_late, timeout=timeout)
    print("ended", flush=True)
    os._exit(0)
"""

ENDLESS = {
    "a handler": "atexit.register(time.sleep, 3600)",
    "a flush": """
        read, write = os.pipe()
        kept = open(write, "wb", buffering=1 << 22)
        kept.write(bytes(1 << 21))
    """,
}


def _run(body: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + dedent(body)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("kind", ENDLESS)
def test_what_hangs_is_given_up(kind: str) -> None:
    """The job ends from another thread."""
    told = _run(dedent(ENDLESS[kind]) + "\nend(timeout=0.2)")
    assert told[-1] == "too late"


def test_handlers_run_though_a_thread_does_not_end() -> None:
    """Threads are waited for until there is time left for the rest only."""
    told = _run("""
        logging.basicConfig(stream=sys.stdout, format="%(message)s")
        threading.Thread(target=time.sleep, args=[3600], name="late").start()
        atexit.register(print, "a handler")
        end(timeout=1.2)
        """)
    runs_on = "the thread 'late' runs on and ends with its job"
    assert told == [runs_on, "a handler", "ended"]


def test_a_stopped_job_waits_for_no_thread() -> None:
    """Its handlers run at once."""
    told = _run("""
        threading.Thread(target=time.sleep, args=[3600]).start()
        atexit.register(print, "a handler")
        end(join_threads=False)
        """)
    assert told == ["a handler", "ended"]


def test_what_the_fork_server_registered_is_left_out() -> None:
    """A library's folder, made before the fork, stays for later jobs."""
    told = _run("""
        class Thing: pass
        thing, other = Thing(), Thing()
        atexit.register(print, "an earlier handler")
        weakref.finalize(thing, print, "an earlier finalizer")
        forget_earlier_handlers()
        weakref.finalize(other, print, "a finalizer")
        end()
        """)
    assert told == ["a finalizer", "ended"]


def test_a_threads_own_join_may_raise() -> None:
    """What is left is done all the same."""
    told = _run("""
        class Odd(threading.Thread):
            def join(self, timeout=None):
                raise SystemExit(7)

        Odd(target=time.sleep, args=[3600]).start()
        atexit.register(print, "a handler")
        end()
        """)
    assert told == ["a handler", "ended"]
