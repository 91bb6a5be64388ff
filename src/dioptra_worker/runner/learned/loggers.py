"""Loggers of modules that were imported beforehand, while no job has the modules.

A job that configures its log changes all loggers that there are, and disables them if
it does not say otherwise: one that its own import makes later is none of these.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_MANAGER: Any = logging.root.manager


def present() -> dict[str, logging.Logger]:
    """The loggers that there are, by their names."""
    return {
        name: each
        for name, each in _MANAGER.loggerDict.items()
        if isinstance(each, logging.Logger)
    }


def take(loggers: Mapping[str, logging.Logger]) -> None:
    """Have some where nobody finds them, and no other has one of them above it."""
    if not loggers:
        return
    taken = {id(each) for each in loggers.values()}
    for name, each in loggers.items():
        if _MANAGER.loggerDict.get(name) is each:
            del _MANAGER.loggerDict[name]
    for other in present().values():
        if id(other.parent) in taken:
            _MANAGER._fixupParents(other)  # noqa: SLF001 - as `getLogger` does
    _MANAGER._clear_cache()  # noqa: SLF001


def put_back(loggers: Mapping[str, logging.Logger]) -> None:
    """Have them where they are found; one that was made meanwhile goes on as ours."""
    for name, ours in loggers.items():
        there = _MANAGER.loggerDict.get(name)
        if there is ours:
            continue
        if isinstance(there, logging.Logger):
            _unite(ours, there)
            continue
        _MANAGER.loggerDict[name] = ours
        if there is not None:  # it stands for the one to come
            _MANAGER._fixupChildren(there, ours)  # noqa: SLF001 - as `getLogger` does
        _MANAGER._fixupParents(ours)  # noqa: SLF001
    if loggers:
        _MANAGER._clear_cache()  # noqa: SLF001


def _unite(ours: logging.Logger, theirs: logging.Logger) -> None:
    """Make one of two: as it was configured, and then by the import."""
    if ours.level != logging.NOTSET:
        theirs.level = ours.level
    theirs.handlers += [each for each in ours.handlers if each not in theirs.handlers]
    theirs.filters += [each for each in ours.filters if each not in theirs.filters]
    theirs.propagate = theirs.propagate and ours.propagate
    ours.__dict__ = theirs.__dict__
