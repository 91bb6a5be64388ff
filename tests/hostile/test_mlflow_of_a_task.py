"""What a task logs to MLflow is in the job's run, whoever of the task's logs it.

Attack: `mlflow.log_*` in threads, and in children that are forked, spawned or programs
of their own; `mlflow.start_run` and `mlflow.end_run` as in a notebook. Promise: what is
logged is in the job's run, or in one that was begun below it; no run is left running;
and the job's own is ended by the worker alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.hostile.conftest import Ran

RUNNING = "status: 1"
"""As in a run's file ``meta.yaml``."""


def _runs(folder: Path) -> list[Path]:
    """The records of all runs below a folder, of MLflow's layout."""
    return [
        file
        for file in folder.rglob("meta.yaml")
        if "status:" in file.read_text("utf-8")
    ]


def test_children_and_threads_log_to_the_jobs_run(
    run_task: Callable[[str], Ran], tmp_path: Path
) -> None:
    """Threads, forks, spawned processes and programs: all metrics are in one run."""
    ran = run_task("""
        import threading
        from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
        import mlflow

        PROGRAM = "import mlflow; mlflow.log_metric('program', 1)"

        def note(name):
            mlflow.log_metric(name, 1)
            mlflow.log_param("p_" + name, name)
            with ThreadPoolExecutor(2) as pool:  # a thread of a child's
                list(pool.map(lambda n: mlflow.log_metric(f"{name}_{n}", n), (1, 2)))
            return mlflow.active_run().info.run_id

        @pyplugs.register
        def act():
            seen = {mlflow.active_run().info.run_id}
            with ThreadPoolExecutor(2) as pool:
                seen |= set(pool.map(note, ["thread_a", "thread_b"]))
            for method in ("fork", "spawn"):
                context = multiprocessing.get_context(method)
                with ProcessPoolExecutor(1, mp_context=context) as pool:
                    seen |= set(pool.map(note, [method]))
            subprocess.run([sys.executable, "-c", PROGRAM], check=True)
            mlflow.log_metric("task", 1)
            print(f"{len(seen)} run in all")
        """)
    assert ran.status == "finished"
    assert "1 run in all" in ran.text
    ones = {"thread_a", "thread_b", "fork", "spawn"}
    nested = {f"{name}_{number}" for name in ones for number in (1, 2)}
    assert set(ran.metrics) == {"task", "program", *ones, *nested}
    (record,) = _runs(tmp_path)
    assert RUNNING not in record.read_text()


def test_runs_of_a_task_are_below_the_jobs(
    run_task: Callable[[str], Ran], tmp_path: Path
) -> None:
    """Runs that a task begins are ended; what it logs after them is the job's."""
    ran = run_task("""
        import threading
        import mlflow

        def begin(name):
            mlflow.start_run(run_name=name)  # and never ended
            mlflow.log_metric("inner", 1)

        @pyplugs.register
        def act():
            mlflow.end_run()
            with mlflow.start_run(run_name="fold"):
                mlflow.log_metric("inner", 1)
                with mlflow.start_run(nested=True):
                    mlflow.log_metric("innermost", 1)
            with mlflow.start_run(run_id=mlflow.active_run().info.run_id):
                mlflow.log_metric("again", 1)
            thread = threading.Thread(target=begin, args=["in a thread"])
            thread.start()
            thread.join()
            mlflow.log_metric("outer", 1)
            mlflow.end_run("KILLED")
            mlflow.log_metric("last", 1)
            begin("left open")
        """)
    assert ran.status == "finished"
    assert set(ran.metrics) == {"again", "outer", "last"}
    records = [record.read_text() for record in _runs(tmp_path)]
    assert len(records) == 5
    assert not [record for record in records if RUNNING in record]
