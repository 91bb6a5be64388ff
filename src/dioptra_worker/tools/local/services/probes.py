"""Asking a service whether it is well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import redis
import requests
from redis.backoff import NoBackoff
from redis.retry import Retry

from dioptra_worker.common.network.bounded_http import BoundedSession
from dioptra_worker.tools.local.config import API, MLFLOW, S3, VALKEY

if TYPE_CHECKING:
    from collections.abc import Callable

    from dioptra_worker.tools.local.config import StackConfig


class NotHealthy(Exception):
    """The service does not answer as it should; the message says how."""


def probe(service: str, config: StackConfig, *, timeout: float) -> None:
    """Ask a service of the stack a question that only a healthy one answers.

    Args:
        service: The service's name.
        config: The stack.
        timeout: Seconds to wait for the answer.

    Raises:
        NotHealthy: It does not answer, or not as it should.
    """
    _PROBES[service](config, timeout)


def _valkey(config: StackConfig, timeout: float) -> None:
    client = redis.Redis.from_url(
        config.queue_url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),  # whoever probes has a deadline of its own
    )
    with client:
        try:
            client.ping()
        except redis.RedisError as error:
            raise NotHealthy(str(error)) from error


def _s3(config: StackConfig, timeout: float) -> None:
    # One that refuses what is not signed is well; to sign takes an import of botocore.
    _get(config.url(S3), timeout, refusal=400)


def _mlflow(config: StackConfig, timeout: float) -> None:
    # /health answers before the database is ready; this does not.
    _get(
        f"{config.url(MLFLOW)}/api/2.0/mlflow/experiments/get?experiment_id=0", timeout
    )


def _api(config: StackConfig, timeout: float) -> None:
    _get(f"{config.url(API)}/health", timeout)


def _get(url: str, timeout: float, *, refusal: int | None = None) -> None:
    with BoundedSession() as session:
        session.trust_env = False  # a proxy has no business on the loopback
        try:
            answer = session.get(url, timeout=timeout)
        except requests.RequestException as error:
            raise NotHealthy(f"{url} does not answer: {error}") from error
    if not answer.ok and answer.status_code != refusal:
        raise NotHealthy(f"{url} answers {answer.status_code}: {answer.text[:200]}")


_PROBES: dict[str, Callable[[StackConfig, float], None]] = {
    VALKEY: _valkey,
    S3: _s3,
    MLFLOW: _mlflow,
    API: _api,
}
