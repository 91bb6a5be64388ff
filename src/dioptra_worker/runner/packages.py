"""The packages of a bundle, and which modules of the process are theirs."""

from __future__ import annotations

import hashlib
import os
import sys
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType


class Package:
    """A top-level package, or a file on top level, of plugin code.

    Attributes:
        name: Its name, the first part of its modules' names.
        places: Where it lies; several, when bundles hold the same bytes.
        modules: Its modules that have been imported so far, by their full names.
    """

    _known: ClassVar[WeakValueDictionary[tuple[str, str], Package]] = (
        WeakValueDictionary()
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.places: list[Path] = []
        self.modules: dict[str, ModuleType] = {}

    @classmethod
    def at(cls, places: list[Path]) -> Package:
        """Return the package with the bytes of these files and folders."""
        name = places[0].stem
        key = (name, _digest(places))
        package = cls._known.get(key)
        if package is None or not all(place.exists() for place in package.places):
            package = cls._known[key] = cls(name)
        package.places += [place for place in places if place not in package.places]
        return package

    def owns(self, name: str, module: ModuleType) -> bool:
        """Tell whether a module's code lies in this package."""
        if name in self.modules and self.modules[name] is module:
            return True
        location = _location(module)
        if location is None or (name == self.name and _is_namespace(module)):
            return False
        return any(
            location == str(place) or location.startswith(f"{place}{os.sep}")
            for place in self.places
        )

    def put_in(self) -> None:
        """Make the modules importable that have been imported so far."""
        if self._needs_namespace():
            self.modules[self.name] = _namespace(self.name, self.places[0])
        for name, module in self.modules.items():
            sys.modules[name] = module
            _tell_parent(name, module)

    def hidden_by(self) -> str | None:
        """Return what of the same name Python finds instead of this package, if any."""
        loaded = sys.modules.get(self.name)
        if loaded is not None and not self.owns(self.name, loaded):
            return getattr(loaded, "__file__", None)
        if self._bare and self.name in sys.stdlib_module_names:
            return "Python's standard library"
        return None

    @property
    def _bare(self) -> bool:
        """Whether it is a folder without ``__init__.py``."""
        place = self.places[0]
        return place.is_dir() and not (place / "__init__.py").exists()

    def _needs_namespace(self) -> bool:
        return (
            self._bare
            and self.name not in self.modules
            and self.name not in sys.modules
            # a bare folder must not take the place of a module that others import
            and self.name not in sys.stdlib_module_names
        )

    def relative(self, module: ModuleType) -> str:
        """Return a module's file relative to its bundle, in POSIX spelling."""
        file = Path(_location(module) or module.__name__)
        for place in self.places:
            if file.is_relative_to(place.parent):
                return file.relative_to(place.parent).as_posix()
        return file.as_posix()


def packages(directory: Path) -> dict[str, Package]:
    """Return the packages and top-level files of a bundle by name."""
    if not directory.is_dir():
        return {}
    places: dict[str, list[Path]] = {}
    for entry in sorted(directory.iterdir()):
        holds_code = next(entry.rglob("*.py"), None) if entry.is_dir() else None
        if holds_code or (entry.is_file() and entry.suffix == ".py"):
            places.setdefault(entry.stem, []).append(entry)
    return {name: Package.at(found) for name, found in places.items()}


def take_out(owners: Iterable[Package]) -> None:
    """Remember the modules of some packages and take them from ``sys.modules``."""
    known = list(owners)
    roots = tuple({f"{place.parent}{os.sep}" for own in known for place in own.places})
    for name, module in list(sys.modules.items()):
        location = _location(module)
        if location is None or not location.startswith(roots):
            continue
        for package in known:
            if package.owns(name, module):
                package.modules[name] = module
                del sys.modules[name]
                _tell_parent(name, None)
                break


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


def _tell_parent(name: str, module: ModuleType | None) -> None:
    """Set or remove a module's name in its package, where that stays loaded."""
    above, _, child = name.rpartition(".")
    parent = sys.modules.get(above)
    if parent is None:
        return
    if module is not None:
        setattr(parent, child, module)
    elif child in vars(parent):
        delattr(parent, child)


def _location(module: object) -> str | None:
    """Return a module's file, or a namespace package's first folder."""
    try:
        # Past __getattr__ and __getattribute__: some modules load when looked at.
        attributes = object.__getattribute__(module, "__dict__")
        location = attributes.get("__file__")
        if location is None:
            location = next(iter(attributes.get("__path__") or ()), None)
    except (AttributeError, TypeError):
        return None
    return location if isinstance(location, str) else None


def _is_namespace(module: ModuleType) -> bool:
    return object.__getattribute__(module, "__dict__").get("__file__") is None


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
