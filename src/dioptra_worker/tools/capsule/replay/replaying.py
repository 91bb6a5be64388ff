"""Runs a capsule's job again, without any server, as `dioptra-worker run` runs one."""

from __future__ import annotations

import platform
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dioptra_worker import __version__, engine
from dioptra_worker.job_environment import for_local_runs
from dioptra_worker.protocol.messages import ArtifactTask
from dioptra_worker.provenance.surroundings import packages
from dioptra_worker.runner.facts import VARIABLES
from dioptra_worker.settings import log_level
from dioptra_worker.tools.capsule import layout
from dioptra_worker.tools.capsule.comparison.comparing import (
    Difference,
    Evaluation,
    differences,
    evaluation,
    named_differences,
)
from dioptra_worker.tools.capsule.comparison.values import MAX_VALUE_BYTES
from dioptra_worker.tools.capsule.errors import CapsuleError
from dioptra_worker.tools.capsule.replay.run_folder import evaluation_of_run
from dioptra_worker.tools.workbench.planning.entrypoint import Entrypoint
from dioptra_worker.tools.workbench.planning.inputs import Given
from dioptra_worker.tools.workbench.planning.run_plan import RunPlan
from dioptra_worker.tools.workbench.running.api_sessions import sessions
from dioptra_worker.tools.workbench.running.supervised import LocalRunner
from dioptra_worker.tracking.folder_run import FolderTracking

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.provenance.manifest import InputFacts, Manifest, ParameterValue
    from dioptra_worker.supervision.channel.runner_output import RunnerListener
    from dioptra_worker.tools.capsule.opening import Capsule
    from dioptra_worker.tools.workbench.running.results import Result

_SEED_DIGITS = 20
"""Of a number of 64 bits."""
_OF_THE_MACHINE = {"CUDA_VISIBLE_DEVICES"}
"""Variables of the job that say nothing on another machine."""


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """A replay.

    Attributes:
        result: What came of it.
        evaluation: The same, to be compared.
    """

    result: Result
    evaluation: Evaluation


def unpacked(capsule: Capsule, folder: Path) -> RunPlan:
    """Unpack a capsule whose files were checked, ready to be run.

    Args:
        capsule: The capsule.
        folder: Where to; an empty folder.

    Raises:
        CapsuleError: An input artifact was left out of it.
        BadCapsule: It cannot be unpacked.
        OSError: There is no room for it.
    """
    manifest = capsule.manifest
    for one in manifest.inputs:
        if capsule.omitted.intersection(layout.input_paths(one)):
            raise CapsuleError(
                f"{capsule.archive.path} lacks the input artifact {one.name!r}, which"
                " was left out: make the capsule anew, with its data"
            )
    capsule.archive.extract(folder)
    return _run_plan(manifest, folder)


def surroundings(manifest: Manifest, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of a replay: what decides about results is as the job had it.

    Args:
        manifest: Says what the job had set; and, if its process has told that, by
            saying nothing of the others, that they were not.
        environment: That of whoever wants the replay.
    """
    determinism = manifest.determinism
    found = dict(determinism.variables)
    if determinism.hash_seed:
        found["PYTHONHASHSEED"] = determinism.hash_seed
    # No others, whatever a capsule says: it could be anybody's.
    known = {it for it in VARIABLES if determinism.seed or it in found}
    known -= _OF_THE_MACHINE
    ours = {name: value for name, value in environment.items() if name not in known}
    return ours | {name: value for name, value in found.items() if name in known}


def recorded_seed(manifest: Manifest) -> int | None:
    """What a job's random generators were seeded with; None if that is not known."""
    text = manifest.determinism.seed
    if not (text.isascii() and text.isdigit() and len(text) <= _SEED_DIGITS):
        return None
    seed = int(text)
    return seed if seed < 1 << 64 else None


def run_again(
    capsule: Capsule,
    *,
    store: Path,
    environment: Mapping[str, str],
    fixed: Mapping[str, str] | None = None,
    seed: int | None = None,
    listener: RunnerListener | None = None,
) -> tuple[Replayed, bool]:
    """Unpack a capsule whose files were checked, and run its job in a fresh process.

    Args:
        capsule: The capsule.
        store: The folder to keep the run in.
        environment: That of whoever wants it.
        fixed: Variables that are to be otherwise than they were.
        seed: What its random generators are to be seeded with; None is fresh.
        listener: Hears what the run says.

    Returns:
        What came of it, and whether somebody has pressed Ctrl-C.

    Raises:
        CapsuleError: An input artifact was left out of it.
        RunnerError: No runner could be started.
        SettingsError: The environment is not usable.
        OSError: There is no room for it.
    """
    variables = surroundings(capsule.manifest, environment) | dict(fixed or {})
    with tempfile.TemporaryDirectory(prefix="dioptra-worker-capsule-") as name:
        run_plan = unpacked(capsule, Path(name))
        runner = LocalRunner(
            folder=store,
            isolation="auto",
            preload=(),
            environment=for_local_runs(variables),
            session=sessions({}),
            log_level=log_level(environment),
            adopts_orphans=True,
        )
        with runner:
            found = replay(run_plan, runner, store=store, listener=listener, seed=seed)
    return found, runner.interrupted


def replay(
    run_plan: RunPlan,
    runner: LocalRunner,
    *,
    store: Path,
    listener: RunnerListener | None = None,
    timeout: float | None = None,
    seed: int | None = None,
) -> Replayed:
    """Run a capsule's job again.

    Args:
        run_plan: What `unpacked` gave.
        runner: Runs it.
        store: The folder in which the runner keeps runs.
        listener: Hears what the run says.
        timeout: Seconds that it may take.
        seed: What its random generators are to be seeded with; None is fresh.

    Raises:
        CapsuleError: What came of it cannot be compared.
        RunnerError: No runner could be started.
        OSError: The run's folder could not be made.
    """
    result = runner.run(run_plan, listener=listener, timeout=timeout, seed=seed)
    if result.run_id is None:
        nothing = Evaluation(made_of={}, metrics={}, outputs={}, content=lambda _: None)
        return Replayed(result=result, evaluation=nothing)
    folder = FolderTracking(store).run_folder(result.run_id)
    return Replayed(result=result, evaluation=evaluation_of_run(folder))


def evaluation_of(capsule: Capsule) -> Evaluation:
    """What a capsule says, to be compared."""
    archive = capsule.archive
    small = {it for it in archive.names if archive.size(it) <= MAX_VALUE_BYTES}
    return evaluation(
        capsule.manifest,
        capsule.metrics,
        lambda path: (
            archive.read(path, max_bytes=MAX_VALUE_BYTES) if path in small else None
        ),
    )


def package_differences(manifest: Manifest) -> list[Difference]:
    """Which packages, and which Python, are others here than were recorded."""
    recorded = manifest.environment
    pairs = (line.partition("==") for line in packages())
    here = {
        "dioptra-worker": __version__,  # also where it is not installed
        "Python": platform.python_version(),
        **{name: version for name, _, version in pairs},
    }
    there = {"Python": recorded.python, **recorded.packages}
    # What is here beside these was not there, so that the job cannot have used it.
    known = {name: version for name, version in here.items() if name in there}
    return named_differences("package", there, known)


def result_differences(
    capsule: Capsule, replayed: Replayed, *, tolerance: float
) -> list[Difference]:
    """What came of a replay otherwise than of the job.

    Args:
        capsule: The job.
        replayed: Its replay.
        tolerance: How far values may be apart to be equal.
    """
    first, second = (
        replace(it, made_of={}) for it in (evaluation_of(capsule), replayed.evaluation)
    )
    found = differences(first, second, tolerance=tolerance)
    result, job = replayed.result, capsule.manifest.job
    if result.status != job.status:
        words = f"{result.status}: {result.reason}" if result.reason else result.status
        ended = Difference(kind="status", name="", first=job.status, second=words)
        return [ended, *found]
    return found


def _run_plan(manifest: Manifest, folder: Path) -> RunPlan:
    plan = manifest.plan
    writers = tuple(
        ArtifactTask(
            name=it.name,
            package=it.package,
            module=it.module,
            plugin_snapshot_id=it.plugin_snapshot,
            task_id=it.task,
        )
        for it in plan.writers
    )
    graph = plan.ordered_graph
    for issue in engine.validate(graph):
        if issue.severity is engine.Severity.ERROR:
            words = f"its task graph cannot be run here: {issue.message}"
            raise CapsuleError(words)
    entrypoint = Entrypoint(
        name=manifest.job.entrypoint.name,
        file=folder / layout.GRAPH,
        document=engine.load(folder / layout.GRAPH),
        config=graph,
        kinds={it.name: it.type for it in plan.parameters},
        plugins=_packages(folder / layout.plugin_folder("tasks", 0)),
        artifact_plugins=_packages(folder / layout.plugin_folder("artifacts", 0)),
        sources=None,
        writers=writers,
        readers=(),
    )
    return RunPlan(
        entrypoint=entrypoint,
        config=graph,
        parameters={it.name: _value(it) for it in plan.parameters},
        inputs=tuple(_given(one, folder) for one in manifest.inputs),
        swaps=plan.swaps,
    )


def _packages(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(folder.iterdir())) if folder.is_dir() else ()


def _given(one: InputFacts, folder: Path) -> Given:
    task = ArtifactTask(
        name=one.task,
        package=one.package,
        module=one.module,
        plugin_snapshot_id=one.plugin_snapshot,
        task_id=0,
    )
    return Given(
        name=one.name,
        path=folder / layout.INPUTS / one.name / one.file_name,
        task=task,
        bundle=folder / layout.plugin_folder("reader", one.plugin_snapshot),
    )


def _value(one: ParameterValue) -> Any:
    """A parameter's value; what JSON has no number for was written as text."""
    if one.type == "float" and isinstance(one.value, str):
        return float(one.value)
    return one.value
