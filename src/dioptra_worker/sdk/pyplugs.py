"""Register functions as plugin tasks, and find them again.

A registration is kept *on the module* that made it, so it comes and goes with that
module: two bundles that hold a package of the same name can be loaded after each other
in one process without seeing each other's functions, and reloading a file forgets
nothing and invents nothing.
"""

from __future__ import annotations

import functools
import importlib
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, overload

from dioptra_worker.sdk.exceptions import (
    UnknownPackageError,
    UnknownPluginError,
    UnknownPluginFunctionError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = [
    "call",
    "call_factory",
    "exists",
    "exists_factory",
    "funcs",
    "funcs_factory",
    "get",
    "get_factory",
    "info",
    "info_factory",
    "names",
    "names_factory",
    "register",
]

F = TypeVar("F", bound="Callable[..., Any]")

_REGISTRY = "__dioptra_plugins__"


class PluginInfo(NamedTuple):
    """What is known of one registered function.

    Attributes:
        package_name: The package that holds the file; empty for a file of its own.
        plugin_name: The name of the file without ``.py``.
        func_name: The name of the function.
        func: The function.
        description: The first paragraph of its docstring.
        doc: The rest of its docstring.
        module_doc: The docstring of the file.
        sort_value: Where the function wants to stand among others.
    """

    package_name: str
    plugin_name: str
    func_name: str
    func: Callable[..., Any]
    description: str
    doc: str
    module_doc: str
    sort_value: float


@overload
def register(_func: F) -> F: ...


@overload
def register(_func: None = None, *, sort_value: float = 0) -> Callable[[F], F]: ...


def register(
    _func: Callable[..., Any] | None = None, *, sort_value: float = 0
) -> Callable[..., Any]:
    """Mark a function as a plugin task; it is returned as it is.

    Works bare (``@register``) and with arguments (``@register(sort_value=1)``).

    Args:
        _func: The function, when the decorator is used bare.
        sort_value: Where the function wants to stand among others.
    """

    def remember(func: F) -> F:
        module = sys.modules[func.__module__]
        registered(module)[func.__name__] = _describe(func, module, sort_value)
        return func

    return remember if _func is None else remember(_func)


def registered(module: ModuleType) -> dict[str, PluginInfo]:
    """Return the functions that a module has registered, by name."""
    registry: dict[str, PluginInfo] = module.__dict__.setdefault(_REGISTRY, {})
    return registry


def names(package: str) -> list[str]:
    """List the plugin files of a package that register functions.

    A file that cannot be imported is left out, so that it does not hide the others.

    Args:
        package: The dotted name of the package.

    Raises:
        UnknownPackageError: The package cannot be imported.
    """
    found = (name for name in _files(package) if _has_functions(package, name))
    return sorted(found, key=lambda name: info(package, name).sort_value)


def funcs(package: str, plugin: str) -> list[str]:
    """List the functions that a plugin file registers.

    Args:
        package: The package that holds the file; empty for a file of its own.
        plugin: The name of the file without ``.py``.

    Returns:
        Their names, in the order of registration.

    Raises:
        UnknownPackageError: The package cannot be found.
        UnknownPluginError: The package has no such file.
    """
    return list(registered(_import(package, plugin)))


def info(package: str, plugin: str, func: str | None = None) -> PluginInfo:
    """Return what is known of a registered function.

    Args:
        package: The package that holds the file; empty for a file of its own.
        plugin: The name of the file without ``.py``.
        func: The name of the function; by default the first that was registered.

    Raises:
        UnknownPackageError: The package cannot be found.
        UnknownPluginError: The package has no such file, or it registers nothing.
        UnknownPluginFunctionError: The file registers no such function.
    """
    functions = registered(_import(package, plugin))
    dotted = f"{package}.{plugin}".lstrip(".")
    if not functions:
        raise UnknownPluginError(
            f"{dotted!r} registers no functions: "
            "put @pyplugs.register above those that are tasks"
        )
    name = next(iter(functions)) if func is None else func
    if name not in functions:
        raise UnknownPluginFunctionError(
            f"{dotted!r} registers no function {name!r}, only {sorted(functions)}: "
            "put @pyplugs.register above it"
        )
    return functions[name]


def exists(package: str, plugin: str) -> bool:
    """Tell whether a package has a file of this name that registers functions.

    Args:
        package: The package that holds the file; empty for a file of its own.
        plugin: The name of the file without ``.py``.
    """
    try:
        return bool(registered(_import(package, plugin)))
    except (UnknownPackageError, UnknownPluginError):
        return False


def get(package: str, plugin: str, func: str | None = None) -> Callable[..., Any]:
    """Return a registered function.

    Args:
        package: The package that holds the file; empty for a file of its own.
        plugin: The name of the file without ``.py``.
        func: The name of the function; by default the first that was registered.

    Raises:
        UnknownPackageError: The package cannot be found.
        UnknownPluginError: The package has no such file, or it registers nothing.
        UnknownPluginFunctionError: The file registers no such function.
    """
    return info(package, plugin, func).func


def call(
    package: str, plugin: str, func: str | None = None, *args: Any, **kwargs: Any
) -> Any:
    """Call a registered function.

    Args:
        package: The package that holds the file; empty for a file of its own.
        plugin: The name of the file without ``.py``.
        func: The name of the function; by default the first that was registered.
        *args: What it takes.
        **kwargs: What it takes by name.

    Returns:
        What it returns.

    Raises:
        UnknownPackageError: The package cannot be found.
        UnknownPluginError: The package has no such file, or it registers nothing.
        UnknownPluginFunctionError: The file registers no such function.
    """
    return get(package, plugin, func)(*args, **kwargs)


def names_factory(package: str) -> Callable[[], list[str]]:
    """Return `names` for one package."""
    return functools.partial(names, package)


def funcs_factory(package: str) -> Callable[[str], list[str]]:
    """Return `funcs` for one package."""
    return functools.partial(funcs, package)


def info_factory(package: str) -> Callable[..., PluginInfo]:
    """Return `info` for one package."""
    return functools.partial(info, package)


def exists_factory(package: str) -> Callable[[str], bool]:
    """Return `exists` for one package."""
    return functools.partial(exists, package)


def get_factory(package: str) -> Callable[..., Callable[..., Any]]:
    """Return `get` for one package."""
    return functools.partial(get, package)


def call_factory(package: str) -> Callable[..., Any]:
    """Return `call` for one package."""
    return functools.partial(call, package)


def _describe(
    func: Callable[..., Any], module: ModuleType, sort_value: float
) -> PluginInfo:
    package, _, plugin = func.__module__.rpartition(".")
    description, _, rest = (func.__doc__ or "").partition("\n\n")
    return PluginInfo(
        package_name=package,
        plugin_name=plugin,
        func_name=func.__name__,
        func=func,
        description=description,
        doc=textwrap.dedent(rest).strip(),
        module_doc=module.__doc__ or "",
        sort_value=sort_value,
    )


def _import(package: str, plugin: str) -> ModuleType:
    dotted = f"{package}.{plugin}".lstrip(".")
    try:
        return importlib.import_module(dotted)
    except ModuleNotFoundError as error:
        # Only the absence of what was asked for is translated; a plugin that cannot
        # find one of its own imports says so itself.
        if error.name == dotted:
            raise UnknownPluginError(f"there is no plugin {dotted!r}") from None
        if error.name and package and f"{package}.".startswith(f"{error.name}."):
            raise UnknownPackageError(f"there is no package {package!r}") from None
        raise


def _files(package: str) -> list[str]:
    try:
        folders = list(importlib.import_module(package).__path__)
    except (ImportError, AttributeError, ValueError) as error:
        raise UnknownPackageError(f"there is no package {package!r}") from error
    found = (path for folder in folders for path in Path(folder).glob("*.py"))
    return sorted({path.stem for path in found if not path.name.startswith("_")})


def _has_functions(package: str, plugin: str) -> bool:
    try:
        return bool(registered(_import(package, plugin)))
    except (ImportError, UnknownPluginError):
        return False
