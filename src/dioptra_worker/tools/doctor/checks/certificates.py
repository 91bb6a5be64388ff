"""Whether the certificates of all services are looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.broker import address
from dioptra_worker.certificates import unverified
from dioptra_worker.tools.doctor.finding import Finding, ok, warn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAME = "certificates"


def check(environment: Mapping[str, str], redis_url: str) -> Iterator[Finding]:
    """Check that nothing turns the check of certificates off.

    Args:
        environment: The worker's.
        redis_url: The setting RQ_REDIS_URI.
    """
    found = [*unverified(environment), *address.unverified(redis_url)]
    for words, instead in found:
        yield warn(NAME, words, instead)
    if not found:
        yield ok(NAME, "looked at, wherever an address is one with TLS")
