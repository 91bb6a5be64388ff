"""Runs one job's plan: inputs read, steps called in order, outputs stored."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dioptra_worker import engine
from dioptra_worker.common.text.humanize import first_line
from dioptra_worker.engine.wording import format_exception, safe_str
from dioptra_worker.errors import ServiceError, WorkerError
from dioptra_worker.protocol.messages import (
    ArtifactStored,
    ArtifactTask,
    InputArtifact,
    OutputFile,
    Plan,
    RunnerMessage,
    StepEnded,
    StepStarted,
)
from dioptra_worker.protocol.run_rules import artifact_name_problem
from dioptra_worker.provenance.manifest import artifact_folder
from dioptra_worker.runner.exit_handlers import end_children_here
from dioptra_worker.runner.plugins.bundle import Bundle
from dioptra_worker.runner.run_description import Describe, describing_run
from dioptra_worker.sdk.tracebacks import plugin_traceback
from dioptra_worker.tracking.upload_digests import UploadDigests

if TYPE_CHECKING:
    from dioptra_worker.tracking.artifact_store import Store

log = logging.getLogger("dioptra_worker.job")

Send = Callable[[RunnerMessage], None]


class JobFailed(WorkerError):
    """The job failed and its log says why; the message is the reason."""


def run_job(
    plan: Plan,
    *,
    run_id: str,
    store: Store,
    describe: Describe,
    send: Send,
    check: Callable[[], None] = lambda: None,
    returned: Callable[[str, Mapping[str, Any]], None] | None = None,
) -> None:
    """Run a job to its end.

    Args:
        plan: What to run; its folders are in place.
        run_id: The job's MLflow run.
        store: Where the run's artifacts go.
        describe: Gives the run its name and parameters.
        send: Tells the daemon about steps and artifacts.
        check: Called after each step; raises where the job is to end there.
        returned: Is given each step's outputs by their names.

    Raises:
        JobFailed: When the graph, a plugin or a store failed; the log has the details,
            and its context is the error.
    """
    bundles = _Bundles(plan, check)
    try:
        with describing_run(plan, run_id=run_id, store=store, describe=describe):
            _run(bundles, plan, store=store, send=send, returned=returned)
    except engine.InvalidGraph as error:
        for issue in error.issues:
            if issue.severity is engine.Severity.ERROR:
                log.error("the task graph cannot be run: %s", issue)
        raise JobFailed(f"the task graph cannot be run: {error}") from None
    except ServiceError as error:
        log.error("%s", error)
        raise JobFailed(str(error)) from None
    except (engine.EngineError, WorkerError) as error:
        log.error("%s", _with_traceback(error, bundles.folders))
        raise JobFailed(str(error)) from None


def _run(
    bundles: _Bundles,
    plan: Plan,
    *,
    store: Store,
    send: Send,
    returned: Callable[[str, Mapping[str, Any]], None] | None,
) -> None:
    graph = bundles.compile()
    for warning in graph.warnings:
        log.warning("%s", warning)
    engine.run(
        graph,
        parameters=plan.parameters,
        # No name holds them here, so that each can go when nobody needs it more.
        artifacts={item.name: bundles.read(item, graph) for item in plan.inputs},
        call=bundles.call,
        save=_ArtifactSaver(bundles, store=store, send=send).save,
        observer=_StepObserver(send),
        returned=returned,
    )


def plugin_folders(plan: Plan) -> list[Path]:
    """Where a job's plugins lie."""
    readers = {item.bundle: Path(item.bundle) for item in plan.inputs}
    return [Path(plan.plugins), Path(plan.artifact_plugins), *readers.values()]


def _with_traceback(error: Exception, folders: list[Path]) -> str:
    """An error and, where a plugin raised it, that plugin's traceback."""
    cause = error.__cause__
    # By its type alone: what it says its class is, is user code.
    if cause is None or issubclass(type(cause), WorkerError):
        return str(error)
    return f"{error}\n{plugin_traceback(cause, folders)}"


class _Bundles:
    """The plugins of one job: of its tasks, of what it writes and of what it reads."""

    def __init__(self, plan: Plan, check: Callable[[], None]) -> None:
        self._plan = plan
        self._check = check
        self._folder = Path.cwd()  # before a plugin goes elsewhere
        self._tasks = Bundle(Path(plan.plugins), label="the entrypoint's plugins")
        # A package that is the same in two bundles is one, so that its classes are.
        self._writers = Bundle(
            Path(plan.artifact_plugins),
            label="the entrypoint's artifact plugins",
            beside=[self._tasks],
        )
        self._readers = {
            item.bundle: Bundle(
                Path(item.bundle),
                label=f"the plugin of artifact {item.name!r}",
                beside=[self._tasks, self._writers],
            )
            for item in plan.inputs
        }
        self._writer_tasks = {task.name: task for task in plan.artifact_tasks}
        self._functions: dict[str, Callable[..., Any]] = {}

    @property
    def folders(self) -> list[Path]:
        """Where the job's plugins lie."""
        return plugin_folders(self._plan)

    def compile(self) -> engine.Graph:
        """Check the graph, and that every plugin it names can be had."""
        used = _used_artifact_tasks(self._plan.config)
        arguments = {
            name: self._validation(name) if name in used else None
            for name in self._writer_tasks
        }
        graph = engine.compile(self._plan.config, artifact_tasks=arguments)
        with end_children_here(), self._tasks.active():
            for plugin in sorted(graph.plugins()):
                self._functions[plugin] = self._tasks.function(plugin)
        return graph

    def _validation(self, name: str) -> Any:
        """What an artifact task says of its arguments."""
        writer = self.writer(name)
        try:
            return writer.validation()
        except Exception as error:
            raise JobFailed(
                f"artifact task {name!r} cannot say which arguments it takes: its"
                f" validation() raised {format_exception(error)}"
            ) from error

    def call(self, plugin: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Call a task of the graph."""
        with end_children_here(), self._tasks.active():
            value = self._functions[plugin](*args, **kwargs)
        self._check()  # the task may have swallowed a stop
        return value

    def writer(self, name: str) -> Any:
        """The class that writes a kind of artifact."""
        task: ArtifactTask = self._writer_tasks[name]
        with end_children_here(), self._writers.active():
            return self._writers.artifact_task(task.package, task.module, name)

    def write(self, output: engine.ArtifactOutput, contents: Any) -> Path:
        """Have an artifact written; where it lies."""
        folder = self._folder
        if not folder.is_dir():
            raise JobFailed(
                f"the job's folder is gone, so {output.name!r} cannot be written: a"
                " task has removed it"
            )
        task = self.writer(output.task)
        with end_children_here(), self._tasks.active(), self._writers.active():
            path = task.serialize(folder, output.name, contents, **output.args)
        return checked_path(path, folder=folder, task=output.task, name=output.name)

    def artifact_task_record(self, name: str) -> ArtifactTask:
        """What the API calls an artifact task."""
        return self._writer_tasks[name]

    def read(self, item: InputArtifact, graph: engine.Graph) -> Mapping[str, Any]:
        """Read an input artifact; its values by the names that the graph gives them.

        The artifact task may call them otherwise: the platform matches them by place.
        """
        bundle = self._readers[item.bundle]
        started = time.monotonic()
        # As when it was written: a pickle names classes of the entrypoint's plugins.
        with self._tasks.active(), self._writers.active(), bundle.active():
            task: Any = bundle.artifact_task(item.package, item.module, item.task)
            try:
                with end_children_here():
                    value = task.deserialize(Path(item.directory), item.file_name)
            except Exception as error:
                raise JobFailed(
                    f"input artifact {item.name!r} could not be read by {item.task}:"
                    f" {format_exception(error)}"
                ) from error
        log.info(
            "read input artifact %r in %.2f s", item.name, time.monotonic() - started
        )
        declared = graph.artifact_inputs.get(item.name)
        names = item.outputs
        if declared is not None:
            names = tuple(output.name for output in declared.outputs)
        return _values_by_name(value, names, item)


def _used_artifact_tasks(config: Mapping[str, Any]) -> set[object]:
    """The artifact tasks that a graph names, as far as it is well-formed."""
    outputs = config.get("artifact_outputs")
    if not isinstance(outputs, Mapping):
        return set()
    tasks = [out.get("task") for out in outputs.values() if isinstance(out, Mapping)]
    names = [task.get("name") for task in tasks if isinstance(task, Mapping)]
    return {name for name in names if isinstance(name, str)}


def _values_by_name(
    value: Any, names: tuple[str, ...], item: InputArtifact
) -> dict[str, Any]:
    """The values that an input artifact holds, by name."""
    if len(names) == 1:
        return {names[0]: value}
    try:
        values = list(value)
    except TypeError:
        raise JobFailed(
            f"input artifact {item.name!r} has the outputs {', '.join(names)}, so"
            f" {item.task} must return a list or tuple, not {type(value).__name__}"
        ) from None
    if len(values) != len(names):
        log.warning(
            "input artifact %r has %d outputs, but %s returned %d values",
            item.name,
            len(names),
            item.task,
            len(values),
        )
    return dict(zip(names, values, strict=False))


class _ArtifactSaver:
    """Stores an output artifact as soon as its contents are complete."""

    def __init__(self, bundles: _Bundles, *, store: Store, send: Send) -> None:
        self._bundles = bundles
        self._store = store
        self._send = send

    def save(self, output: engine.ArtifactOutput, contents: Any) -> None:
        started = time.monotonic()
        path = self._bundles.write(output, contents)
        digests = UploadDigests(path, part_size=self._store.part_size)
        folder = artifact_folder(output.name)
        try:
            uri = self._store.put(path, folder, digests=digests)
        except BaseException:
            digests.close()
            raise
        for file in digests.files():
            self._send(
                OutputFile(
                    artifact=output.name,
                    path=file.path,
                    size=file.size,
                    sha256=file.sha256,
                    etag=file.etag,
                )
            )
        task = self._bundles.artifact_task_record(output.task)
        self._send(
            ArtifactStored(
                name=output.name,
                uri=uri,
                plugin_snapshot_id=task.plugin_snapshot_id,
                task_id=task.task_id,
            )
        )
        log.info(
            "stored artifact %r as %s in %.2f s",
            output.name,
            uri,
            time.monotonic() - started,
        )


class _StepObserver:
    """Tells the daemon which step runs, which says so in the log."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def step_started(self, step: str, task: str, index: int, total: int) -> None:
        self._send(StepStarted(step=step, task=task, index=index, total=total))

    def step_finished(self, step: str, seconds: float) -> None:
        self._send(StepEnded(step=step, seconds=seconds))

    def warning(self, message: str) -> None:
        log.warning("%s", message)


def checked_path(path: object, *, folder: Path, task: str, name: str) -> Path:
    """Check what a serialiser returned.

    Args:
        path: That.
        folder: The job's, below which it has to be.
        task: The artifact task.
        name: The artifact.

    Returns:
        The path by which it is stored: a link keeps its own name, as on the platform.

    Raises:
        JobFailed: It cannot be stored.
    """
    if not isinstance(path, str | Path):
        raise JobFailed(
            f"artifact task {task!r} must return the path of what it wrote for"
            f" {name!r}, not {safe_str(path, repr)[:300]}"
        )
    try:
        found = (folder / path).resolve()
        exists = found.exists()
    except (OSError, RuntimeError, ValueError) as error:  # NUL, too long, a loop
        raise JobFailed(
            f"artifact task {task!r} returned {str(path)[:300]!r} for {name!r}, which"
            f" is no path: {first_line(error, limit=100)}"
        ) from None
    if not exists:
        raise JobFailed(
            f"artifact task {task!r} returned {str(path)!r} for {name!r}, which does"
            " not exist: return the path of the file or folder that it wrote"
        )
    if not found.is_relative_to(folder.resolve()):
        raise JobFailed(
            f"artifact task {task!r} returned {str(path)!r} for {name!r}, which lies"
            " outside the job's folder: write below working_dir"
        )
    if not (found.is_file() or found.is_dir()):
        raise JobFailed(
            f"artifact task {task!r} returned {str(path)!r} for {name!r}, which is"
            " neither a file nor a folder: the artifact store keeps nothing else"
        )
    given = folder / path
    named = given.parent.resolve() / given.name
    if given.name == ".." or not named.is_relative_to(folder.resolve()):
        named = found
    if problem := artifact_name_problem(named.name):
        raise JobFailed(
            f"artifact task {task!r} wrote {named.name!r} for {name!r}, and {problem}"
        )
    return named
