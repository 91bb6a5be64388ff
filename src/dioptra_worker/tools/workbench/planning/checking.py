"""What is wrong with an entrypoint, its graph and its plugins, before it is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dioptra_worker import engine
from dioptra_worker.engine.wording import listing, suggestion
from dioptra_worker.tools.resources.errors import BadResources
from dioptra_worker.tools.resources.folders import CONFIG, find_folders
from dioptra_worker.tools.resources.plugin_files import left_out_of, refused_of
from dioptra_worker.tools.workbench.errors import (
    InvalidEntrypoint,
    InvalidRequest,
    NoPlugins,
)
from dioptra_worker.tools.workbench.planning import discovered
from dioptra_worker.tools.workbench.planning.entrypoint import (
    find,
    only_graph,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from dioptra_worker.engine import Issue, Severity
    from dioptra_worker.protocol.messages import ArtifactTask
    from dioptra_worker.tools.workbench.planning.entrypoint import Entrypoint


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is to be said of a file.

    Attributes:
        file: The file: a task graph, or the ``dioptra.toml`` that is wrong itself.
        issues: What is wrong with it, and what is only strange.
    """

    file: Path
    issues: tuple[Issue, ...]

    @property
    def valid(self) -> bool:
        """Whether there is no error."""
        return not errors(self.issues)


def verdicts(path: Path, *, plugins: Path | None = None) -> Iterator[Verdict]:
    """Check all entrypoints that a path means, with what is beside them.

    Args:
        path: The YAML file of a task graph; or a folder with a ``dioptra.toml``, or of
            such folders, or with one YAML file.
        plugins: The folder of plugin packages, for a file on its own; ``plugins``
            beside it, if there is one, when None.

    Raises:
        NoResources: A folder has nothing in it that could be checked.
        OSError: A file cannot be read.
    """
    if path.is_dir() and not any((path / CONFIG, *path.glob(f"*/{CONFIG}"))):
        path = only_graph(path)
    if path.is_file():
        yield _verdict(path, plugins)
        return
    try:
        folders = find_folders([path])
    except BadResources as error:
        yield Verdict(file=path / CONFIG, issues=_as_issues(error.problems))
        return
    for folder in folders:
        for graph in folder.graphs:
            yield _verdict(_as_given(folder.path / graph, path), None)


def _as_given(file: Path, path: Path) -> Path:
    """A file below a path, by the words in which the path was given."""
    root = path.resolve()
    return path / file.relative_to(root) if file.is_relative_to(root) else file


def errors(issues: Iterable[Issue]) -> list[Issue]:
    """Those for which an entrypoint is refused."""
    return [issue for issue in issues if issue.severity is engine.Severity.ERROR]


def issues_of(entrypoint: Entrypoint, *, refused: Severity) -> list[Issue]:
    """What is wrong with an entrypoint, its graph first.

    Args:
        entrypoint: What is to be run, or imported.
        refused: How bad it is that the platform would not take a plugin's file.
    """
    issues = engine.validate(entrypoint.document)
    if not errors(issues) and entrypoint.sources is not None:
        sources = engine.Sources(entrypoint.sources)
        issues = engine.validate(entrypoint.document, plugins=sources)
    if not errors(issues):  # what is declared beside the file can be wrong, too
        issues += errors(engine.validate(entrypoint.config))
    if not errors(issues) and entrypoint.declared_in is not None:
        issues += _artifact_tasks(entrypoint)
    plugins = (*entrypoint.plugins, *entrypoint.artifact_plugins)
    return [*issues, *_plugin_files(plugins, refused)]


def _verdict(file: Path, plugins: Path | None) -> Verdict:
    try:
        entrypoint = find(file, plugins=plugins)
    except InvalidEntrypoint as error:
        return Verdict(file=file, issues=error.issues)
    except InvalidRequest as error:
        issues = _alone(file)  # it says with its lines what is wrong with the file
        if not errors(issues) and not isinstance(error, NoPlugins):
            issues = _as_issues(error.problems)
        return Verdict(file=file, issues=issues)
    found = issues_of(entrypoint, refused=engine.Severity.ERROR)
    return Verdict(file=file, issues=tuple(found))


def _alone(file: Path) -> tuple[Issue, ...]:
    """Check a file without any plugin."""
    try:
        return tuple(engine.validate(engine.load(file)))
    except engine.InvalidGraph as error:
        return tuple(error.issues)


def _as_issues(problems: Iterable[str]) -> tuple[Issue, ...]:
    return tuple(
        engine.Issue(engine.Severity.ERROR, f"{problem.rstrip('.')}.")
        for problem in problems
    )


def _artifact_tasks(entrypoint: Entrypoint) -> Iterator[Issue]:
    """Say which artifact tasks the graph names, or are declared, and are not there."""
    known = {task.name for task in entrypoint.writers}
    for name, output in entrypoint.config.get("artifact_outputs", {}).items():
        wanted = output["task"]["name"]
        if wanted not in known:
            hint = suggestion(wanted, known, "They have none.")
            message = (
                f"Output artifact {name!r} is serialised by {wanted!r}, which is no"
                f" artifact task of the entrypoint's artifact plugins.{hint}"
            )
            yield _placed(entrypoint, message, name)
    places = {plugin.name: plugin for plugin in entrypoint.artifact_plugins}
    for task in entrypoint.writers:
        if task.package in places and (why := _missing(task, places[task.package])):
            yield engine.Issue(engine.Severity.ERROR, why)


def _placed(entrypoint: Entrypoint, message: str, artifact: str) -> Issue:
    path = ("artifact_outputs", artifact, "task", "name")
    place = None
    if isinstance(entrypoint.document, engine.Document):
        place = entrypoint.document.place(path)
    return engine.Issue(engine.Severity.ERROR, message, path, *(place or (None, None)))


def _missing(task: ArtifactTask, plugin: Path) -> str:
    """Why a declared artifact task is not in its plugin; empty if it is."""
    file = plugin.joinpath(*task.module.split(".")).with_suffix(".py")
    where = f"{CONFIG} declares the artifact task {task.name!r} in {str(file)!r},"
    if not file.is_file():
        return f"{where} but there is no such file."
    names = discovered.names(file)
    if names is None or task.name in names:  # importing the file says what is wrong
        return ""
    return f"{where} which does not define it.{suggestion(task.name, names)}"


def _plugin_files(plugins: Iterable[Path], refused: Severity) -> Iterator[Issue]:
    """Say which files of plugins are not in the platform."""
    plugins = tuple(plugins)
    if names := refused_of(plugins):
        message = (
            f"The platform takes no plugin file of the name {listing(names, 'or')}:"
            " folders and files are named with letters, digits and '_', beginning with"
            " a letter, and only outside of folders may a file begin with '_'. A folder"
            " of a plugin needs no '__init__.py'."
        )
        yield engine.Issue(refused, message)
    if names := left_out_of(plugins):
        message = (
            f"The platform keeps only Python files of plugins, so no job has"
            f" {listing(names, 'or')}: read such data from an input artifact."
        )
        yield engine.Issue(engine.Severity.WARNING, message)
