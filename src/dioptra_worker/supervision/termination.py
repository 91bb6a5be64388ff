"""What a supervisor is told of a runner, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from dioptra_worker.protocol.messages import RunnerResult
    from dioptra_worker.supervision.runner_process import Exit

StopKind = Literal["timeout", "requested", "shutdown", "gone", "setup"]


@dataclass(frozen=True)
class GracePeriods:
    """How long a supervisor waits, in seconds.

    Attributes:
        grace: Between telling a runner to stop and killing it.
        last_words: For a runner to end after its last message, or after it hung up.
        kill_again: Between killing a runner and killing it again.
        give_up: After killing a runner first, until it is left to itself: a process
            that waits within the kernel, as for a disk, cannot be ended by anybody.
    """

    grace: float
    last_words: float = 2.0
    kill_again: float = 5.0
    give_up: float = 60.0


@dataclass(frozen=True)
class StopRequest:
    """Why a runner is stopped.

    Attributes:
        kind: What the daemon decides by.
        reason: What people read, as the end of "the job was stopped: ...".
        at_once: Kill it without a grace period.
    """

    kind: StopKind
    reason: str
    kill: bool = False


@dataclass(frozen=True, kw_only=True)
class RunnerReport:
    """What the supervisor saw of a runner.

    Attributes:
        exit: How the process ended.
        ended: The runner's own last word, if it had one.
        stop: Why it was stopped, if it was.
        killed: Whether it had to be killed.
        hung_up: Whether it closed its connection to us before its last word.
        left: Whether it was left to itself, as not even killing ended it.
        begun: Whether a step had begun.
        step: The step that was running, if one was.
        seconds: How long the runner lived.
        out_of_memory: Whether there is evidence that memory ran out meanwhile.
        memory_limit: Bytes that it could have had.
    """

    exit: Exit
    ended: RunnerResult | None
    stop: StopRequest | None
    killed: bool
    disconnected: bool = False
    left: bool = False
    begun: bool = True
    step: str | None
    seconds: float
    out_of_memory: bool = False
    memory_limit: int | None = None
