"""Which checks there are, and what they are told."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING

from dioptra_worker.broker.connection import connect
from dioptra_worker.common.text.masking import Mask
from dioptra_worker.errors import ServiceUnavailable
from dioptra_worker.tools.doctor.checks import (
    api,
    broker,
    certificates,
    configuration,
    disk,
    gpu,
    image,
    imports,
    isolation,
    job_users,
    machine,
)
from dioptra_worker.tools.doctor.checks import store as store_check
from dioptra_worker.tools.doctor.checks import tracking as tracking_check
from dioptra_worker.tools.doctor.checks.listening import refusal
from dioptra_worker.tools.doctor.examination import LATE, Check, examine
from dioptra_worker.tools.doctor.finding import Finding, Result, warn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from dioptra_worker.settings import Settings

BRIEF_TIMEOUT = 3.0
"""Seconds that the checks at a daemon's start may take."""
_SERVICES = (broker.NAME, api.NAME, tracking_check.NAME, store_check.NAME, disk.NAME)


def all_checks(
    settings: Settings | None,
    queues: Sequence[str],
    *,
    environment: Mapping[str, str],
    timeout: float,
    deep: bool = False,
    services: bool = True,
) -> list[list[Check]]:
    """Every check, in chains that can run side by side.

    Args:
        settings: The worker's; without them only the machine is checked.
        queues: The queues that the worker is to serve.
        environment: The worker's.
        timeout: Seconds that each check may take.
        deep: Also start what hands out runners, which takes seconds.
        services: Ask the services; without, what the image holds is looked at.
    """
    local = [
        [Check(name="Python", run=machine.check)],
        [
            Check(
                name=gpu.NAME,
                run=partial(gpu.check, queues, environment, timeout=timeout),
                fix="see the driver",
            )
        ],
    ]
    if settings is None:
        names = [*_SERVICES] if services else [disk.NAME]
        names.append(job_users.NAME)
        names += [isolation.NAME] if deep else []
        return [*local, *([_skipped(name)] for name in names)]
    if services:
        chains = [*local, *_service_checks(settings, queues, environment, timeout)]
    else:
        holds = Check(name=image.PROGRAM, run=partial(image.check, settings))
        chains = [*local, [holds], [_disk(settings)]]
    tries = partial(job_users.check, settings, environment)
    chains.append([Check(name=job_users.NAME, run=tries, timeout=job_users.TIMEOUT)])
    if deep:
        starts = partial(isolation.check, settings, environment)
        deep_check = Check(name=isolation.NAME, run=starts, timeout=isolation.TIMEOUT)
        chains.append([deep_check])
    return chains


def _service_checks(
    settings: Settings,
    queues: Sequence[str],
    environment: Mapping[str, str],
    timeout: float,
) -> Iterator[list[Check]]:
    yield [_disk(settings)]
    waited = partial(imports.check, settings, queues)
    yield [Check(name=imports.NAME, run=waited)]
    url = settings.redis_url.get_secret_value()
    believed = partial(certificates.check, environment, url)
    yield [Check(name=certificates.NAME, run=believed)]
    yield [Check(name=broker.NAME, run=partial(broker.check, url), fix=broker.REACH)]
    yield [
        Check(
            name=api.NAME,
            run=partial(api.check, settings, queues),
            fix=api.REACH,
            imports=("dioptra_worker.daemon.daemon",),
            refusal=partial(refusal, api.NAME, settings.api_url, api.REACH),
        )
    ]
    trial = tracking_check.Trial()
    uri, endpoint = settings.mlflow_tracking_uri, settings.s3_endpoint_url
    yield [
        Check(
            name=tracking_check.NAME,
            run=partial(tracking_check.check, uri, trial, timeout=timeout),
            fix=tracking_check.REACH,
            imports=tracking_check.IMPORTS,
            refusal=partial(refusal, tracking_check.NAME, uri, tracking_check.REACH),
        ),
        Check(
            name=store_check.NAME,
            run=partial(store_check.check, endpoint, trial, timeout=timeout),
            fix=store_check.REACH,
            imports=store_check.IMPORTS,
            refusal=partial(store_check.refusal, endpoint, trial),
        ),
    ]


def brief(
    settings: Settings, variables: Iterable[str], *, timeout: float = BRIEF_TIMEOUT
) -> list[Result]:
    """What a daemon should warn of at its start: misspelt settings, Redis, the disk.

    That Redis does not answer is not told here: the daemon waits for it and says so.

    Args:
        settings: The daemon's.
        variables: The names in its environment.
        timeout: Seconds that it may take.

    Returns:
        Warnings and failures only.
    """
    fitness = partial(_fitness, settings.redis_url.get_secret_value())
    names = partial(configuration.misspelt, variables)
    chains = [
        [Check(name=configuration.NAME, run=names)],
        [Check(name=broker.NAME, run=fitness)],
        [_disk(settings)],
    ]
    results = examine(chains, timeout=timeout, mask=Mask(settings.secrets()))
    return [
        result
        for result in results
        if result.status != "ok" and not result.detail.startswith(LATE)
    ]


def _fitness(url: str) -> Iterator[Finding]:
    connection = connect(url)
    with contextlib.closing(connection), contextlib.suppress(ServiceUnavailable):
        facts = yield from broker.version(connection)
        if facts is not None:
            yield broker.persistence(connection, facts)


def _disk(settings: Settings) -> Check:
    return Check(name=disk.NAME, run=partial(disk.check, settings.work_dir))


def _skipped(name: str) -> Check:
    finding = warn(name, "not tried: the settings are not usable", "mend them first")
    return Check(name=name, run=lambda: [finding])
