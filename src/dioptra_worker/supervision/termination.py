"""How a runner is to end, and how it did: grace periods and the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dioptra_worker.common.stop import StopRequest
    from dioptra_worker.protocol.messages import RunnerResult
    from dioptra_worker.supervision.forkserver.runner_process import ProcessExit

MAX_NAMES = 20
"""Names of what a job left that its log has."""


@dataclass(frozen=True)
class GracePeriods:
    """How long a supervisor waits, in seconds.

    Attributes:
        grace: Between telling a runner to stop and killing it.
        exit_timeout: For a runner to end after its result, or after it disconnected.
        kill_interval: Between killing a runner and killing it again.
        abandon_after: From killing a runner first until it is abandoned: a process
            that waits within the kernel, as for a disk, cannot be ended by anybody.
    """

    grace: float
    exit_timeout: float = 2.0
    kill_interval: float = 5.0
    abandon_after: float = 60.0


@dataclass(frozen=True, kw_only=True)
class RunnerReport:
    """What the supervisor saw of a runner.

    Attributes:
        exit: How the process ended.
        result: The runner's own last message, if it came to that.
        stop: Why it was stopped, if it was.
        killed: Whether it had to be killed.
        disconnected: Whether it closed its connection to us before its result.
        abandoned: Whether it was left behind, as not even killing ended it.
        took_plan: Whether code of the job's plugins may have run.
        reached_steps: Whether a step had begun.
        step: The step that was running, if one was.
        seconds: How long the runner lived.
        out_of_memory: Whether there is evidence that memory ran out meanwhile.
        memory_limit: Bytes that it could have had.
    """

    exit: ProcessExit
    result: RunnerResult | None
    stop: StopRequest | None
    killed: bool
    disconnected: bool = False
    abandoned: bool = False
    took_plan: bool = True
    reached_steps: bool = True
    step: str | None
    seconds: float
    out_of_memory: bool = False
    memory_limit: int | None = None

    @property
    def leftovers(self) -> str | None:
        """What the worker has removed after the job, in words; None for nothing."""
        names = [repr(name) for name in self.exit.removed[:MAX_NAMES]]
        if not names:
            return None
        more = len(self.exit.removed) - len(names)
        names += [f"{more} more"] if more else []
        return f"removed what the job left in shared memory: {', '.join(names)}"
