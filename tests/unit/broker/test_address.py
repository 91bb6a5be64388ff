"""The address of a Redis."""

from __future__ import annotations

import pytest

from dioptra_worker.broker.address import parse_address, unverified
from dioptra_worker.errors import SettingsError


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("rediss://:pw@redis/0?ssl_cert_reqs=none", "ssl_cert_reqs=none"),
        ("rediss://redis?ssl_check_hostname=False", "ssl_check_hostname=False"),
        ("rediss://redis?ssl_check_hostname=0", "ssl_check_hostname=0"),
        ("rediss://redis?ssl_cert_reqs=required&ssl_check_hostname=true", None),
        ("rediss://redis", None),
        ("redis://redis", None),
    ],
)
def test_unverified(url: str, named: str | None) -> None:
    """An option that has a certificate not looked at is named, without the password."""
    found = [words for words, _ in unverified(url)]
    assert len(found) == (named is not None)
    assert all(f"RQ_REDIS_URI has {named}: " in words for words in found)
    assert "pw" not in "".join(found)


@pytest.mark.parametrize(
    ("options", "checks"),
    [
        ("", True),
        ("?ssl_check_hostname=false", False),
        ("?ssl_cert_reqs=none", False),
        ("?ssl_cert_reqs=none&ssl_check_hostname=true", False),
    ],
)
def test_whom_a_certificate_is_for(options: str, *, checks: bool) -> None:
    """Whom a certificate is for counts with every version of redis-py."""
    found = parse_address(f"rediss://redis{options}")
    assert found["ssl_check_hostname"] is checks


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://redis?ssl_cert_reqs=none", "is an option of rediss://, not redis"),
        ("unix:///redis.sock?ssl_ca_certs=x", "is an option of rediss://, not unix"),
        ("rediss://redis?ssl_cert_reqs=maybe", "none of none, optional, required"),
    ],
)
def test_options_of_tls(url: str, words: str) -> None:
    """An option of TLS that can have no effect, or is none, is told at the start."""
    with pytest.raises(SettingsError, match=words):
        parse_address(url)
