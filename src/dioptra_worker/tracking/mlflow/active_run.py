"""The job's MLflow run is the active one in all of the job's threads and processes.

MLflow keeps the active run for each thread of a process by itself: ``mlflow.log_*`` in
another thread, or in a process that a task has started, would begin a run of its own
that nobody ends. Here each thread begins with the job's run instead, and so does a
child: one that is forked has what this module did to its parent's MLflow; one that is
started anew finds the run's id in ``MLFLOW_RUN_ID``, which MLflow itself reads, and
with the first plugin that it imports has this module, too.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import sys
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING, Any

from dioptra_worker.protocol.job_variables import JOB_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

VARIABLE = "MLFLOW_RUN_ID"
_FLUENT = "mlflow.tracking.fluent"
_NESTED_POSITION = 3
"""Where ``start_run`` takes *nested* if it is not given by its name."""


class _Job:
    """The run that this process's threads begin with.

    Attributes:
        run_id: Its id; None while there is none.
        run: MLflow's record of it, once it has been read.
    """

    run_id: str | None = None
    run: Any = None


_job = _Job()


def attach(run_id: str, run: Any = None) -> None:
    """Make a run the active one of each thread, and of the processes it starts.

    ``mlflow.start_run`` then begins a run below it, and ``mlflow.end_run`` ends no
    more than those: its end is the worker's. MLflow need not be imported yet.

    Args:
        run_id: The job's run.
        run: What MLflow knows of it; None reads it when it is needed.
    """
    _job.run_id, _job.run = run_id, run
    os.environ[VARIABLE] = run_id  # for those that are started
    prepare()


def prepare() -> None:
    """Change MLflow's functions, now or as soon as it is imported.

    What is changed does as always as long as there is no job's run, so that a fork
    server can do it once for all of its runners.
    """
    if (fluent := sys.modules.get(_FLUENT)) is not None:
        _patch(fluent)
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def attach_as_child() -> None:
    """Do the same in a process that a task has started; nothing elsewhere."""
    run_id = os.environ.get(VARIABLE)
    if _job.run_id is None and run_id and JOB_VARIABLE in os.environ:
        attach(run_id)


def end_all(status: str) -> set[str]:
    """End all runs that threads of this process have begun, and the job's.

    Args:
        status: MLflow's word for how they ended.

    Returns:
        The ids of the runs that were ended.
    """
    _job.run_id = _job.run = None
    os.environ.pop(VARIABLE, None)
    fluent = sys.modules.get(_FLUENT)
    ended: set[str] = set()
    if fluent is None:
        return ended
    while (active := fluent.active_run()) is not None:
        ended.add(active.info.run_id)
        fluent.end_run(status)
    # A thread's runs are in its own list, which only the thread itself takes from.
    for runs in fluent._active_run_stack.get_all_thread_values().values():  # noqa: SLF001
        for run_id in [run.info.run_id for run in reversed(runs)]:
            if run_id not in ended:
                ended.add(run_id)
                fluent.MlflowClient().set_terminated(run_id, status)
    return ended


def forget() -> None:
    """Take from this thread what it has begun, without a word to MLflow."""
    if (fluent := sys.modules.get(_FLUENT)) is not None:
        fluent._active_run_stack.get().clear()  # noqa: SLF001 - no other way


class _NoVariable:
    """``MLFLOW_RUN_ID`` as MLflow sees it here: it is for those that are started."""

    name = VARIABLE

    def get(self) -> None:
        """None: the first run that is begun is not the job's once more."""

    def unset(self) -> None:
        """Leave it as it is."""


class _Finder(MetaPathFinder):
    """Waits for MLflow to be imported."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - what a finder is given
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """What the other finders find, with our changes after it."""
        if fullname != _FLUENT:
            return None
        with contextlib.suppress(ValueError):  # two threads import it
            sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_patch(module: ModuleType) -> None:
            execute(module)
            _patch(module)

        spec.loader.exec_module = execute_and_patch  # type: ignore[method-assign]
        return spec


def _patch(fluent: ModuleType) -> None:
    """Change MLflow's functions; they do as always while there is no job's run."""
    if isinstance(fluent.MLFLOW_RUN_ID, _NoVariable):
        return
    fluent.MLFLOW_RUN_ID = _NoVariable()  # type: ignore[attr-defined]
    _lend_run(fluent)
    _replace_start(fluent)
    _replace_end(fluent)


def _lend_run(fluent: ModuleType) -> None:
    """Let each thread's list of active runs begin with the job's."""

    def first_runs() -> list[Any]:
        if _job.run_id is None:
            return []
        if _job.run is None:
            _job.run = fluent.MlflowClient().get_run(_job.run_id)
        return [fluent.ActiveRun(_job.run)]

    fluent._active_run_stack.default_factory = first_runs  # noqa: SLF001 - no other way


def _replace_start(fluent: ModuleType) -> None:
    start_run, stack = fluent.start_run, fluent._active_run_stack  # noqa: SLF001

    @functools.wraps(start_run)
    def start_run_below(*args: Any, **kwargs: Any) -> Any:
        runs = [run.info.run_id for run in stack.get()]
        if runs == [_job.run_id] and len(args) <= _NESTED_POSITION:
            kwargs.setdefault("nested", True)
        return start_run(*args, **kwargs)

    _replace(start_run, start_run_below)


def _replace_end(fluent: ModuleType) -> None:
    end_run, stack = fluent.end_run, fluent._active_run_stack  # noqa: SLF001

    @functools.wraps(end_run)
    def end_run_below(*args: Any, **kwargs: Any) -> None:
        runs = stack.get()
        if not runs or runs[-1].info.run_id != _job.run_id:
            end_run(*args, **kwargs)
        elif len(runs) > 1:  # it was begun once more, which ends here
            runs.pop()

    _replace(end_run, end_run_below)


def _replace(old: Callable[..., Any], new: Callable[..., Any]) -> None:
    """Put a function in another's place wherever MLflow has it by name already."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "mlflow" and (
            vars(module).get(old.__name__) is old
        ):
            setattr(module, old.__name__, new)
