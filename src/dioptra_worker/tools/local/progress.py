"""Telling a person what the stack is doing, and how long it took."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class State(Enum):
    """Where a step stands."""

    STARTED = "started"
    DONE = "done"
    FAILED = "failed"
    NOTE = "note"


@dataclass(frozen=True)
class Step:
    """One thing that was begun or ended.

    Attributes:
        name: What, in a few words.
        state: Where it stands.
        seconds: How long it took, once it has ended.
        detail: More to know, such as an address.
    """

    name: str
    state: State
    seconds: float = 0.0
    detail: str = ""


if TYPE_CHECKING:
    StepListener = Callable[[Step], None]


def silent(_step: Step) -> None:
    """Tell nobody."""


@contextmanager
def step(progress: StepListener, name: str, detail: str = "") -> Iterator[None]:
    """Report the start and the end of the body."""
    progress(Step(name, State.STARTED, detail=detail))
    began = time.monotonic()
    try:
        yield
    except BaseException:
        progress(Step(name, State.FAILED, time.monotonic() - began, detail))
        raise
    progress(Step(name, State.DONE, time.monotonic() - began, detail))
