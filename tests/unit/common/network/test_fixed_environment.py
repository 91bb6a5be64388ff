"""A session that need not look at the environment for each request."""

from __future__ import annotations

import os
import urllib.request
from typing import Any

import pytest
import requests

from dioptra_worker.common.network.bounded_http import BoundedSession

ADDRESS = "http://a.test/api"


@pytest.fixture(name="proxied")
def _proxied(monkeypatch: pytest.MonkeyPatch) -> str:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.test:1")
    monkeypatch.setenv("NO_PROXY", "b.test")
    return "http://proxy.test:1"


def _settings(session: BoundedSession, url: str, **given: Any) -> dict[str, Any]:
    wanted = {"proxies": {}, "stream": None, "verify": None, "cert": None, **given}
    return session.merge_environment_settings(url, **wanted)


@pytest.mark.parametrize("given", [{}, {"stream": True}, {"verify": False}])
@pytest.mark.usefixtures("proxied")
def test_a_fixed_environment_means_what_it_means_to_requests(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proxies, exceptions from them and certificates, whatever was asked before."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/certificates.pem")
    with BoundedSession(fixed_environment=True) as ours, requests.Session() as theirs:
        for url in (ADDRESS, "https://a.test/", "http://b.test", ADDRESS, ADDRESS):
            expected = theirs.merge_environment_settings(
                url,
                **{"proxies": {}, "stream": None, "verify": None, "cert": None} | given,
            )
            assert _settings(ours, url, **given) == expected


@pytest.mark.skipif(
    urllib.request.getproxies is not urllib.request.getproxies_environment,
    reason="this system has settings beside the variables",
)
def test_a_fixed_environment_is_looked_at_once(
    proxied: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for each request, as long as they go to one place; a caller's word counts."""
    with BoundedSession(fixed_environment=True) as ours, BoundedSession() as other:
        _settings(ours, ADDRESS)["proxies"]["http"] = "somebody else's"
        _settings(other, ADDRESS)
        monkeypatch.setenv("HTTP_PROXY", "http://changed.test:1")
        assert ours.environment_proxies(ADDRESS)["http"] == proxied
        assert other.environment_proxies(ADDRESS)["http"] == "http://changed.test:1"
        given = {"http": "http://given.test:1"}
        assert _settings(ours, ADDRESS, proxies=given)["proxies"]["http"] == (
            "http://given.test:1"
        )
