"""The packages of a bundle, and which modules of the process are theirs."""

from __future__ import annotations

import hashlib
import os
import sys
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from itertools import takewhile
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_MARK = "dioptra_worker.modules_of_bundles_follow"
"""What stands in ``sys.modules`` before the modules of the active bundles."""


class Package:
    """A top-level package, or a file on top level, of plugin code.

    Attributes:
        name: Its name, the first part of its modules' names.
        places: Where it lies; several, when bundles hold the same bytes.
        digest: What tells whether it has the same bytes as another.
        modules: Its modules that have been imported so far, by their full names.
    """

    def __init__(self, places: list[Path], digest: str) -> None:
        self.name = places[0].stem
        self.places = places
        self.digest = digest
        self.modules: dict[str, ModuleType] = {}

    def owns(self, name: str, module: ModuleType) -> bool:
        """Tell whether a module's code lies in this package."""
        if name in self.modules and self.modules[name] is module:
            return True
        found = location(module)
        if found is None or (name == self.name and _is_namespace(module)):
            return False
        return any(
            found == str(place) or found.startswith(f"{place}{os.sep}")
            for place in self.places
        )

    def adopt(self, name: str, module: ModuleType) -> bool:
        """Keep a module for later if its code lies in this package."""
        if not self.owns(name, module):
            return False
        self.modules[name] = module
        return True

    def add_modules(self) -> None:
        """Make the modules importable that have been imported so far."""
        if self._needs_namespace():
            self.modules[self.name] = _namespace(self.name, self.places[0])
        for name, module in self.modules.items():
            sys.modules[name] = module
            _set_in_parent(name, module)

    def hiding_module(self) -> str | None:
        """Return what of the same name Python finds instead of this package, if any."""
        if self.name in sys.builtin_module_names:  # which have no file
            return "a part of Python itself"
        loaded = sys.modules.get(self.name)
        if loaded is not None and not self.owns(self.name, loaded):
            return getattr(loaded, "__file__", None)
        if self._is_namespace_folder and self.name in sys.stdlib_module_names:
            return "Python's standard library"
        return None

    @property
    def _is_namespace_folder(self) -> bool:
        """Whether it is a folder without ``__init__.py``."""
        place = self.places[0]
        return place.is_dir() and not (place / "__init__.py").exists()

    def _needs_namespace(self) -> bool:
        return (
            self._is_namespace_folder
            and self.name not in self.modules
            and self.name not in sys.modules
            # a bare folder must not take the place of a module that others import
            and self.name not in sys.stdlib_module_names
        )

    def relative(self, module: ModuleType) -> str:
        """Return a module's file relative to its bundle, in POSIX spelling."""
        file = Path(location(module) or module.__name__)
        for place in self.places:
            if file.is_relative_to(place.parent):
                return file.relative_to(place.parent).as_posix()
        return file.as_posix()


def packages(
    directory: Path, beside: Iterable[Mapping[str, Package]]
) -> dict[str, Package]:
    """Return the packages and top-level files of a bundle by name.

    Args:
        directory: The bundle.
        beside: The packages of other bundles; one with the same bytes is shared.
    """
    if not directory.is_dir():
        return {}
    others = list(beside)
    found: dict[str, Package] = {}
    for name, places in _places(directory).items():
        digest = _digest(places)
        equal = (other[name] for other in others if name in other)
        shared = next((one for one in equal if one.digest == digest), None)
        if shared is not None:
            shared.places += [place for place in places if place not in shared.places]
        found[name] = shared or Package(places, digest)
    return found


def mark_modules(packages_to_come: Iterable[Package]) -> None:
    """Note which modules there are, before those of some packages become importable.

    A mark in ``sys.modules``, which keeps the order in which modules come, tells those
    that come after it: there are thousands before, and to look at one copies its page
    of what a runner shares with its fork server. Where something of a package's name is
    loaded already there is no mark, and all are looked at.
    """
    sys.modules.pop(_MARK, None)
    if not any(own.name in sys.modules for own in packages_to_come):
        sys.modules[_MARK] = ModuleType(_MARK)


def forget_mark() -> None:
    """Leave nothing of ours in ``sys.modules``, once no bundle is active."""
    sys.modules.pop(_MARK, None)


def remove_modules(owners: Iterable[Package]) -> None:
    """Remember the modules of some packages and take them from ``sys.modules``.

    These are found among the modules that have come since `mark_modules`, and among
    those that the packages are known to have.
    """
    known = list(owners)
    roots = tuple({f"{place.parent}{os.sep}" for own in known for place in own.places})
    # In one step of the interpreter: another thread may import meanwhile.
    later = list(takewhile(_MARK.__ne__, reversed(sys.modules)))
    names = dict.fromkeys(reversed(later))
    for own in known:
        names |= dict.fromkeys(own.modules)
    taken = {
        name: module
        for name in names
        if (module := sys.modules.get(name)) is not None
        and (location(module) or "").startswith(roots)
        and any(own.adopt(name, module) for own in known)
    }
    # Only now, since a nested namespace package looks its parent up there.
    for name in taken:
        del sys.modules[name]
    for name in taken:
        _set_in_parent(name, None)


class FixedNamespacePath(list[str]):
    """The folders of a package without ``__init__.py``, which are not searched again.

    Python's own namespace packages span every folder of that name on ``sys.path``, so
    that two bundles would see each other's files. Its name contains ``NamespacePath``,
    because `importlib.resources` looks for that in the representation.
    """

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self)!r})"


def _namespace(name: str, folder: Path) -> ModuleType:
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = FixedNamespacePath([str(folder)])
    return module_from_spec(spec)


def _set_in_parent(name: str, module: ModuleType | None) -> None:
    """Set or remove a module's name in its package, where that stays loaded."""
    above, _, child = name.rpartition(".")
    parent = sys.modules.get(above)
    if parent is None:
        return
    if module is not None:
        setattr(parent, child, module)
    elif child in vars(parent):
        delattr(parent, child)


def location(module: object) -> str | None:
    """Return a module's file, or a namespace package's first folder."""
    try:
        # Past __getattr__ and __getattribute__: some modules load when looked at.
        attributes = object.__getattribute__(module, "__dict__")
        found = attributes.get("__file__")
        if found is None:
            found = next(iter(attributes.get("__path__") or ()), None)
    except (AttributeError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None


def _is_namespace(module: ModuleType) -> bool:
    return object.__getattribute__(module, "__dict__").get("__file__") is None


def _places(directory: Path) -> dict[str, list[Path]]:
    places: dict[str, list[Path]] = {}
    for entry in sorted(directory.iterdir()):
        holds_code = entry.is_dir() and any(entry.rglob("*.py"))
        if holds_code or (entry.is_file() and entry.suffix == ".py"):
            places.setdefault(entry.stem, []).append(entry)
    return places


def _digest(places: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for place in places:
        for file in _files(place):
            digest.update(f"{file.relative_to(place.parent)}\0".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _files(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
        return
    for path in sorted(place.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path
