"""A plugin that reads a variable which jobs are not given is told so, once, in the log.

It sees nothing else than that the variable is not set, and fails as it likes.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

from dioptra_worker.credentials import WITHHELD_NAMES
from dioptra_worker.protocol.messages import NO_JOB

if TYPE_CHECKING:
    from types import FrameType

log = logging.getLogger("dioptra_worker.runner")

_NAMES = {*WITHHELD_NAMES, *(f"{name}_FILE" for name in WITHHELD_NAMES)}
_CAN_BE_GIVEN = "DIOPTRA_WORKER_PASSWORD"
_PASSED_OVER = {"os", "collections.abc", "_collections_abc", __name__}
"""Modules that read the environment for others."""


def tell_of_withheld(job_id: int) -> None:
    """From now on, say it when somebody reads one that is not there.

    Args:
        job_id: The job.
    """
    plain: type[os._Environ[str]] = type(os.environ)
    told: set[object] = set()

    class Environment(plain):  # type: ignore[misc, valid-type]
        def __getitem__(self, name: object) -> str:
            try:
                found: str = super().__getitem__(name)
            except KeyError:
                if name in _NAMES and name not in told and not _asks_for_us():
                    told.add(name)
                    log.warning("%s", _words(str(name), job_id))
                raise
            return found

    # Whoever has the object goes on with it, and nothing of it is copied.
    os.environ.__class__ = Environment


def _words(name: str, job_id: int) -> str:
    words = (
        f"the plugin reads {name}, which jobs are not given, so that no plugin can act"
        " as the worker"
    )
    if name != _CAN_BE_GIVEN:
        return words
    words += ": get_authenticated_worker_client gives a client that is logged in"
    if job_id == NO_JOB:  # there is no worker whose setting it could be
        return words
    return (
        f"{words}; or set DIOPTRA_WORKER_EXPOSE_CREDENTIALS=true for the worker, and"
        " all code that it runs can read the password"
    )


def _asks_for_us() -> bool:
    """Whether it is code of ours that looks, as the client of plugins does."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - there is no other way
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module not in _PASSED_OVER:
            return module.partition(".")[0] == "dioptra_worker"
        frame = frame.f_back
    return True
