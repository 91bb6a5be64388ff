"""The REST API: a login, its version, the queues, and whether its clock is ours."""

from __future__ import annotations

import email.utils
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import requests

from dioptra_worker.api.client import DioptraApi
from dioptra_worker.broker.queue_names import unknown_queue
from dioptra_worker.common.network.bounded_http import BoundedSession
from dioptra_worker.common.text import strict_json
from dioptra_worker.errors import LoginRefused, ServiceError, ServiceUnavailable
from dioptra_worker.tools.doctor.finding import Finding, fail, ok, warn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dioptra_worker.settings import Settings

NAME = "Dioptra API"
MAX_SKEW = 10.0
"""Seconds by which two clocks may differ."""
MAX_SKEW_OF_SIGNATURES = 900.0
"""Seconds by which they may differ before S3 refuses what we sign."""
HEALTH_TIMEOUT = 5.0
REACH = "start the API, or correct DIOPTRA_API"


@dataclass(frozen=True)
class HealthAnswer:
    """What the API tells whoever asks.

    Attributes:
        version: The platform's version, None if it does not tell (before 1.2).
        skew: Seconds by which its clock is ahead of ours, None if it does not tell.
    """

    version: str | None = None
    skew: float | None = None


def ask_health(url: str, *, timeout: float = HEALTH_TIMEOUT) -> HealthAnswer:
    """Ask the API what it is and what time it has; an API that is away tells nothing.

    That is no call of a worker's, so the client of `dioptra_worker.api` has none.

    Args:
        url: The setting DIOPTRA_API.
        timeout: Seconds that the answer may take.
    """
    try:
        with BoundedSession() as session:
            answer = session.get(f"{url}/health", timeout=timeout)
    except requests.RequestException:
        return HealthAnswer()
    version = skew = None
    with suppress(ValueError, LookupError, TypeError):
        version = str(strict_json.loads(answer.content)["version"])[:100]
    with suppress(ValueError, KeyError, TypeError, OverflowError):
        there = email.utils.parsedate_to_datetime(answer.headers["Date"])
        # The header has whole seconds: on average it is half a second behind.
        skew = there.timestamp() + 0.5 - time.time()
    return HealthAnswer(version=version, skew=skew)


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
            health = ask_health(api.url)
            yield _logged_in(api, health)
            yield from _queues(api, queues)
        except LoginRefused as error:
            detail, *fix = re.split(r"[;:] (?=check )", str(error), maxsplit=1)
            yield fail(NAME, detail, fix[0] if fix else "check the user and password")
        except ServiceUnavailable as error:
            yield fail(NAME, str(error), REACH)
        except ServiceError as error:
            yield fail(NAME, str(error), "check the rights of this user")
        else:
            yield clock(health.skew)


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
