"""Bringing a stack up: from nothing, or from what is left of it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import wait
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from dioptra_worker.common.background import in_background
from dioptra_worker.common.interrupts import deferred
from dioptra_worker.tools.local.config import API, SERVICES, StackConfig
from dioptra_worker.tools.local.errors import PortTaken, ServiceFailed
from dioptra_worker.tools.local.files import make_owner_only
from dioptra_worker.tools.local.ports import is_free
from dioptra_worker.tools.local.progress import State, Step, step
from dioptra_worker.tools.local.rest_api.database import place_database
from dioptra_worker.tools.local.rest_api.peer import ensure_peer, given_peer
from dioptra_worker.tools.local.rest_api.seed import seed
from dioptra_worker.tools.local.services.commands import require_extra
from dioptra_worker.tools.local.services.service import Service

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from dioptra_worker.tools.local.plan import StackPlan
    from dioptra_worker.tools.local.progress import StepListener
    from dioptra_worker.tools.local.rest_api.peer_environment import PeerEnvironment

_ATTEMPTS = 3
_ANSWER_TIMEOUT = 20.0
_END_TIMEOUT = 10.0
_END_INTERVAL = 0.2
_THREADS = "local-stack"


@dataclass(frozen=True)
class Started:
    """A stack that is up.

    Attributes:
        config: What it is made of.
        was_running: Whether there was nothing to do.
    """

    config: StackConfig
    was_running: bool


def start_stack(plan: StackPlan, progress: StepListener) -> Started:
    """Bring the stack up; see `LocalStack.up`, which holds the lock."""
    require_extra()
    old = (
        StackConfig.load(plan.directory) if StackConfig.exists(plan.directory) else None
    )
    new = plan.adapt(old) if old else None
    if new is not None and _is_healthy(new):
        if new != old:
            new.save()
            seed(new)
        return Started(new, was_running=new == old)

    if new is None:
        plan.check()
    peer = _peer(plan, progress)
    try:
        config = _started(plan, new, peer, progress)
    except KeyboardInterrupt:
        if new is None:
            with deferred():
                plan.undo()
        raise
    return Started(config, was_running=False)


def _started(
    plan: StackPlan,
    old: StackConfig | None,
    peer: PeerEnvironment,
    progress: StepListener,
) -> StackConfig:
    """Start what does not run of a stack, or a new one, on ports that nobody has."""
    config = (
        replace(old, peer_python=peer.python) if old else plan.new_config(peer.python)
    )
    for attempt in range(1, _ATTEMPTS + 1):
        config.save()
        try:
            _start_services(config, peer, progress)
        except PortTaken as taken:
            fixed = taken.service in plan.ports or _any_runs(config)
            if fixed or attempt == _ATTEMPTS:
                raise
            config = replace(config, ports=plan.claim_ports())
        else:
            break
    return config


def _peer(plan: StackPlan, progress: StepListener) -> PeerEnvironment:
    if plan.peer_python is not None:
        return given_peer(plan.peer_python.absolute())
    return ensure_peer(plan.cache, full=plan.full_peer, progress=progress)


def _is_healthy(config: StackConfig) -> bool:
    asked = [
        in_background(partial(_made_healthy, Service(name, config)), _THREADS)
        for name in SERVICES
    ]
    healthy = [answer.result() for answer in asked]  # of each: one that is ill is ended
    return all(healthy)


def _made_healthy(service: Service) -> bool:
    """Tell whether the service is well, perhaps after being woken.

    One that runs gets time to answer: on a busy machine it is slow, not ill.
    """
    if service.pid is not None:
        service.resume()
        try:
            service.wait_healthy(timeout=_ANSWER_TIMEOUT)
        except ServiceFailed:
            pass
        else:
            return True
    service.stop()  # what is left of it would be in the way
    return False


def _any_runs(config: StackConfig) -> bool:
    return any(Service(name, config).pid is not None for name in SERVICES)


def _missing(config: StackConfig) -> list[Service]:
    """The services that do not run.

    Raises:
        PortTaken: Another program has a port of one: the others are not started then.
    """
    missing = [
        service
        for service in (Service(name, config) for name in SERVICES)
        if service.pid is None
    ]
    for service in missing:
        service.kill()  # what a dead leader may have left on its port
        if not is_free(service.port):
            raise PortTaken(service.name, service.port)
    return missing


def _start_services(
    config: StackConfig, peer: PeerEnvironment, progress: StepListener
) -> None:
    """Start what does not run, all at once; on failure end what this started."""
    missing = _missing(config)
    given_up = threading.Event()

    def start(service: Service) -> None:
        with step(_until(given_up, progress), f"start {service.name}", service.url):
            if service.name == API:
                make_owner_only(config.directory / API)
                database = config.directory / API / "database.sqlite"
                place_database(peer, database, given_up)
            if given_up.is_set():
                return
            service.start()
            if service.name == API:
                seed(config)

    started = [in_background(partial(start, service), _THREADS) for service in missing]
    try:
        for done in started:
            done.result()
        if API not in {service.name for service in missing}:
            seed(config)
    except BaseException as error:
        with deferred():
            given_up.set()
            if isinstance(error, KeyboardInterrupt):
                words = "interrupted: what was started is ended"
                progress(Step(words, State.NOTE))
            _end(missing, started)
        raise


def _until(given_up: threading.Event, progress: StepListener) -> StepListener:
    """Tell of steps until all is given up: what ends then has only been ended."""

    def tell(step: Step) -> None:
        if not given_up.is_set():
            progress(step)

    return tell


def _end(services: Sequence[Service], started: Sequence[Future[None]]) -> None:
    """End services and, with them, who waits for one to be well.

    Nobody has used them yet, so they need no time to write anything down. Again until
    nobody waits: one may have been begun just now.
    """
    until = time.monotonic() + _END_TIMEOUT
    while True:
        is_last = not wait(started, _END_INTERVAL).not_done or time.monotonic() > until
        for service in services:  # also after the last: it may be well by now
            service.kill()
        if is_last:
            return
