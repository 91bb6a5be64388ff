"""What the REST API tells whoever asks: its version, and what time it has."""

from __future__ import annotations

import email.utils
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import requests

from dioptra_worker.api.errors import SERVICE, of_kind
from dioptra_worker.common.text import strict_json
from dioptra_worker.errors import PathUnknown, PlatformTooOld

if TYPE_CHECKING:
    from dioptra_worker.errors import ServiceError

OLDEST_PLATFORM = (1, 1)
"""The first version of dioptra-platform whose API has what a worker needs."""
_TITLE = "Dioptra REST API"
_WRONG_SHAPE = (requests.RequestException, ValueError, LookupError, TypeError)


@dataclass(frozen=True)
class HealthAnswer:
    """What the API tells of itself.

    Attributes:
        version: The platform's version; empty if it does not tell (before 1.1).
        skew: Seconds by which its clock is ahead of ours, None if it does not tell.
    """

    version: str = ""
    skew: float | None = None


def ask_health(
    http: requests.Session, url: str, *, timeout: tuple[float, float]
) -> HealthAnswer:
    """Ask the API what it is and what time it has; one that is away tells nothing.

    Args:
        http: What to ask with.
        url: The setting DIOPTRA_API.
        timeout: Seconds that a connection and the answer may take.
    """
    try:
        answer = http.get(f"{url}/health", timeout=timeout)
    except requests.RequestException:
        return HealthAnswer()
    version, skew = "", None
    with suppress(*_WRONG_SHAPE):
        version = of_kind(strict_json.loads(answer.content)["version"], str)[:100]
    with suppress(ValueError, KeyError, TypeError, OverflowError):
        there = email.utils.parsedate_to_datetime(answer.headers["Date"])
        # The header has whole seconds: on average it is half a second behind.
        skew = there.timestamp() + 0.5 - time.time()
    return HealthAnswer(version=version, skew=skew)


def ask_version(
    http: requests.Session, url: str, *, timeout: tuple[float, float]
) -> str:
    """The platform's version, also of one that tells it in its description only.

    Args:
        http: What to ask with.
        url: The setting DIOPTRA_API.
        timeout: Seconds that a connection and each answer may take.

    Returns:
        The version; empty if it does not tell.
    """
    told = ask_health(http, url, timeout=timeout).version
    if told:
        return told
    with suppress(*_WRONG_SHAPE):
        answer = http.get(f"{url}/swagger.json", timeout=timeout)
        described = strict_json.loads(answer.content)["info"]
        if described["title"] == _TITLE:
            return of_kind(described["version"], str)[:100]
    return ""


def no_job_log(url: str, version: str, error: ServiceError) -> ServiceError:
    """The error that an API is whose jobs have no log.

    Args:
        url: The setting DIOPTRA_API.
        version: The platform's version; empty if it does not tell.
        error: How it answered when it was asked for a log.
    """
    oldest = ".".join(map(str, OLDEST_PLATFORM))
    if _is_too_old(version):
        return PlatformTooOld(
            f"the {SERVICE} at {url} is of dioptra-platform {version}, which lacks what"
            f" this worker needs: upgrade dioptra-platform to {oldest} or newer",
            service=SERVICE,
            status=error.status,
            detail=error.detail,
        )
    what = f"says it is version {version}" if version else "does not tell its version"
    return PathUnknown(
        f"the {SERVICE} at {url} ({what}) knows no log of jobs, which dioptra-platform"
        f" has since {oldest}: check that a proxy before it passes all paths below"
        f" /api/v1, or upgrade dioptra-platform",
        service=SERVICE,
        status=error.status,
        detail=error.detail,
    )


def _is_too_old(version: str) -> bool:
    """Whether a version is known to be older than `OLDEST_PLATFORM`."""
    numbers = re.match(r"([0-9]{1,9})\.([0-9]{1,9})(?![0-9])", version)
    return numbers is not None and tuple(map(int, numbers.groups())) < OLDEST_PLATFORM
