"""Modules that were imported beforehand, kept aside until a job asks for one of them.

A job that asks for none is as if there were none: it does not find them among loaded
modules, and nothing of what their imports change is changed. One that asks gets what
its own import would have made: the modules, what their import changed of the process,
and what it said.

Each package that an import brought makes a group, which a job gets as a whole, with
those that it needs. While one is imported, those before it are kept aside, too: so what
it needs of them is seen, and it finds the process as in a job that imports it alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.util
import logging
import os
import sys
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any

from dioptra_worker.protocol.preload_rules import READ_BY_LIBRARIES
from dioptra_worker.runner.import_hook import put_around
from dioptra_worker.runner.learned.watched_import import WatchedImport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from dioptra_worker.runner.learned.group import Group


class LearnedModules:
    """What was imported beforehand, in the process that did it and in its forks."""

    def __init__(self, *, reseed: Callable[[int, set[str]], object]) -> None:
        """Prepare; nothing is imported yet.

        Args:
            reseed: Is given a seed and the names of modules: makes their random
                generators fresh.
        """
        self._reseed = reseed
        self._groups: list[Group] = []
        self._group_of: dict[str, Group] = {}
        self._lock = threading.RLock()
        self._learning: WatchedImport | None = None
        self._environment: dict[str, str] | None = None
        self._seed: int | None = None
        self._too_late: Callable[[str, list[str]], object] = lambda *_: None
        self.used: list[Group] = []

    def __len__(self) -> int:
        return len(self._groups)

    def install(self) -> bool:
        """Look at each import from now on; whether that can be."""
        return put_around(self._looking)

    # Beforehand.

    def learn(
        self, name: str, *, stops: Callable[[Group], object] = lambda _: None
    ) -> WatchedImport:
        """Import a module, and keep aside all that it brings.

        Args:
            name: Its full name.
            stops: Is told of each group when its import has ended, and when another
                begins before that.

        Returns:
            What was seen of it.

        Raises:
            StateChanged: It changed what is not changed again.
            ModulesReplaced: It changed what was there before.
            BaseException: What the import raises.
        """
        watch = WatchedImport(name, stops=stops)
        before = dict(sys.modules)
        started = time.monotonic()
        with watch.recording():
            self._learning = watch
            try:
                importlib.import_module(name)
            finally:
                seconds = round(time.monotonic() - started, 3)
                self._learning = None
        given = [group for group in self._groups if group.given]
        watch.find_groups(self._group_of)
        watch.asked_for.seconds = seconds
        for group in (*watch.groups, *given):
            group.take()
        for known, module in before.items():
            if sys.modules.get(known) is not module:
                raise ModulesReplaced(known)
        for group in watch.groups:
            self._add(group)
        return watch

    def _add(self, group: Group) -> None:
        self._groups.append(group)
        for name in group.modules:
            self._group_of[name] = group

    @contextlib.contextmanager
    def all_given(self) -> Iterator[None]:
        """Have all of them where a job that imports all finds them."""
        for group in self._groups:
            group.put_back()
        try:
            yield
        finally:
            for group in self._groups:
                group.take()

    def has(self, name: str) -> bool:
        """Whether a module was brought by an import."""
        return name in self._group_of or name in sys.modules

    def files(self, groups: Iterable[Group] | None = None) -> dict[str, str]:
        """The files of modules, by the modules' names.

        Args:
            groups: Of some groups; None is of all.
        """
        found = {}
        for group in self._groups if groups is None else groups:
            for name, module in group.modules.items():
                spec = getattr(module, "__spec__", None)
                if spec is not None and spec.has_location and spec.origin is not None:
                    found[name] = spec.origin
        return found

    def top_levels(self) -> list[str]:
        """The first parts of the modules' names, sorted."""
        return sorted({name.partition(".")[0] for name in self._group_of})

    # In a job.

    def begin(self, *, seed: int, too_late: Callable[[str, list[str]], object]) -> None:
        """Begin a job: what it has in its environment now is what the worker gave.

        Args:
            seed: What its random generators are seeded with.
            too_late: Is told of a variable that the job has set, and of the modules
                whose import would have read it.
        """
        self._seed = seed
        self._environment = _environment()
        self._too_late = too_late

    def _looking(self, original: Any) -> Any:
        group_of = self._group_of

        def find_and_load(name: str, import_: object) -> Any:
            watch = self._learning
            if watch is not None:
                watch.asks_for(name)
            group = group_of.get(name)
            if group is not None and not group.given and self._give(name, group):
                return sys.modules[name]
            part = None if watch is None else watch.begin(name)
            if watch is None or part is None:
                return original(name, import_)
            is_well = False
            try:
                module = original(name, import_)
                is_well = True
            finally:
                watch.end(part, well=is_well)
            return module

        return find_and_load

    def _give(self, name: str, group: Group) -> bool:
        """Give the job a group, unless it would find another module of that name."""
        with self._lock:
            if group.given:
                return True
            if not self._is_found_here(name):
                return False
            groups = [other for other in (*group.needs, group) if not other.given]
            watch = self._learning
            if watch is None:
                self._compare_environment(groups)
            for other in groups:
                other.put_back()
                if watch is None:
                    _warn(other)  # before the filters that the import adds
                other.change.do_again()
            if watch is not None:
                watch.was_given(groups)
                return True
            self.used += groups
            self._after(groups)
            return True

    def _after(self, groups: Sequence[Group]) -> None:
        if self._environment is not None:
            for other in groups:
                for name in (*other.change.variables, *other.change.defaults):
                    if (value := os.environ.get(name)) is not None:
                        self._environment[name] = value
        for other in groups:
            if other.remembered is not None:
                other.remembered.move_here()
        names = {name for other in groups for name in other.modules}
        if self._seed is not None:
            self._reseed(self._seed, names)
        for other in groups:
            _say(other)

    def _is_found_here(self, name: str) -> bool:
        """Whether Python would find what we have."""
        top = name.partition(".")[0]
        if top in sys.modules:
            return True
        ours = (
            self._group_of[top].modules[top].__spec__ if top in self._group_of else None
        )
        try:
            found = importlib.util.find_spec(top)
        except (ImportError, ValueError):
            return False
        return (
            ours is not None
            and found is not None
            and found.origin == ours.origin
            and type(found.loader) is type(ours.loader)
        )

    def _compare_environment(self, groups: Iterable[Group]) -> None:
        before, now = self._environment, _environment()
        if before is None:
            return
        changed = {
            name
            for name in before.keys() | now.keys()
            if before.get(name) != now.get(name)
        }
        late: dict[str, list[str]] = {}
        for name in sorted(changed):
            for group in groups:
                if name in group.reads or name.startswith(READ_BY_LIBRARIES):
                    late.setdefault(name, []).append(group.name)
        for name, modules in late.items():
            self._too_late(name, modules)


def _say(group: Group) -> None:
    """Print and log in a job what an import said beforehand."""
    here = _here(group)
    for stream, said in ((sys.stdout, group.out), (sys.stderr, group.err)):
        for line in here(said).splitlines(keepends=True):  # each is one of the log
            stream.write(line)
    for record in group.records:
        text = record.getMessage()
        if here(text) != text:
            record.msg, record.args = here(text), None
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)


def _warn(group: Group) -> None:
    """Warn in a job as an import did beforehand."""
    here = _here(group)
    modules = {getattr(one, "__file__", None): one for one in group.modules.values()}
    for warned in group.warned:
        text = here(warned.text)
        try:
            message = warned.category(text)
        except TypeError:  # one that is made of more
            message = UserWarning(text)
        module = modules.get(warned.file)
        own: dict[str, Any] = {} if module is None else vars(module)
        warnings.warn_explicit(
            message,
            warned.category,
            warned.file,
            warned.line,
            module=own.get("__name__"),
            registry=own.setdefault("__warningregistry__", {}),
        )


def _here(group: Group) -> Callable[[str], str]:
    return str if group.remembered is None else group.remembered.folders.here


_kept: list[LearnedModules] = []
"""What this process, or the one that it is a fork of, has learned."""


def keep(learned: LearnedModules) -> None:
    """Let jobs in forks of this process have what was learned."""
    _kept[:] = [learned]


def kept() -> LearnedModules | None:
    """What was learned, if this process is a fork of one that learns."""
    return _kept[0] if _kept else None


class ModulesReplaced(Exception):
    """An import has replaced or removed a module that was there; that is named."""


def _environment() -> dict[str, str]:
    """The environment that libraries see, however it was changed."""
    found = {}
    try:
        entries = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ")
    except (OSError, ValueError):
        return dict(os.environ)
    for entry in _until_null(entries):
        name, _, value = os.fsdecode(entry).partition("=")
        found[name] = value
    return found


def _until_null(entries: Any) -> Iterator[bytes]:
    place = 0
    while (entry := entries[place]) is not None:
        yield entry
        place += 1
