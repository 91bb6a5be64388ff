"""A process that a task forks does not go on as the job, and does not end it.

Attack: `os.fork()` whose child returns from the task, raises out of it, or calls
`sys.exit`; children that all write long lines at once, stand still or close what is not
theirs; children that are terminated.
Promise: the job's end is its own process's, nothing that children say is lost, what
they ask is answered, and they die of signals as programs do.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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


def test_a_forked_child_ends_as_a_program_does(
    run_task: Callable[[str], Ran], tmp_path: Path
) -> None:
    """Its threads, handlers and files are done with, and none that its parent made."""
    ran = run_task(f"""
        import atexit, threading
        FOLDER = {str(tmp_path)!r}
        PARENTS = open(FOLDER + "/parents.txt", "w")

        def late():
            time.sleep(0.3)
            print("a thread of the child's ended")

        @pyplugs.register
        def act():
            PARENTS.write("once")
            atexit.register(lambda: print("the parent's handler in", os.getpid()))
            pid = os.fork()
            if not pid:
                atexit.register(print, "the child's handler")
                globals()["kept"] = open(FOLDER + "/kept.txt", "w")
                kept.write("kept")
                threading.Thread(target=late).start()
                return "child"
            print("the child ended with", os.waitpid(pid, 0)[1])
        """)
    assert ran.status == "finished"
    assert "the child ended with 0" in ran.text
    assert "a thread of the child's ended" in ran.text
    assert ran.text.count("the child's handler") >= 1
    assert len(set(re.findall(r"the parent's handler in (\d+)", ran.text))) == 1
    assert (tmp_path / "parents.txt").read_text() == "once"
    assert (tmp_path / "kept.txt").read_text() == "kept"


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


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_long_lines_of_children_come_whole(
    method: str, run_task: Callable[[str], Ran]
) -> None:
    """Three children write long lines while the task does: each comes as it was."""
    ran = run_task(
        """
        def chatter(number):
            logging.getLogger("of a child").info("record of child %d", number)
            for line in range(20):
                print(f"child {number} line {line} " + "x" * 200_000 + " end")

        @pyplugs.register
        def act():
            context = multiprocessing.get_context("METHOD")
            children = [context.Process(target=chatter, args=[n]) for n in range(3)]
            for child in children:
                child.start()
            for step in range(200):
                print("parent line", step, "end")
            for child in children:
                child.join()
        """.replace("METHOD", method)
    )
    assert ran.status == "finished"
    for number in range(3):
        assert f"record of child {number}" in ran.text
        for line in range(20):
            assert f"child {number} line {line} xxx" in ran.text
    assert ran.text.count("x" * 200_000 + " end") == 60
    for step in range(200):
        assert f"parent line {step} end" in ran.text
    assert '{"is":' not in ran.text.replace('\\"', '"')


def test_children_ask_the_worker_and_are_answered(
    run_task: Callable[[str], Ran], tmp_path: Path
) -> None:
    """Forked, spawned and started anew: each has its answer, and its metric arrives."""
    ran = run_task("""
        import structlog
        from dioptra.sdk.utilities.auth_client import get_authenticated_worker_client

        PROGRAM = "import odd.tasks; odd.tasks.ask('program')"

        def ask(name):
            client = get_authenticated_worker_client(structlog.get_logger(), "json")
            client.jobs.append_metric_by_id(
                job_id=os.environ["__JOB_ID"], metric_name=name, metric_value=1
            )
            try:
                client.jobs.get_by_id(1)
            except Exception as error:
                print(name, "has its answer:", error)

        @pyplugs.register
        def act():
            for method in ("fork", "spawn", "forkserver"):
                context = multiprocessing.get_context(method)
                child = context.Process(target=ask, args=[method])
                child.start()
                child.join(60)
            if not os.fork():  # closes what it knows nothing of
                os.closerange(3, 4096)
                ask("daemon")
                os._exit(0)
            os.wait()
            path = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
            subprocess.run([sys.executable, "-c", PROGRAM], check=True, env=path)
        """)
    assert ran.status == "finished", ran.text
    names = {"fork", "spawn", "forkserver", "daemon", "program"}
    for name in names:
        assert f"{name} has its answer: the worker has no API session" in ran.text
    assert set(ran.metrics) == names
    assert {file.name for file in tmp_path.rglob("metrics/*")} == names


def test_a_child_that_stands_still_holds_nobody_up(
    run_task: Callable[[str], Ran],
) -> None:
    """Stopped in the midst of a line, a child costs its own line only."""
    ran = run_task("""
        def chatter():
            while True:
                print("x" * 500_000)

        @pyplugs.register
        def act():
            child = multiprocessing.get_context("fork").Process(target=chatter)
            child.start()
            time.sleep(0.1)
            os.kill(child.pid, signal.SIGSTOP)
            for line in range(200):
                print("parent line", line, "x" * 1000)
            child.kill()
            child.join()
            print("over")
        """)
    assert ran.status == "finished"
    assert "parent line 199" in ran.text
    assert "over" in ran.text
