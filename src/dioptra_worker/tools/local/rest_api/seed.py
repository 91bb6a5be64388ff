"""What a fresh REST API lacks: the worker's user and the queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.common.network.bounded_http import BoundedSession
from dioptra_worker.tools.local.config import API, REGISTRATION_HEADER
from dioptra_worker.tools.local.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests

    from dioptra_worker.tools.local.config import StackConfig

_REQUEST_TIMEOUT = 30.0
_PUBLIC_GROUP = 1


def seed(config: StackConfig) -> None:
    """Register the user and the queues; those that are there already stay.

    Raises:
        StackError: The API refused.
    """
    with BoundedSession() as session:
        session.trust_env = False
        root = f"{config.url(API)}/api/v1"
        _ensure_user(session, root, config)
        for name in config.queues:
            _ensure_queue(session, root, name)


def _ensure_user(session: requests.Session, root: str, config: StackConfig) -> None:
    login = {"username": config.username, "password": config.password}
    if session.post(f"{root}/auth/login", json=login, timeout=_REQUEST_TIMEOUT).ok:
        return
    user = {
        "username": config.username,
        "email": f"{config.username}@localhost.localdomain",
        "password": config.password,
        "confirmPassword": config.password,
    }
    key = {REGISTRATION_HEADER: config.registration_key}
    _post(session, f"{root}/users/", user, headers=key)
    _post(session, f"{root}/auth/login", login)


def _ensure_queue(session: requests.Session, root: str, name: str) -> None:
    found = session.get(
        f"{root}/queues/",
        params={"search": f'name:"{name}"', "pageLength": "100"},
        timeout=_REQUEST_TIMEOUT,
    )
    if found.ok and any(queue["name"] == name for queue in found.json()["data"]):
        return
    queue = {
        "name": name,
        "description": "A queue of the local stack.",
        "group": _PUBLIC_GROUP,
    }
    _post(session, f"{root}/queues/", queue)


def _post(
    session: requests.Session,
    url: str,
    body: Mapping[str, object],
    *,
    headers: Mapping[str, str] | None = None,
) -> None:
    answer = session.post(url, json=body, headers=headers, timeout=_REQUEST_TIMEOUT)
    if not answer.ok:
        raise StackError(
            f"The REST API refused POST {url} with {answer.status_code}: "
            f"{answer.text[:300]}"
        )
