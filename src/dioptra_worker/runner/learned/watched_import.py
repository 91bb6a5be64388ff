"""An import that is made beforehand: what it brings, each package for itself.

A job may ask for a package that came with another one, and must not get that, too: the
warnings of ART are none of a job that imports NumPy. So what one import brings is split
where one package imports from another. Each part is a group, with what it needs of the
others, what its own import said, and what that changed.
"""

from __future__ import annotations

import builtins
import contextlib
import logging
import os
import sys
import threading
import warnings
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any

from dioptra_worker.runner.import_hook import as_pythons_own
from dioptra_worker.runner.learned import loggers
from dioptra_worker.runner.learned.group import Group, Warned, attributes
from dioptra_worker.runner.learned.process_state import ImportState, StateChanged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from dioptra_worker.runner.learned.process_state import StateChange

MAX_RECORDS = 200
"""Log records of one part that are kept, and warnings."""


@dataclass(eq=False)
class Part:
    """What is imported of one package, while that goes on.

    Attributes:
        group: What is known of it so far.
        known: The modules that there were before.
        loggers: The loggers that there were before.
        changes: What others have changed meanwhile.
        asked: What it has asked for, by full names, loaded or not.
        defaults: Variables that it would have set, had others not done it before.
        absorbed_by: Where it went, if it could not be told from that.
    """

    group: Group
    known: set[str]
    loggers: set[str]
    changes: list[StateChange] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)
    defaults: dict[str, str] = field(default_factory=dict)
    absorbed_by: Part | None = None

    @property
    def top(self) -> str:
        """The first part of its modules' names."""
        return self.group.name.partition(".")[0]


class WatchedImport:
    """Looks at one import in this process, from its beginning to its end.

    Attributes:
        groups: What came of it, once it is over; the one asked for is the last.
    """

    def __init__(self, name: str, *, stops: Callable[[Group], object]) -> None:
        """Prepare.

        Args:
            name: The module that is asked for.
            stops: Is told of each group when its import has ended, and when another
                begins before that.
        """
        self.groups: list[Group] = []
        self._name = name
        self._stops = stops
        self._thread = threading.get_ident()
        self._outside = Group("")
        self._open: list[Part] = []
        self._states: list[ImportState] = []
        self._closed: list[Part] = []
        self._modules: set[str] = set()
        self._loggers: set[str] = set()
        self._turns: list[tuple[int, int, Part]] = []

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Look from the beginning of the block to its end.

        Raises:
            StateChanged: It changed what is not changed again.
        """
        with (
            _recording_logs(self),
            _recording_warnings(self),
            _recording_variables(self),
            _recording_imports(self),
        ):
            root = self._new(self._name)
            try:
                yield
            except BaseException:
                with contextlib.suppress(StateChanged):
                    self._states.pop().undo()
                raise
            self._close(root, self._states.pop().undo())

    # From imports.

    @property
    def group(self) -> Group:
        """What is imported now."""
        return self._open[-1].group if self._open else self._outside

    def asks_for(self, name: str) -> None:
        """Note that a module is asked for."""
        if self._open:
            self._open[-1].asked.add(name)

    def sets_again(self, name: str, value: str) -> None:
        """Note that a variable was to be set, and perhaps was there."""
        if self._open:
            self._open[-1].defaults[name] = value

    def was_given(self, groups: Sequence[Group]) -> None:
        """Note what had been imported before, and is there again."""
        for group in groups:
            self._modules |= group.modules.keys()
            self._loggers |= group.loggers.keys()
            self._open[-1].changes.append(group.change)

    def begin(self, name: str) -> Part | None:
        """Note that a module is about to be imported; a part if it begins one."""
        if not self._open or threading.get_ident() != self._thread:
            return None
        top = name.partition(".")[0]
        if top == self._open[-1].top or top in sys.stdlib_module_names:
            return None
        return self._new(name)

    def end(self, part: Part, *, well: bool) -> None:
        """Note that the import of a part has ended."""
        try:
            change = self._states.pop().seen()
        except StateChanged:  # what is around it may have it as it was
            well = False
        if well:
            self._close(part, change)
        else:
            self._absorb(part)

    def _new(self, name: str) -> Part:
        if self._open:
            self._stops(self._open[-1].group)
        part = Part(Group(name), set(sys.modules), set(loggers.present()))
        self._states.append(ImportState())
        self._open.append(part)
        self._turn()
        return part

    def _close(self, part: Part, change: StateChange) -> None:
        group = part.group
        self._open.pop()
        found, logs = _since(part, self._modules, self._loggers)
        group.modules, group.loggers = found, logs
        self._modules |= found.keys()
        self._loggers |= logs.keys()
        group.change = change.without(part.changes)
        group.change.defaults = part.defaults
        self._closed.append(part)
        self._stops(group)
        if self._open:
            self._open[-1].changes += [*part.changes, group.change]
        self._turn()

    def _absorb(self, part: Part) -> None:
        """Leave a part to what is around it."""
        self._open.pop()
        self._stops(part.group)
        part.absorbed_by = outer = self._open[-1]
        if part.group.remembered is not None:
            outer.group.remembered = part.group.remembered.with_files_of(
                outer.group.remembered
            )
        outer.defaults |= part.defaults
        outer.asked |= part.asked
        outer.changes += part.changes
        outer.group.reads |= part.group.reads
        outer.group.records += part.group.records
        outer.group.warned += part.group.warned
        self._turn()

    # Once it is over.

    @property
    def asked_for(self) -> Group:
        """The group of the module that was asked for."""
        return self._closed[-1].group

    def find_groups(self, group_of: Mapping[str, Group]) -> None:
        """Find what belongs together, and what needs what.

        Args:
            group_of: Groups that there were before, by their modules' names.
        """
        found = [part.group for part in self._closed]
        asked = {part.group: part.asked for part in self._closed}
        for group in [*found]:
            if (standard := _pythons_part(group)) is not None:
                found.insert(0, standard)
                asked[standard] = {one for one in asked[group] if _is_standard(one)}
        known = {**group_of, **{name: one for one in found for name in one.modules}}
        for group in found:
            group.find_children()
        direct = {one: _needed(one, asked[one], known) for one in found}
        for group in found:
            group.needs = [
                one for one in _all_needed(group, direct) if one is not group
            ]
        self.groups = found

    def share(self, out: bytes, err: bytes) -> None:
        """Give each part what it has written.

        Args:
            out: All that was written to standard output.
            err: And to standard error.
        """
        ends = [*self._turns[1:], (len(out), len(err), None)]
        for (out_at, err_at, part), (out_end, err_end, _) in zip(
            self._turns, ends, strict=True
        ):
            while part.absorbed_by is not None:
                part = part.absorbed_by  # noqa: PLW2901
            part.group.out += _text(out[out_at:out_end])
            part.group.err += _text(err[err_at:err_end])

    def _turn(self) -> None:
        """Note who writes from now on."""
        if self._open:
            self._turns.append(
                (_written(sys.stdout, 1), _written(sys.stderr, 2), self._open[-1])
            )


def _since(
    part: Part, modules: set[str], known_loggers: set[str]
) -> tuple[dict[str, ModuleType], dict[str, logging.Logger]]:
    found = {
        name: module
        for name, module in sys.modules.items()
        if name not in part.known and name not in modules
    }
    logs = {
        name: one
        for name, one in loggers.present().items()
        if name not in part.loggers and name not in known_loggers
    }
    return found, logs


def _pythons_part(group: Group) -> Group | None:
    """Make modules of Python's library a group for themselves.

    What needs one of them needs nothing else of this group.
    """
    standard = {
        name: module for name, module in group.modules.items() if _is_standard(name)
    }
    if not standard or len(standard) == len(group.modules):
        return None
    for name in standard:
        del group.modules[name]
    part = Group(f"{group.name}, Python's part", modules=standard)
    part.loggers = {
        name: group.loggers.pop(name) for name in [*group.loggers] if _is_standard(name)
    }
    return part


def _is_standard(name: str) -> bool:
    return name.partition(".")[0] in sys.stdlib_module_names


def _needed(
    group: Group, asked: Iterable[str], group_of: Mapping[str, Group]
) -> list[Group]:
    """The groups that one has asked for, or whose modules it has at hand."""
    names = dict.fromkeys(asked)
    for module in group.modules.values():
        for value in [*attributes(module).values()]:
            if type(value) is ModuleType:
                names[str(attributes(value).get("__name__"))] = None
    needed: dict[Group, None] = {}
    for name in (*names, *group.modules):
        for whole in _with_packages(name):
            if (other := group_of.get(whole)) is not None:
                needed[other] = None
    needed.pop(group, None)
    return [*needed]


def _with_packages(name: str) -> Iterator[str]:
    """A module's name, behind those of the packages that it is in."""
    place = name.find(".")
    while place >= 0:
        yield name[:place]
        place = name.find(".", place + 1)
    yield name


def _all_needed(group: Group, direct: Mapping[Group, Sequence[Group]]) -> list[Group]:
    """A group and all that it needs, each behind what it needs itself."""
    found: dict[Group, None] = {}
    begun = {group}
    waiting = [(group, iter(direct[group]))]
    while waiting:
        one, others = waiting[-1]
        other = next((each for each in others if each not in begun), None)
        if other is None:
            found[one] = None
            waiting.pop()
        else:
            begun.add(other)
            waiting.append((other, iter(direct.get(other, other.needs))))
    return [*found]


def _written(stream: Any, descriptor: int) -> int:
    """How much was written so far, where that goes to a file."""
    with contextlib.suppress(OSError, ValueError):
        stream.flush()
        return os.lseek(descriptor, 0, os.SEEK_CUR)
    return 0


def _text(said: bytes) -> str:
    return said.decode("utf-8", "backslashreplace")


class _recording_variables:  # noqa: N801 - a context manager
    """Note which variables are read in Python, and which were to be set."""

    def __init__(self, watch: WatchedImport) -> None:
        self._watch = watch
        self._plain: type[os._Environ[str]] = type(os.environ)

    def __enter__(self) -> None:
        watch, plain = self._watch, self._plain
        listed: list[str] = [""]

        class Environment(plain):  # type: ignore[misc, valid-type]
            def __iter__(self) -> Iterator[str]:
                for listed[0] in super().__iter__():
                    yield listed[0]

            def __getitem__(self, name: str) -> str:
                if name != listed[0]:  # else somebody makes a copy of all
                    watch.group.reads.add(str(name))
                value: str = super().__getitem__(name)
                return value

            def __setitem__(self, name: str, value: str) -> None:
                if vars(self)["_data"].get(os.fsencode(name)) == os.fsencode(value):
                    watch.sets_again(name, value)
                super().__setitem__(name, value)

            def setdefault(self, name: str, value: str) -> str:
                found: str = super().setdefault(name, value)
                watch.sets_again(name, value)
                return found

        os.environ.__class__ = Environment

    def __exit__(self, *_: object) -> None:
        os.environ.__class__ = self._plain


class _recording_logs(logging.Handler):  # noqa: N801 - a context manager
    """Keep what is logged."""

    def __init__(self, watch: WatchedImport) -> None:
        super().__init__()
        self._watch = watch

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        records = self._watch.group.records
        if len(records) < MAX_RECORDS:
            records.append(record)

    def __enter__(self) -> None:
        logging.getLogger().addHandler(self)

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)


@contextlib.contextmanager
def _recording_warnings(watch: WatchedImport) -> Iterator[None]:
    """Keep what Python warns of, all of it: a job's filters choose."""

    def keep(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: object = None,
        line: str | None = None,
    ) -> None:
        del file, line
        found = watch.group.warned
        if len(found) < MAX_RECORDS:
            found.append(Warned(str(message), category, filename, lineno))

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = keep
        yield


@contextlib.contextmanager
def _recording_imports(watch: WatchedImport) -> Iterator[None]:
    """Note what is asked for, as well where it is loaded already."""
    original: Any = builtins.__import__

    def importing(
        name: str,
        globals: Mapping[str, Any] | None = None,  # noqa: A002 - its parameters' names
        locals: object = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        module = original(name, globals, locals, fromlist, level)
        if not level and type(name) is str:
            watch.asks_for(name)
        if fromlist:
            watch.asks_for(whole := str(attributes(module).get("__name__")))
            for each in fromlist:
                watch.asks_for(f"{whole}.{each}")
        return module

    as_pythons_own(importing)
    builtins.__import__ = importing
    try:
        yield
    finally:
        builtins.__import__ = original
