"""What a soak plays in: services of its own, four workers, and ways between them."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.plugins.clients import ApiClient
from tests.plugins.testbed import Platform
from tests.soak.queue_servers import QueueServers
from tests.soak.seats import Seat, make_seat
from tests.soak.stepped_clock import SteppedClock, build
from tests.soak.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from dioptra_worker.tools.local import LocalStack

_LISTEN_INTERVAL = 0.1


@dataclass(frozen=True)
class Scene:
    """What jobs run in, and faults are done to.

    Attributes:
        stack: The services but for Redis.
        seats: The workers.
        queues: Redis, twice.
        platform: The REST API, as who submits jobs sees it.
        workload: The jobs.
        closed: Set when all is over.
    """

    stack: LocalStack
    seats: Sequence[Seat]
    queues: QueueServers
    platform: Platform
    workload: Workload
    closed: threading.Event

    @property
    def has_clocks(self) -> bool:
        """Whether the workers' clocks can be set."""
        return all(seat.clock is not None for seat in self.seats)


@contextlib.contextmanager
def open_scene(
    stack: LocalStack, folder: Path, *, seed: int, workers: int
) -> Iterator[Scene]:
    """Make one, until the end of the block; the workers are started.

    Args:
        stack: Of one's own. Its Redis is replaced by two.
        folder: For what the workers and jobs leave.
        seed: What jobs are drawn from.
        workers: How many. The second half of them is never killed nor shut down.
    """
    folder.mkdir(parents=True, exist_ok=True)
    marks = folder / "marks"
    marks.mkdir()
    with contextlib.ExitStack() as closing:
        queues = closing.enter_context(
            QueueServers(folder / "redis", stack.config.queue_password)
        )
        # The REST API goes where it always went, and so to whichever is the primary.
        stack.service("valkey").stop()
        queues.lead_platform(stack.service("valkey").port)
        api = ApiClient(stack.environment())
        closing.callback(api.close)
        platform = Platform(api)
        library = build(folder)
        seats = [
            make_seat(
                number,
                stack=stack,
                queue=platform.queue,
                queues=queues,
                folder=folder,
                clock=_clock(library, folder / f"clock-{number}"),
                is_kept=number > workers // 2,
                closing=closing,
            )
            for number in range(1, workers + 1)
        ]
        for seat in seats:
            closing.callback(seat.close)
        closing.enter_context(_listening(seats))
        workload = Workload(platform, api, marks, seed)
        for seat in seats:
            seat.start()
        closed = threading.Event()
        closing.callback(closed.set)
        yield Scene(stack, seats, queues, platform, workload, closed)


def _clock(library: Path | None, path: Path) -> SteppedClock | None:
    return None if library is None else SteppedClock(library, path)


@contextlib.contextmanager
def _listening(seats: Sequence[Seat]) -> Iterator[None]:
    """Read what workers write, at the moment at which they do."""
    done = threading.Event()

    def listen() -> None:
        while not done.wait(_LISTEN_INTERVAL):
            for seat in seats:
                seat.listen()

    thread = threading.Thread(target=listen, name="listening")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
