"""What an import changes of its process, beside the modules that it brings.

In a cold process it changes that when the job imports the module, and not at all in a
job that does not. So it is undone, and done again where a job asks for the module; an
import that changes what cannot be done again is refused.
"""

from __future__ import annotations

import atexit
import builtins
import decimal
import gc
import locale
import logging
import multiprocessing.context
import os
import resource
import signal
import socket
import sys
import threading
import time
import warnings
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_LIMITS = sorted(name for name in dir(resource) if name.startswith("RLIMIT_"))

_TIMERS = signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF


class StateChanged(Exception):
    """An import changed what it must not; the message says what, as its object."""


def _lists() -> dict[str, list[Any]]:
    """Lists of the process to which an import may add something."""
    return {
        "sys.path": sys.path,
        "sys.meta_path": sys.meta_path,
        "sys.path_hooks": sys.path_hooks,
        "warnings.filters": warnings.filters,  # type: ignore[dict-item] # a list
    }


def _fixed() -> dict[str, object]:
    """What no import may change, in words for people."""
    root = logging.getLogger()
    mask = os.umask(0o077)
    os.umask(mask)
    return {
        "the current folder": _folder(),
        "the umask": mask,
        "handlers of signals": [signal.getsignal(s) for s in signal.valid_signals()],
        "timers": [signal.getitimer(which) for which in _TIMERS],
        "blocked signals": signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        "the locale": locale.setlocale(locale.LC_ALL),
        "the time zone": (time.tzname, time.timezone),
        "limits of the process": [
            resource.getrlimit(getattr(resource, name)) for name in _LIMITS
        ],
        "its priority": os.getpriority(os.PRIO_PROCESS, 0),
        "the log's handlers": (list(root.handlers), list(root.filters)),
        "the log's level": (root.level, logging.root.manager.disable),
        "the kind of loggers": (
            logging.getLoggerClass(),
            logging.getLogRecordFactory(),
            logging.lastResort,
            logging.raiseExceptions,
        ),
        "hooks of the interpreter": (
            sys.excepthook,
            sys.unraisablehook,
            sys.displayhook,
            sys.breakpointhook,
            sys.gettrace(),
            sys.getprofile(),
            threading.excepthook,
            warnings.showwarning,
        ),
        "Python's own functions": {
            name: value
            for name, value in vars(builtins).items()
            if not name.startswith("__pybind11_internals")  # of extension modules
        },
        "the standard streams": (sys.stdin, sys.stdout, sys.stderr),
        "limits of the interpreter": (
            sys.getrecursionlimit(),
            sys.getswitchinterval(),
            sys.get_int_max_str_digits(),
            threading.stack_size(),
        ),
        "the collection of garbage": (
            gc.isenabled(),
            gc.get_threshold(),
            list(gc.callbacks),
        ),
        "the time-out of sockets": socket.getdefaulttimeout(),
        "arithmetic": str(decimal.getcontext()),
        "the arguments": list(sys.argv),
        "how processes are started": _start_method(),
    }


def _start_method() -> str:
    default = vars(multiprocessing.context._default_context)  # noqa: SLF001
    context: Any = default["_actual_context"] or default["_default_context"]
    return str(context.get_start_method())


def _folder() -> str:
    try:
        return str(Path.cwd())
    except OSError:
        return ""


@dataclass
class StateChange:
    """What one import changed.

    Attributes:
        variables: Variables that were set, or removed (None).
        defaults: Variables that were to be set, but were there.
        added: For each list, what came before and behind what was there.
        finders: What was taken from `sys.meta_path`, as setuptools takes its own.
        handlers: What is to be done at the end of the process.
        finalizers: The same, for objects that may go before.
    """

    variables: dict[str, str | None] = field(default_factory=dict)
    added: dict[str, tuple[list[Any], list[Any]]] = field(default_factory=dict)
    handlers: list[tuple[Any, Any, Any]] = field(default_factory=list)
    finalizers: list[Any] = field(default_factory=list)
    defaults: dict[str, str] = field(default_factory=dict)
    finders: list[Any] = field(default_factory=list)

    def without(self, others: Sequence[StateChange]) -> StateChange:
        """What is left of it when what others have changed is not."""
        variables, added = dict(self.variables), dict(self.added)
        handlers, finalizers = self.handlers, self.finalizers
        for other in others:
            for name, value in other.variables.items():
                if name in variables and variables[name] == value:
                    del variables[name]
            for name, theirs in other.added.items():
                if name in added:
                    added[name] = _without(added[name], theirs)
            known = [handler[0] for handler in other.handlers]
            handlers = [
                each
                for each in handlers
                if not any(each[0] is function for function in known)
            ]
            finalizers = [each for each in finalizers if each not in other.finalizers]
        gone = [finder for other in others for finder in other.finders]
        finders = [each for each in self.finders if each not in gone]
        return StateChange(variables, added, handlers, finalizers, finders=finders)

    def do_again(self) -> None:
        """Change this process likewise."""
        self._set_variables()
        lists = _lists()
        for finder in self.finders:
            if finder in sys.meta_path:
                sys.meta_path.remove(finder)
        for name, (before, behind) in self.added.items():
            _prepend(lists[name], before)
            lists[name] += [item for item in behind if item not in lists[name]]
        if "warnings.filters" in self.added:
            warnings._filters_mutated()  # type: ignore[attr-defined] # noqa: SLF001
        for function, args, kwargs in self.handlers:
            atexit.register(function, *args, **kwargs)
        for finalizer in self.finalizers:
            finalizer.atexit = True
        if self.finalizers:
            registry = weakref.finalize
            registry._registered_with_atexit = True  # type: ignore[attr-defined] # noqa: SLF001
            atexit.register(registry._exitfunc)  # type: ignore[attr-defined] # noqa: SLF001

    def _set_variables(self) -> None:
        for name, default in self.defaults.items():
            os.environ.setdefault(name, default)
        for name, value in self.variables.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _without(
    added: tuple[list[Any], list[Any]], theirs: tuple[list[Any], list[Any]]
) -> tuple[list[Any], list[Any]]:
    before, behind = ([*items] for items in added)
    for item in (*theirs[0], *theirs[1]):
        for items in (before, behind):
            if item in items:
                items.remove(item)
                break
    return before, behind


def _prepend(items: list[Any], new: list[Any]) -> None:
    for item in reversed(new):
        if item in items:  # as `warnings` does
            items.remove(item)
        items.insert(0, item)


class ImportState:
    """The state of this process around one import."""

    def __init__(self) -> None:
        """Note how it is."""
        self._fixed = _fixed()
        self._lists = {name: list(items) for name, items in _lists().items()}
        self._environment = _variables()
        self._finalizers = set(_finalizers())
        self._handlers: list[tuple[Any, Any, Any]] = []
        self._register: Callable[..., Any] = atexit.register
        atexit.register = self._registering

    def _registering(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        self._handlers.append((function, args, kwargs))
        return self._register(function, *args, **kwargs)

    def seen(self) -> StateChange:
        """What was changed; no later change is seen.

        Raises:
            StateChanged: Something is changed that is not changed again.
        """
        atexit.register = self._register
        now = _fixed()
        for what, value in self._fixed.items():
            if now[what] != value:
                raise StateChanged(what)
        finalizers = set(_finalizers()) - self._finalizers
        return StateChange(
            variables=_difference(self._environment, _variables()),
            added=self._added(),
            handlers=list(self._handlers),
            finalizers=[each for each in finalizers if each.atexit],
            finders=self._gone_finders(),
        )

    def undo(self) -> StateChange:
        """Have it as it was; what it takes to change it again.

        Raises:
            StateChanged: Something is changed that is not changed again.
        """
        change = self.seen()
        for name, value in change.variables.items():
            if (old := self._environment.get(name)) is None:
                del os.environ[name]
            elif old != value:
                os.environ[name] = old
        for name, items in _lists().items():
            items[:] = self._lists[name]
        warnings._filters_mutated()  # type: ignore[attr-defined] # noqa: SLF001
        return change

    def _gone_finders(self) -> list[Any]:
        return [one for one in self._lists["sys.meta_path"] if one not in sys.meta_path]

    def _added(self) -> dict[str, tuple[list[Any], list[Any]]]:
        added = {}
        for name, items in _lists().items():
            before = self._lists[name]
            if name == "sys.meta_path":
                before = [finder for finder in before if finder in items]
            if before == items:
                continue
            kept = len(before)
            places = [
                place
                for place in range(len(items) - kept + 1)
                if items[place : place + kept] == before
            ]
            if places:
                at = places[0]
                added[name] = (items[:at], items[at + kept :])
            elif name == "warnings.filters" and (front := _in_front(before, items)):
                added[name] = (front, [])
            else:
                raise StateChanged(name)
        return added


def _in_front(before: list[Any], items: list[Any]) -> list[Any]:
    """What came in front, where some that were there have moved there."""
    for count in range(1, len(items) + 1):
        front = items[:count]
        if items[count:] == [item for item in before if item not in front]:
            return front
    return []


def _difference(
    before: Mapping[str, str], after: Mapping[str, str]
) -> dict[str, str | None]:
    found: dict[str, str | None] = {
        name: value for name, value in after.items() if before.get(name) != value
    }
    return found | dict.fromkeys(before.keys() - after.keys())


def _variables() -> dict[str, str]:
    """The environment, without anybody noting that it is read."""
    return {
        os.fsdecode(name): os.fsdecode(value)
        for name, value in vars(os.environ)["_data"].items()
    }


def _finalizers() -> list[Any]:
    return list(weakref.finalize._registry)  # type: ignore[attr-defined] # noqa: SLF001
