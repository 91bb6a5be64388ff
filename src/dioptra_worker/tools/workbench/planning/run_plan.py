"""What is to be run, with what: an entrypoint, values, artifacts and choices."""

from __future__ import annotations

import copy
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dioptra_worker.engine import Severity
from dioptra_worker.engine.wording import listing, suggestion
from dioptra_worker.protocol.messages import NO_JOB, InputArtifact, Plan
from dioptra_worker.tools.resources.findings import Finding, refusals
from dioptra_worker.tools.resources.plugin_files import plugin_files
from dioptra_worker.tools.workbench.errors import InvalidEntrypoint, InvalidRequest
from dioptra_worker.tools.workbench.planning import values
from dioptra_worker.tools.workbench.planning.checking import check
from dioptra_worker.tools.workbench.planning.inputs import Given, reader

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dioptra_worker.common.files.workspace import Workspace
    from dioptra_worker.tools.workbench.planning.entrypoint import Entrypoint


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """One run, checked and ready to be made; `prepare` makes it of a request.

    Attributes:
        entrypoint: What to run.
        config: Its task graph, swaps chosen.
        parameters: The value of each parameter.
        inputs: What is given for its artifact inputs.
        swaps: The choice that each swap was given.
        warnings: What is strange about it.
    """

    entrypoint: Entrypoint
    config: Mapping[str, Any]
    parameters: Mapping[str, Any]
    inputs: tuple[Given, ...] = ()
    swaps: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[Finding, ...] = field(default=())

    def stage(self, space: Workspace) -> Plan:
        """Put what the run needs into its folder.

        Plugins are copied, so that editing them does no harm to a run that has begun,
        and so that their folders have no more in them than in a job of the platform;
        artifacts are linked.

        Args:
            space: The run's folder.

        Raises:
            OSError: It cannot be done.
        """
        _copy(self.entrypoint.plugins, space.plugins)
        _copy(self.entrypoint.artifact_plugins, space.artifact_plugins)
        return self._plan(space, space.plugins, space.artifact_plugins)

    def stage_in_place(self, space: Workspace) -> Plan:
        """As `stage`, but with the plugins where they are, where they lie side by side.

        Debuggers and coverage see the author's own files then, and plugins see files
        that no job of the platform has, which the warnings name.
        """
        return self._plan(
            space,
            _shared(self.entrypoint.plugins, space.plugins),
            _shared(self.entrypoint.artifact_plugins, space.artifact_plugins),
        )

    def _linked(self, given: Given, space: Workspace, bundle: Path) -> InputArtifact:
        folder = space.root / ".dioptra" / "artifacts" / given.name
        folder.mkdir(parents=True)
        (folder / given.path.name).symlink_to(given.path)
        return InputArtifact(
            name=given.name,
            directory=str(folder),
            file_name=given.path.name,
            bundle=str(given.bundle or bundle),
            package=given.task.package,
            module=given.task.module,
            task=given.task.name,
            outputs=(),
        )

    def _plan(self, space: Workspace, plugins: Path, artifact_plugins: Path) -> Plan:
        inputs = [self._linked(one, space, artifact_plugins) for one in self.inputs]
        return Plan(
            job_id=NO_JOB,
            entrypoint=self.entrypoint.name,
            config=self.config,
            parameters=self.parameters,
            artifact_tasks=self.entrypoint.writers,
            inputs=tuple(inputs),
            plugins=str(plugins),
            artifact_plugins=str(artifact_plugins),
        )


def prepare(
    entrypoint: Entrypoint,
    *,
    parameters: Mapping[str, Any],
    artifacts: Mapping[str, str | Path],
    swaps: Mapping[str, str],
) -> RunPlan:
    """Check an entrypoint and what it is to be run with.

    Args:
        entrypoint: What to run.
        parameters: Values by parameter; text is read by the parameter's type.
        artifacts: Paths by artifact input, as `planning.inputs` says.
        swaps: The task that each swap is to be, by the swap's name.

    Raises:
        InvalidEntrypoint: Its task graph, or what is declared for it, is wrong.
        InvalidRequest: What is given does not fit it.
    """
    findings = check(entrypoint, refused=Severity.WARNING)
    if refusals(findings):
        raise InvalidEntrypoint(findings)
    config = choose(entrypoint.config, swaps)
    return RunPlan(
        entrypoint=entrypoint,
        config=config,
        parameters=values.values(parameters, config, entrypoint.kinds),
        inputs=_inputs(entrypoint, config, artifacts),
        swaps=dict(swaps),
        warnings=tuple(findings),
    )


def choose(config: Mapping[str, Any], swaps: Mapping[str, str]) -> dict[str, Any]:
    """Leave of each swap only the choice that is taken.

    Args:
        config: A valid task graph.
        swaps: Choices by the swaps' names.

    Raises:
        InvalidRequest: A swap or choice is unknown, or a choice is missing.
    """
    chosen = copy.deepcopy(dict(config))
    found: dict[str, dict[str, Any]] = {
        key[1:]: step[key]
        for step in chosen["graph"].values()
        for key in step
        if key.startswith("?")
    }
    problems = [
        f"there is no swap {name!r}."
        + suggestion(name, found, "The entrypoint has none.")
        for name in swaps
        if name not in found
    ]
    for name, choices in found.items():
        aliases = [alias for alias in choices if not alias.startswith("?")]
        if name in swaps and swaps[name] not in aliases:
            problems.append(
                f"swap {name!r} has no choice {swaps[name]!r}."
                + suggestion(swaps[name], aliases)
            )
        elif name not in swaps and len(aliases) > 1:
            problems.append(
                f"swap {name!r} is open: choose {listing(aliases, 'or')}, such as"
                f" --swap {name}={aliases[0]}"
            )
        for alias in aliases:
            if name in swaps and alias != swaps[name]:
                del choices[alias]
    if problems:
        raise InvalidRequest(*problems)
    return chosen


def _inputs(
    entrypoint: Entrypoint, config: Mapping[str, Any], given: Mapping[str, str | Path]
) -> tuple[Given, ...]:
    declared = config.get("artifact_inputs", {})
    problems = [
        f"there is no artifact input {name!r}."
        + suggestion(name, declared, "The entrypoint has none.")
        for name in given
        if name.partition(":")[0] not in declared
    ]
    named = [name.partition(":")[0] for name in given]
    problems += [
        f"artifact input {name!r} is given more than once"
        for name in dict.fromkeys(named)
        if named.count(name) > 1
    ]
    problems += [
        f"artifact input {name!r} is not given: --artifact {name}=PATH"
        for name in declared
        if name not in named
    ]
    found = []
    for name, path in given.items():
        if name.partition(":")[0] in declared:
            try:
                found.append(reader(entrypoint, name, Path(path)))
            except InvalidRequest as error:
                problems += error.problems
    if problems:
        raise InvalidRequest(*problems)
    return tuple(found)


def _shared(plugins: Iterable[Path], target: Path) -> Path:
    """The folder that plugins share, or one with copies of them."""
    folders = {plugin.parent for plugin in plugins}
    if len(folders) == 1:
        return folders.pop()
    _copy(plugins, target)
    return target


def _copy(plugins: Iterable[Path], target: Path) -> None:
    """Copy what the platform would keep of plugins, and so what a job would have."""
    for plugin in plugins:
        folder = target / plugin.name if plugin.is_dir() else target
        folder.mkdir(parents=True, exist_ok=True)
        source = plugin if plugin.is_dir() else plugin.parent
        for name in plugin_files(plugin).code:
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, place)
