"""The REST API: a login, its version, the queues, and whether its clock is ours."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dioptra_worker.api.client import DioptraApi
from dioptra_worker.broker.queue_names import unknown_queue
from dioptra_worker.errors import LoginRefused, ServiceError, ServiceUnavailable
from dioptra_worker.tools.doctor.finding import Finding, fail, ok, warn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dioptra_worker.api.health import HealthAnswer
    from dioptra_worker.settings import Settings

NAME = "Dioptra API"
MAX_SKEW = 10.0
"""Seconds by which two clocks may differ."""
MAX_SKEW_OF_SIGNATURES = 900.0
"""Seconds by which they may differ before S3 refuses what we sign."""
REACH = "start the API, or correct DIOPTRA_API"


def check(settings: Settings, queues: Sequence[str]) -> Iterator[Finding]:
    """Check the REST API.

    Args:
        settings: Say where it is and who we are.
        queues: The queues that the worker is to serve.
    """
    api = DioptraApi(
        url=settings.api_url,
        username=settings.username,
        password=settings.password.get_secret_value(),
    )
    with api:
        try:
            api.login()
            api.check_platform()
            health = api.health()
            yield _logged_in(api, health)
            yield from _queues(api, queues)
        except LoginRefused as error:
            yield _failed(error, "check the user and password")
        except ServiceUnavailable as error:
            yield _failed(error, REACH)
        except ServiceError as error:
            yield _failed(error, "check the rights of this user")
        else:
            yield clock(health.skew)


def _failed(error: ServiceError, fix: str) -> Finding:
    """A failure; what to do is in its sentence, or else is the fix given here."""
    detail, *told = re.split(r"[;:] (?=(?:check|upgrade) )", str(error), maxsplit=1)
    return fail(NAME, detail, told[0] if told else fix)


def _logged_in(api: DioptraApi, health: HealthAnswer) -> Finding:
    version = health.version
    told = f", dioptra-platform {version}" if version else ""
    return ok(NAME, f"logged in at {api.url} as {api.username!r}{told}")


def _queues(api: DioptraApi, queues: Sequence[str]) -> Iterator[Finding]:
    name = "queues"
    known = api.queue_names()
    missing = [queue for queue in queues if queue not in known]
    for queue in missing:
        detail, _, hint = unknown_queue(queue, known).partition("; ")
        yield fail(name, detail, f"register it, or correct the name: {hint}")
    if missing:
        return
    if not known:
        yield warn(name, "the API has none", "register one in Dioptra")
    elif not queues:
        yield ok(name, "the API has " + ", ".join(map(repr, sorted(known))))
    else:
        yield ok(name, ", ".join(map(repr, queues)) + " registered")


def clock(skew: float | None) -> Finding:
    """Judge by how much the API's clock is ahead of ours.

    Args:
        skew: Seconds, None if it is not known.
    """
    name = "clock"
    if skew is None:
        return ok(name, "not compared: the API does not tell the time")
    if abs(skew) <= MAX_SKEW:
        return ok(name, f"{abs(skew):.1f} s from the API's")
    side = "behind" if skew > 0 else "ahead of"
    judge = fail if abs(skew) > MAX_SKEW_OF_SIGNATURES else warn
    return judge(
        name,
        f"this machine's clock is {abs(skew):.0f} s {side} the API's: the age of jobs"
        f" is misjudged, and beyond {MAX_SKEW_OF_SIGNATURES:.0f} s S3 refuses requests",
        "have both machines' clocks set by NTP",
    )
