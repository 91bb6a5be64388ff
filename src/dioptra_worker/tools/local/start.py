"""Bringing a stack up: from nothing, or from what is left of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dioptra_worker.tools.local.config import API, SERVICES, StackConfig
from dioptra_worker.tools.local.errors import PortTaken, ServiceFailed
from dioptra_worker.tools.local.files import make_private
from dioptra_worker.tools.local.progress import step
from dioptra_worker.tools.local.rest_api.database import place_database
from dioptra_worker.tools.local.rest_api.peer import ensure_peer, given_peer
from dioptra_worker.tools.local.rest_api.seed import seed
from dioptra_worker.tools.local.services.commands import require_extra
from dioptra_worker.tools.local.services.service import Service

if TYPE_CHECKING:
    from dioptra_worker.tools.local.plan import StackPlan
    from dioptra_worker.tools.local.progress import StepListener
    from dioptra_worker.tools.local.rest_api.peer_environment import PeerEnvironment

_ATTEMPTS = 3
_ANSWER_TIMEOUT = 20.0


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

    peer = _peer(plan, progress)
    config = (
        replace(new, peer_python=peer.python) if new else plan.new_config(peer.python)
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
    return Started(config, was_running=False)


def _peer(plan: StackPlan, progress: StepListener) -> PeerEnvironment:
    if plan.peer_python is not None:
        return given_peer(plan.peer_python.absolute())
    return ensure_peer(plan.cache, full=plan.full_peer, progress=progress)


def _is_healthy(config: StackConfig) -> bool:
    with ThreadPoolExecutor(len(SERVICES)) as pool:
        return all(
            pool.map(lambda name: _made_healthy(Service(name, config)), SERVICES)
        )


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


def _start_services(
    config: StackConfig, peer: PeerEnvironment, progress: StepListener
) -> None:
    """Start what does not run, all at once; on failure stop what this started."""
    missing = [
        service
        for service in (Service(name, config) for name in SERVICES)
        if service.pid is None
    ]

    def start(service: Service) -> None:
        with step(progress, f"start {service.name}", service.url):
            if service.name == API:
                make_private(config.directory / API)
                place_database(peer, config.directory / API / "database.sqlite")
            service.start()
            if service.name == API:
                seed(config)

    try:
        with ThreadPoolExecutor(len(SERVICES)) as pool:
            list(pool.map(start, missing))
        if API not in {service.name for service in missing}:
            seed(config)
    except BaseException:
        for service in missing:
            service.stop()
        raise
