"""Why a plugin cannot be loaded, in words for its author.

.. code-block:: text

    WorkerError
     └─ PluginError
         ├─ PluginNotFound        the bundle has no such file
         ├─ FunctionNotFound      the file has no such function, or not registered
         ├─ PluginModuleMissing   the file imports something that is not there
         ├─ PluginSyntaxError     the file is not Python
         └─ PluginImportError     the file raised an error while it was imported
"""

from __future__ import annotations

import sys
import traceback
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from dioptra_worker.errors import WorkerError
from dioptra_worker.sdk import missing_names, pyplugs
from dioptra_worker.sdk.missing_names import WAY_OUT
from dioptra_worker.sdk.tracebacks import (
    plugin_frame,
    plugin_traceback,
    relative_to_any,
)

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path
    from types import ModuleType

_SHOWN: Final = 20


class PluginError(WorkerError):
    """A plugin cannot be loaded as the task graph asks for it."""


class PluginNotFound(PluginError):
    """The bundle has no such file, or a module that is loaded hides it."""


class FunctionNotFound(PluginError):
    """The file has no such function or artifact task, or has not registered it."""


class PluginModuleMissing(PluginError):
    """A file of the bundle imports something that is not there.

    Attributes:
        module: What it imports.
        file: The file, relative to the bundle.
        line: The line.
        in_bundle: Whether it should be a file of the bundle; otherwise it is a package
            that this worker's environment lacks.
    """

    def __init__(
        self, message: str, *, module: str, file: str, line: int, in_bundle: bool
    ) -> None:
        self.module = module
        self.file = file
        self.line = line
        self.in_bundle = in_bundle
        super().__init__(message)


class PluginSyntaxError(PluginError):
    """A file of the bundle is not Python."""


class PluginImportError(PluginError):
    """A file of the bundle raised an error while it was imported."""


def python_files(directory: Path) -> list[str]:
    """List the Python files of a bundle, relative to it, in POSIX spelling."""
    found = (path.relative_to(directory) for path in directory.rglob("*.py"))
    return sorted(path.as_posix() for path in found)


def listed(names: Collection[str]) -> str:
    """Name some things in a sentence, the first twenty of them."""
    shown = ", ".join(sorted(names)[:_SHOWN])
    more = len(names) - _SHOWN
    return (f"{shown} and {more} more" if more > 0 else shown) or "nothing"


def no_function(module: ModuleType, name: str, file: str) -> FunctionNotFound:
    """Explain that a plugin file does not register a function of this name."""
    registered = pyplugs.registered(module)
    found = getattr(module, name, None)
    if not callable(found):
        return FunctionNotFound(
            f"plugin file {file!r} has no function {name!r}"
            f"{_suggestion(name, registered)} It registers: {listed(registered)}"
        )
    home = getattr(found, "__module__", module.__name__)
    if home != module.__name__:
        return FunctionNotFound(
            f"function {name!r} in plugin file {file!r} comes from {home!r}: "
            f"if it is registered there, write '{home}.{name}'"
        )
    return FunctionNotFound(
        f"function {name!r} in plugin file {file!r} is not registered: put "
        "@pyplugs.register above it"
    )


def no_artifact_task(module: ModuleType, name: str, file: str) -> FunctionNotFound:
    """Explain that a plugin file has no artifact task of this name."""
    if hasattr(module, name):
        return FunctionNotFound(
            f"{name!r} in plugin file {file!r} is no artifact task: it must be a "
            "class derived from dioptra.sdk.api.artifact.ArtifactTaskInterface"
        )
    tasks = [
        key
        for key, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == module.__name__
    ]
    return FunctionNotFound(
        f"plugin file {file!r} has no artifact task {name!r}"
        f"{_suggestion(name, tasks)} It has: {listed(tasks)}"
    )


def not_found(module: str, bundle: Path, label: str) -> PluginNotFound:
    """Explain that a bundle has no file for a module that was asked for."""
    path = f"{module.replace('.', '/')}.py"
    return PluginNotFound(
        f"there is no plugin file {path!r} in {label}. {_contents(path, bundle)}"
    )


def explain(
    error: BaseException,
    module: str,
    *,
    bundle: Path,
    label: str,
    shared: Collection[Path],
) -> PluginError:
    """Turn an error of an import into one for the author of the plugin.

    Args:
        error: What the import raised.
        module: The module that was asked for.
        bundle: The bundle's directory.
        label: The bundle's name for people, with its article.
        shared: All directories from which the bundle's packages may be loaded.
    """
    try:
        explained = _explain_import_system(error, module, bundle, label, shared)
    except BaseException:  # noqa: BLE001 - what user code raises may raise anything
        explained = None
    return explained or _import_failed(error, module, shared)


_SYNTAX_ERRORS = {SyntaxError, IndentationError, TabError}


def _explain_import_system(
    error: BaseException,
    module: str,
    bundle: Path,
    label: str,
    shared: Collection[Path],
) -> PluginError | None:
    """Explain what the import system raises by itself; None of all else.

    By the very type: a class of user code says what it likes of itself.
    """
    if type(error) is ModuleNotFoundError and isinstance(error.name, str):
        frame = plugin_frame(error, shared)
        if frame is not None:
            return _module_missing(error, error.name, frame, bundle, label, shared)
        if f"{module}.".startswith(f"{error.name}."):
            return not_found(module, bundle, label)
    if type(error) is ImportError and str(error.name).startswith("dioptra."):
        failed = _import_failed(error, module, shared)
        return PluginImportError(f"{failed}\n{WAY_OUT}")
    if type(error) in _SYNTAX_ERRORS:
        assert isinstance(error, SyntaxError)
        if relative_to_any(error.filename or "", shared):
            return _syntax_error(error, shared)
    return None


def _module_missing(
    error: ModuleNotFoundError,
    name: str,
    frame: tuple[str, int],
    bundle: Path,
    label: str,
    shared: Collection[Path],
) -> PluginModuleMissing:
    file, line = frame
    files = python_files(bundle)
    top = name.partition(".")[0]
    in_bundle = any(path.split("/")[0] in (top, f"{top}.py") for path in files)
    text = f"plugin file {file!r}, line {line}, "
    if in_bundle:
        wanted = f"{name.replace('.', '/')}.py"
        text += (
            f"imports {name!r}, but there is no such file in {label}. "
            f"{_contents(wanted, bundle)}"
        )
    else:
        via = _importing_file(error, shared)
        version = ".".join(map(str, sys.version_info[:3]))
        text += (
            f"{f'leads to {via!r}, which imports' if via else 'imports'} {name!r}. "
            f"It is not installed in this worker's environment (Python {version} in "
            f"{sys.prefix}), and it is no file of {label}. "
            f"{_remedy(top, file, files)}. The bundle contains: {listed(files)}"
        )
    return PluginModuleMissing(
        text, module=name, file=file, line=line, in_bundle=in_bundle
    )


def _suggestion(name: str, names: Collection[str]) -> str:
    """Return the end of a sentence, with a near match where there is one."""
    matches = get_close_matches(name, names, n=1)
    return f"; did you mean {matches[0]!r}?" if matches else "."


def _contents(wanted: str, bundle: Path) -> str:
    files = python_files(bundle)
    matches = get_close_matches(wanted, files, n=1)
    hint = f"Did you mean {matches[0]!r}? " if matches else ""
    return f"{hint}The bundle contains: {listed(files)}"


def _remedy(top: str, file: str, files: list[str]) -> str:
    beside = f"{file.rpartition('/')[0]}/{top}"
    if f"{beside}.py" in files or any(path.startswith(f"{beside}/") for path in files):
        package = file.rpartition("/")[0].replace("/", ".")
        return (
            f"There is {beside + '.py'!r} beside it: "
            f"write 'from {package} import {top}' or 'from . import {top}'"
        )
    if top == "dioptra":
        return WAY_OUT[:1].upper() + WAY_OUT[1:]
    return "Install it in the worker's environment, or choose a queue that has it"


def _importing_file(error: BaseException, shared: Collection[Path]) -> str | None:
    """Return the innermost file outside the bundle that was importing, if any."""
    frames = [
        frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    ours = missing_names.__file__  # which says that there is no such module
    python = [name for name in frames if not name.startswith("<") and name != ours]
    return python[-1] if python and not relative_to_any(python[-1], shared) else None


def _syntax_error(error: SyntaxError, shared: Collection[Path]) -> PluginSyntaxError:
    file = relative_to_any(error.filename or "", shared)
    pointed = "".join(traceback.format_exception_only(error)).splitlines()[1:-1]
    return PluginSyntaxError(
        "\n".join([f"plugin file {file!r}, line {error.lineno}: {error.msg}", *pointed])
    )


def _import_failed(
    error: BaseException, module: str, shared: Collection[Path]
) -> PluginImportError:
    frame = plugin_frame(error, shared)
    file = frame[0] if frame else f"{module.replace('.', '/')}.py"
    return PluginImportError(
        f"plugin file {file!r} cannot be imported: {plugin_traceback(error, shared)}"
    )
