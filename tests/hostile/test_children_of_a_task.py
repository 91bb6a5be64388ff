"""A process that a task forks does not go on as the job, and does not end it.

Attack: `os.fork()` whose child returns from the task, raises out of it, or calls
`sys.exit`; children that all write long lines at once; children that are terminated.
Promise: the job's end is its own process's, nothing that children say is lost, and they
die of signals as programs do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.hostile.conftest import Ran


@pytest.mark.parametrize(
    "child", ["return 'child'", "sys.exit(0)", "raise KeyError('child')", "1 / 0"]
)
def test_a_forked_child_that_leaves_the_task_is_not_the_job(
    child: str, run_task: Callable[[str], Ran]
) -> None:
    """The parent's failure is the job's, however its child left the task before it."""
    ran = run_task(f"""
        @pyplugs.register
        def act():
            pid = os.fork()
            if not pid:
                {child}
            os.waitpid(pid, 0)
            raise ValueError("the parent found the data wrong")
        """)
    assert ran.status == "failed"
    assert "the parent found the data wrong" in ran.text


def test_a_healthy_parent_finishes(run_task: Callable[[str], Ran]) -> None:
    """A child that calls `sys.exit(3)` or raises has that end, and the job its own."""
    ran = run_task("""
        @pyplugs.register
        def act():
            ends = []
            for number in range(2):
                pid = os.fork()
                if not pid:
                    if number:
                        raise ValueError("only a child")
                    sys.exit(3)
                ends.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            print("children ended with", ends)
        """)
    assert ran.status == "finished"
    assert "children ended with [3, 1]" in ran.text
    assert "only a child" in ran.text


def test_children_die_of_signals_as_programs_do(run_task: Callable[[str], Ran]) -> None:
    """Whoever terminates or interrupts a child sees that signal, and no traceback."""
    ran = run_task("""
        def wait():
            time.sleep(60)

        @pyplugs.register
        def act():
            child = multiprocessing.get_context("fork").Process(target=wait)
            child.start()
            child.terminate()
            child.join()
            print("terminated:", child.exitcode)
            program = subprocess.Popen(["sleep", "60"])
            program.send_signal(signal.SIGINT)
            print("interrupted:", program.wait())
        """)
    assert ran.status == "finished"
    assert "terminated: -15" in ran.text
    assert "interrupted: -2" in ran.text
    assert "JobStopped" not in ran.text


def test_long_lines_of_children_come_whole(run_task: Callable[[str], Ran]) -> None:
    """Three children write long lines while the task does: each comes as it was."""
    ran = run_task("""
        def chatter(number):
            for line in range(20):
                print(f"child {number} line {line} " + "x" * 200_000 + " end")

        @pyplugs.register
        def act():
            fork = multiprocessing.get_context("fork")
            children = [fork.Process(target=chatter, args=[n]) for n in range(3)]
            for child in children:
                child.start()
            for step in range(200):
                print("parent line", step, "end")
            for child in children:
                child.join()
        """)
    assert ran.status == "finished"
    for number in range(3):
        for line in range(20):
            assert f"child {number} line {line} xxx" in ran.text
    assert ran.text.count("x" * 200_000 + " end") == 60
    for step in range(200):
        assert f"parent line {step} end" in ran.text
    assert '{"is":' not in ran.text.replace('\\"', '"')


def test_a_child_cannot_ask_for_ever(run_task: Callable[[str], Ran]) -> None:
    """A forked child that asks the worker is told that it cannot, and does not hang."""
    ran = run_task("""
        import structlog
        from dioptra.sdk.utilities.auth_client import get_authenticated_worker_client

        def ask():
            get_authenticated_worker_client(structlog.get_logger(), "json")

        @pyplugs.register
        def act():
            child = multiprocessing.get_context("fork").Process(target=ask)
            child.start()
            child.join(30)
            print("the child ended with", child.exitcode)
        """)
    assert ran.status == "finished"
    assert "the child ended with None" not in ran.text
