"""What goes wrong during a soak: drawn from a seed, done to one worker or to all."""

from __future__ import annotations

import random
import signal
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.soak.seats import LEASE_TTL, LOST_AFTER, Seat, signal_all

if TYPE_CHECKING:
    from tests.plugins.tcp_proxy import TcpProxy
    from tests.soak.scene import Scene

_LONG_SHARE = 0.15
"""How many of the faults that last outlast a lease."""
_ALL_SHARE = 0.2
"""How many of the cuts from a service hit all workers at once."""
_LARGEST_STEP = 300.0
"""Seconds: an S3 store refuses requests by clocks that are further off."""


@dataclass
class Fault:
    """One fault.

    Attributes:
        kind: Which, as the report names it.
        seats: The workers that it hits, by their numbers.
        began: When, as of `time.time`.
        ended: When all was as before; of a kill, the same moment.
        allowance: Seconds that a job may need beyond others: a lease that has to run
            out, or what is forgotten has to be found.
        because: Why.
        forgets: Whether Redis may have lost jobs that nobody had begun.
    """

    kind: str
    seats: frozenset[int]
    began: float = field(default_factory=time.time)
    ended: float = 0.0
    allowance: float = 0.0
    because: str = ""
    forgets: bool = False

    def end(self) -> None:
        """All is as before."""
        self.ended = time.time()


@dataclass(frozen=True)
class Victims:
    """Whom a fault hits, and what it is drawn from."""

    scene: Scene
    seats: Sequence[Seat]
    dice: random.Random
    fault: Fault

    @property
    def seat(self) -> Seat:
        """The only one."""
        return self.seats[0]

    def wait(self, least: float, most: float) -> None:
        """Wait for some time, or until all is over."""
        self.scene.closed.wait(self.dice.uniform(least, most))

    def last(self, *, longest: float = 4.0) -> None:
        """Wait as long as the fault lasts: not long, or for longer than a lease."""
        if self.dice.random() < _LONG_SHARE:
            self.wait(LEASE_TTL + 1, LEASE_TTL + 4)
        else:
            self.wait(0.3, longest)


Act = Callable[[Victims], None]


def _kill_runner(victims: Victims) -> None:
    running = _running(victims)
    if running:
        pid = victims.dice.choice(running)
        job = victims.scene.workload.job_of(pid)
        assert job is not None
        job.hits.append(victims.fault.kind)
        signal_all([pid], signal.SIGKILL)
    victims.fault.end()


def _kill_forkserver(victims: Victims) -> None:
    pid = victims.seat.forkserver
    now = time.time()
    for number, mention in list(victims.seat.mentions.items()):
        job = victims.scene.workload.jobs.get(number)
        if job is not None and not job.is_over and now - mention.last < 30:
            job.hits.append(victims.fault.kind)
    if pid is not None:
        signal_all([pid], signal.SIGKILL)
    victims.fault.end()


def _kill_daemon(victims: Victims) -> None:
    victims.seat.kill()
    victims.fault.end()
    victims.wait(0.3, 4.0)
    victims.seat.start()


def _shut_down(victims: Victims) -> None:
    victims.seat.shut_down()
    victims.fault.end()
    victims.wait(0.0, 3.0)
    victims.seat.start()


def _stop_worker(victims: Victims) -> None:
    stopped: set[int] = set()
    for _ in range(3):  # one may be forked meanwhile
        found = set(victims.seat.processes()) - stopped
        signal_all(sorted(found), signal.SIGSTOP)
        stopped |= found
    victims.last()
    signal_all(sorted(stopped), signal.SIGCONT)
    victims.fault.end()
    _owe_a_lease(victims)


def _stop_daemon(victims: Victims) -> None:
    pid = victims.seat.daemon
    if pid is not None:
        signal_all([pid], signal.SIGSTOP)
        victims.last()
        signal_all([pid], signal.SIGCONT)
    victims.fault.end()
    _owe_a_lease(victims)


def _step_clock(victims: Victims) -> None:
    clock = victims.seat.clock
    assert clock is not None
    clock.step(victims.dice.uniform(-_LARGEST_STEP, _LARGEST_STEP))
    victims.wait(2.0, 15.0)
    clock.step(0.0)
    victims.fault.end()


def _refuse(proxy: TcpProxy, _dice: random.Random) -> None:
    proxy.refuse()


def _hang(proxy: TcpProxy, _dice: random.Random) -> None:
    proxy.hang()


def _slow(proxy: TcpProxy, dice: random.Random) -> None:
    proxy.slow(dice.uniform(2_000, 20_000))


def _reset(proxy: TcpProxy, _dice: random.Random) -> None:
    proxy.drop()


_BREAKS = {"refuses": _refuse, "hangs": _hang, "is slow": _slow, "resets": _reset}
_SERVICES = {"redis": "Redis", "api": "the API", "mlflow": "MLflow", "s3": "S3"}


def _cut(service: str, break_it: Callable[[TcpProxy, random.Random], None]) -> Act:
    """A fault of the ways from workers to a service."""

    def act(victims: Victims) -> None:
        proxies = [seat.proxies[service] for seat in victims.seats]
        for proxy in proxies:
            break_it(proxy, victims.dice)
        if break_it is not _reset:
            victims.last()
        for proxy in proxies:
            proxy.pass_on()
        victims.fault.end()
        if service == "redis":
            _owe_a_lease(victims)

    return act


def _restart_redis(victims: Victims) -> None:
    victims.scene.queues.restart(keeps=True)
    victims.fault.end()


def _forget(victims: Victims) -> None:
    victims.scene.queues.restart(keeps=False)
    victims.fault.end()
    victims.fault.forgets = True
    victims.fault.allowance = 4 * LOST_AFTER
    victims.fault.because = "Redis had forgotten the job, and it had to be found"


def _fail_over(victims: Victims) -> None:
    victims.scene.queues.fail_over()
    victims.fault.end()


def _lose_primary(victims: Victims) -> None:
    victims.scene.queues.lose_primary()
    victims.fault.end()
    victims.fault.forgets = True  # what was not copied yet


def _restart_api(victims: Victims) -> None:
    api = victims.scene.stack.service("api")
    if victims.dice.random() < 0.5:
        api.stop()
    else:
        api.kill()
    api.start()
    victims.fault.end()


def _running(victims: Victims) -> list[int]:
    """The processes of the victim that run a job of ours."""
    workload = victims.scene.workload
    return [
        pid
        for pid in victims.seat.processes()
        if (job := workload.job_of(pid)) is not None and not job.is_over
    ]


def _owe_a_lease(victims: Victims) -> None:
    """Note that the lease on a job may have to run out, beyond the fault's end."""
    fault = victims.fault
    fault.allowance = LEASE_TTL
    fault.because = "its lease had to run out"


Suits = Callable[[Seat], bool]


def _anybody(_seat: Seat) -> bool:
    return True


def _is_not_kept(seat: Seat) -> bool:
    return not seat.is_kept


def _has_clock(seat: Seat) -> bool:
    return seat.clock is not None


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        name: As the report has it.
        act: Does it, and undoes it.
        weight: How often it is drawn, compared with others.
        suits: Which workers may suffer it.
        reach: One worker; sometimes all of them; or what all share.
    """

    name: str
    act: Act
    weight: float
    suits: Suits = _anybody
    reach: str = "one"


KINDS = [
    Kind("a runner is killed", _kill_runner, 5),
    Kind("a fork server is killed", _kill_forkserver, 3),
    Kind("a daemon is killed", _kill_daemon, 5, _is_not_kept),
    Kind("a worker is shut down", _shut_down, 4, _is_not_kept),
    Kind("a worker is stopped (SIGSTOP), and its job", _stop_worker, 4),
    Kind("a daemon is stopped (SIGSTOP), not its job", _stop_daemon, 3),
    Kind("a worker's clock is set, and set back", _step_clock, 4, _has_clock),
    *(
        Kind(f"{name} {words}", _cut(service, break_it), 1.2, reach="some")
        for service, name in _SERVICES.items()
        for words, break_it in _BREAKS.items()
    ),
    Kind("Redis is restarted", _restart_redis, 1, reach="common"),
    Kind("Redis is restarted, and has forgotten all", _forget, 1, reach="common"),
    Kind("Redis fails over as planned", _fail_over, 1, reach="common"),
    Kind("Redis is lost, its replica promoted", _lose_primary, 1, reach="common"),
    Kind("the API is restarted", _restart_api, 1, reach="common"),
]


class FaultMaker:
    """Draws faults and has them happen, each in a thread of its own.

    A worker suffers one at a time, and so does what all share.
    """

    def __init__(self, scene: Scene, seed: int) -> None:
        """Prepare.

        Args:
            scene: What they are done to.
            seed: What is drawn from.
        """
        self._scene = scene
        self._dice = random.Random(f"{seed} faults")  # noqa: S311 - no secret
        self._busy: set[int] = set()  # workers; 0 is what all share
        self._threads: list[threading.Thread] = []
        self.faults: list[Fault] = []
        self.errors: list[str] = []

    def begin_one(self) -> None:
        """Draw a fault, and have it happen if its victims suffer none just now."""
        dice = random.Random(self._dice.random())  # noqa: S311 - no secret
        [kind] = dice.choices(KINDS, [kind.weight for kind in KINDS])
        seats = [seat for seat in self._scene.seats if kind.suits(seat)]
        places = {0}
        if kind.reach != "common":
            if not seats:
                return
            if kind.reach != "some" or dice.random() >= _ALL_SHARE:
                seats = [dice.choice(seats)]
            places = {seat.number for seat in seats}
        if places & self._busy:
            return
        reach = " to all workers" if kind.reach == "some" and len(seats) > 1 else ""
        fault = Fault(kind.name + reach, frozenset(seat.number for seat in seats))
        self.faults.append(fault)
        self._busy |= places
        victims = Victims(self._scene, seats, dice, fault)
        thread = threading.Thread(target=self._run, args=[kind, victims, places])
        self._threads = [old for old in self._threads if old.is_alive()] + [thread]
        thread.start()

    def close(self) -> None:
        """Wait until all is as before."""
        for thread in self._threads:
            thread.join()

    def _run(self, kind: Kind, victims: Victims, places: set[int]) -> None:
        try:
            kind.act(victims)
        except Exception:  # noqa: BLE001 - told by the soak, in its own thread
            self.errors.append(f"{kind.name}: {traceback.format_exc()}")
        finally:
            victims.fault.ended = victims.fault.ended or time.time()
            self._busy -= places
