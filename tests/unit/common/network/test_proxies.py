"""A proxy that leads nowhere is named, whichever service is asked through it."""

from __future__ import annotations

import os

import pytest
from tests.plugins.insisting_store import insisting_store

from dioptra_worker.api.client import DioptraApi
from dioptra_worker.common.network.proxies import check_proxy, via_proxy
from dioptra_worker.errors import ServiceError, ServiceUnavailable
from dioptra_worker.tools.doctor.checks import api as api_check
from dioptra_worker.tracking.mlflow.run import MlflowTracking
from dioptra_worker.tracking.s3 import client as s3

CLOSED = "http://someone:hush-hush@127.0.0.1:9"
NAMED = "through the proxy http://127.0.0.1:9 (HTTP_PROXY): nothing listens there"
CHECK = "check that NO_PROXY names 'inside.test', unless this proxy leads there"


@pytest.fixture(autouse=True)
def _proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HTTP_PROXY", CLOSED)


def _api() -> DioptraApi:
    return DioptraApi(url="http://inside.test:5000", username="w", password="p")


def test_which_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy, its variable and the host are named, and no password; or nothing."""
    assert via_proxy("http://a.test") == " " + NAMED.partition(": n")[0]
    assert via_proxy("https://a.test") == ""
    monkeypatch.setenv("all_proxy", "http://other:1")
    other = " through the proxy http://other:1 (ALL_PROXY)"
    assert via_proxy("https://a.test") == other
    monkeypatch.setenv("NO_PROXY", "a.test,.b.test")
    for url in ("http://a.test:9", "https://c.b.test"):
        assert via_proxy(url) == check_proxy(url) == ""


def test_the_api() -> None:
    """The daemon's words about the REST API, and the doctor's."""
    with _api() as api, pytest.raises(ServiceUnavailable) as caught:
        api.login()
    assert f"(DIOPTRA_API) for POST auth/login {NAMED}" in str(caught.value)
    assert str(caught.value).endswith(f"; {CHECK}")
    assert "hush" not in str(caught.value)
    finding = api_check._failed(caught.value, "start it")
    assert NAMED in finding.detail
    assert finding.fix == CHECK


def test_a_proxy_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy's own page in place of the API's answer is told as such."""
    with insisting_store(lambda _: False) as proxy, _api() as api:
        monkeypatch.setenv("HTTP_PROXY", proxy.address)
        with pytest.raises(ServiceError) as caught:
            api.login()
        words = f"through the proxy {proxy.address} (HTTP_PROXY)"
        assert words in str(caught.value)
        assert str(caught.value).endswith(CHECK)


def test_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The words about MLflow."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://inside.test:35000")
    with pytest.raises(ServiceUnavailable) as caught:
        MlflowTracking().start(7)
    assert f"(MLFLOW_TRACKING_URI) {NAMED}" in str(caught.value)
    assert CHECK in str(caught.value)


def test_s3(monkeypatch: pytest.MonkeyPatch) -> None:
    """The words about S3."""
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "http://inside.test:39000")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with (
        pytest.raises(ServiceUnavailable) as caught,
        s3.translate_errors("S3 did not take it"),
    ):
        s3._make(access_key="a", secret_key="b").list_buckets()
    assert f"(MLFLOW_S3_ENDPOINT_URL) {NAMED}" in str(caught.value)
    assert CHECK in str(caught.value)
