"""What is wrong with an entrypoint, its files and its plugins, before it is run.

One check for all commands: `run`, `validate` and `import` refuse the same.
"""

from __future__ import annotations

import itertools
import sys
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dioptra_worker import engine
from dioptra_worker.engine.wording import listing, suggestion
from dioptra_worker.tools.resources.errors import BadResources
from dioptra_worker.tools.resources.findings import Finding, refusals
from dioptra_worker.tools.resources.folders import CONFIG, find_folders
from dioptra_worker.tools.resources.plugin_files import (
    left_out_of,
    plugin_files,
    refused_of,
)
from dioptra_worker.tools.workbench.errors import (
    InvalidEntrypoint,
    InvalidRequest,
    NoPlugins,
)
from dioptra_worker.tools.workbench.planning import declared, discovered
from dioptra_worker.tools.workbench.planning.both_files import differences
from dioptra_worker.tools.workbench.planning.entrypoint import (
    find,
    of_entry,
    only_graph,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from dioptra_worker.engine import Issue, Severity
    from dioptra_worker.engine.issues import Location
    from dioptra_worker.protocol.messages import ArtifactTask
    from dioptra_worker.tools.resources.folders import ResourceFolder
    from dioptra_worker.tools.workbench.planning.entrypoint import Entrypoint


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is to be said of a file.

    Attributes:
        file: The file: a task graph, a ``dioptra.toml``, or one of a plugin.
        issues: What is wrong with it, and what is only strange.
    """

    file: Path
    issues: tuple[Issue, ...]

    @property
    def valid(self) -> bool:
        """Whether there is no error."""
        return not any(one.severity is engine.Severity.ERROR for one in self.issues)


def verdicts(path: Path, *, plugins: Path | None = None) -> list[Verdict]:
    """Check all entrypoints that a path means, with what is beside them.

    Args:
        path: The YAML file of a task graph; or a folder with a ``dioptra.toml``, that
            file, or a folder of such folders, or one with one YAML file.
        plugins: The folder of plugin packages, for a file on its own; ``plugins``
            beside it, if there is one, when None.

    Returns:
        One for each task graph, and for each other file that has something wrong.

    Raises:
        NoResources: A folder has nothing in it that could be checked.
        OSError: A file cannot be read.
    """
    if path.name == CONFIG and path.is_file():
        path = path.parent
    if path.is_dir() and not any((path / CONFIG, *path.glob(f"*/{CONFIG}"))):
        path = only_graph(path)
    if path.is_file():
        return _by_file([path], _findings(path, plugins))
    try:
        folders = find_folders([path])
    except BadResources as error:
        return _by_file([], _as_given(error.findings, path))
    found = [finding for folder in folders for finding in check_folder(folder)]
    files = [
        folder.path / graph
        for folder in folders
        for graph in folder.graphs or [folder.name]
    ]
    given = _as_given([Finding(file, _NOTHING) for file in files], path)
    return _by_file([one.file for one in given], _as_given(found, path))


_NOTHING = engine.Issue(engine.Severity.WARNING, "")


def _by_file(files: Iterable[Path], findings: Iterable[Finding]) -> list[Verdict]:
    issues: dict[Path, dict[Issue, None]] = {file: {} for file in files}
    for finding in findings:
        issues.setdefault(finding.file, {})[finding.issue] = None
    return [Verdict(file=file, issues=tuple(found)) for file, found in issues.items()]


def _as_given(findings: Iterable[Finding], path: Path) -> list[Finding]:
    """With files below a path in the words in which the path was given."""
    root = path.resolve()
    return [
        replace(one, file=path / one.file.relative_to(root))
        if one.file.is_relative_to(root)
        else one
        for one in findings
    ]


def check_folder(folder: ResourceFolder) -> list[Finding]:
    """Find what is wrong with all that a ``dioptra.toml`` declares, each once.

    Args:
        folder: Its folder, which is to be imported.
    """
    found: dict[Finding, None] = {}
    for entry in folder.entries:
        try:
            entrypoint = of_entry(folder, entry)
        except InvalidEntrypoint as error:
            found |= dict.fromkeys(error.findings)
        else:
            findings = check(entrypoint, refused=engine.Severity.ERROR)
            found |= dict.fromkeys(findings)
    plugins = tuple(folder.path / path for path in folder.plugins)
    found |= dict.fromkeys(_of_plugins(plugins, folder.file, engine.Severity.ERROR))
    return list(found)


def check(entrypoint: Entrypoint, *, refused: Severity) -> list[Finding]:
    """Find what is wrong with an entrypoint, its graph first.

    Args:
        entrypoint: What is to be run, or imported.
        refused: How bad it is that the platform would not take a plugin's file.
    """
    plugins = (*entrypoint.plugins, *entrypoint.artifact_plugins)
    file = entrypoint.file if entrypoint.folder is None else entrypoint.folder.file
    beside = list(_of_plugins(plugins, file, refused))
    sources = None
    if entrypoint.sources is not None and not refusals(beside):
        sources = engine.Sources(entrypoint.sources)
    if entrypoint.folder is None:
        return [*_of_file(entrypoint, sources), *beside]
    return [*_of_declared(entrypoint, entrypoint.folder, sources), *beside]


def _of_file(
    entrypoint: Entrypoint, sources: engine.Sources | None
) -> Iterator[Finding]:
    """Check a task graph that says everything itself."""
    issues = engine.validate(entrypoint.document)
    if sources is not None and not _errors(issues):
        issues = engine.validate(entrypoint.document, plugins=sources)
    for issue in issues:
        yield Finding(entrypoint.file, issue)


def _of_declared(
    entrypoint: Entrypoint, folder: ResourceFolder, sources: engine.Sources | None
) -> list[Finding]:
    """Check a task graph together with what the ``dioptra.toml`` declares."""
    document = entrypoint.document
    whole = "tasks" in document.data
    issues = engine.validate(document) if whole else list(document.issues)
    found = [Finding(entrypoint.file, issue) for issue in issues]
    if _errors(issues):
        return found
    only_here = differences(document, entrypoint.config, name=folder.name)
    found += [Finding(entrypoint.file, issue) for issue in only_here]
    if "tasks" not in entrypoint.config:
        return [*found, _no_tasks(entrypoint, folder)]
    issues = engine.validate(entrypoint.config, declared_in=folder.name)
    if sources is not None and not _errors(issues):
        issues = engine.validate(
            entrypoint.config, plugins=sources, declared_in=folder.name
        )
    known = {(one.issue.message, one.issue.path) for one in found}
    found += [
        _placed(entrypoint, folder, issue)
        for issue in issues
        if (issue.message, issue.path) not in known
    ]
    return found if refusals(found) else [*found, *_artifact_tasks(entrypoint, folder)]


def _no_tasks(entrypoint: Entrypoint, folder: ResourceFolder) -> Finding:
    message = f"Entrypoint {entrypoint.name!r} has no tasks: name under 'plugins' those"
    message += " of [[plugins]] that have [[plugins.tasks.functions]]."
    issue = engine.Issue(engine.Severity.ERROR, message, ("tasks",))
    return _placed(entrypoint, folder, issue)


def _placed(entrypoint: Entrypoint, folder: ResourceFolder, issue: Issue) -> Finding:
    """What is wrong with a configuration, in the file that has to be mended."""
    path = declared.origin(folder, entrypoint.entry, issue.path) if issue.path else None
    if path is not None:
        place = folder.places.place(path) or (None, None)
        return Finding(
            folder.file, replace(issue, path=path, line=place[0], column=place[1])
        )
    place = entrypoint.document.place(issue.path) or (None, None)
    return Finding(entrypoint.file, replace(issue, line=place[0], column=place[1]))


def _findings(file: Path, plugins: Path | None) -> list[Finding]:
    try:
        entrypoint = find(file, plugins=plugins)
    except InvalidEntrypoint as error:
        here = file.resolve()
        return [
            replace(one, file=file) if one.file == here else one
            for one in error.findings
        ]
    except InvalidRequest as error:
        issues = _alone(file)  # it says with its lines what is wrong with the file
        if not _errors(issues) and not isinstance(error, NoPlugins):
            issues = _as_issues(error.problems)
        return [Finding(file, issue) for issue in issues]
    root = entrypoint.file
    return [
        replace(one, file=file) if one.file == root else one
        for one in check(entrypoint, refused=engine.Severity.ERROR)
    ]


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


def _errors(issues: Iterable[Issue]) -> list[Issue]:
    return [issue for issue in issues if issue.severity is engine.Severity.ERROR]


def _artifact_tasks(
    entrypoint: Entrypoint, folder: ResourceFolder
) -> Iterator[Finding]:
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
            path = ("artifact_outputs", name, "task", "name")
            issue = engine.Issue(engine.Severity.ERROR, message, path)
            yield _placed(entrypoint, folder, issue)
    places = {plugin.name: plugin for plugin in entrypoint.artifact_plugins}
    for task in entrypoint.writers:
        if task.package in places and (why := _missing(task, places[task.package])):
            origin = _artifact_origin(folder, task)
            place = folder.places.place(origin) or (None, None)
            issue = engine.Issue(engine.Severity.ERROR, why, origin, *place)
            yield Finding(folder.file, issue)


def _artifact_origin(folder: ResourceFolder, task: ArtifactTask) -> Location:
    for number, plugin in enumerate(folder.config["plugins"]):
        artifacts = plugin.get("tasks", {}).get("artifacts", ())
        for place, one in enumerate(artifacts):
            if folder.plugin_name(plugin) == task.package and one["name"] == task.name:
                return ("plugins", number, "tasks", "artifacts", place)
    return ()


def _missing(task: ArtifactTask, plugin: Path) -> str:
    """Why a declared artifact task is not in its plugin; empty if it is."""
    file = plugin.joinpath(*task.module.split(".")).with_suffix(".py")
    where = f"Artifact task {task.name!r} is said to be in {file.name!r},"
    names = discovered.names(file)
    if names is None or task.name in names:  # importing the file says what is wrong
        return ""
    return f"{where} which does not define it.{suggestion(task.name, names)}"


def _of_plugins(
    plugins: Iterable[Path], file: Path, refused: Severity
) -> Iterator[Finding]:
    """Say which files of plugins are no Python, and which are not in the platform.

    Args:
        plugins: The plugins.
        file: The file that names them.
        refused: How bad it is that the platform would not take one.
    """
    plugins = tuple(dict.fromkeys(plugins))
    yield from itertools.chain.from_iterable(map(_no_python, plugins))
    if names := refused_of(plugins):
        message = (
            f"The platform takes no plugin file of the name {listing(names, 'or')}:"
            " folders and files are named with letters, digits and '_', beginning with"
            " a letter, and only outside of folders may a file begin with '_'. A folder"
            " of a plugin needs no '__init__.py'."
        )
        yield Finding(file, engine.Issue(refused, message))
    if names := left_out_of(plugins):
        message = (
            f"The platform keeps only Python files of plugins, so no job has"
            f" {listing(names, 'or')}: read such data from an input artifact."
        )
        yield Finding(file, engine.Issue(engine.Severity.WARNING, message))


def _no_python(plugin: Path) -> Iterator[Finding]:
    """Say which files of a plugin Python cannot read; none is run."""
    root = plugin if plugin.is_dir() else plugin.parent
    for name in plugin_files(plugin).code:
        file = root / name
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # which are said when it is imported
                compile(file.read_bytes(), str(file), "exec", dont_inherit=True)
        except SyntaxError as error:
            version = ".".join(map(str, sys.version_info[:2]))
            message = f"This is not valid Python {version}: {error.msg}."
            issue = engine.Issue(
                engine.Severity.ERROR, message, (), error.lineno, error.offset or 1
            )
            yield Finding(file, issue)
        except ValueError as error:
            message = f"This is not valid Python: {error}."
            yield Finding(file, engine.Issue(engine.Severity.ERROR, message))
        except (MemoryError, RecursionError):
            message = "This is too deep for Python to read."
            yield Finding(file, engine.Issue(engine.Severity.ERROR, message))
