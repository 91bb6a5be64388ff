"""What a run may ask of a Dioptra, where one is configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.errors import ServiceError, SettingsError
from dioptra_worker.protocol.messages import SessionReply, SessionRequest
from dioptra_worker.tools.resources.account import PASSWORD, URL, USERNAME, Account

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NO_SERVER = (
    f"this run has no Dioptra server; set {URL}, {USERNAME} and {PASSWORD} to give"
    " it one"
)


def sessions(
    environment: Mapping[str, str],
) -> Callable[[SessionRequest], SessionReply]:
    """What answers a plugin that asks for a session with the REST API.

    Args:
        environment: May name a Dioptra and an account.
    """
    try:
        account = Account.read(environment)
    except SettingsError:
        return lambda wanted: _none(wanted, NO_SERVER)
    api = account.session()

    def answer(wanted: SessionRequest) -> SessionReply:
        try:
            cookies = api.cookies(renew=wanted.renew)
        except ServiceError as error:
            return _none(wanted, str(error))
        return SessionReply(
            request_id=wanted.request_id, url=account.url, cookies=cookies
        )

    return answer


def _none(wanted: SessionRequest, why: str) -> SessionReply:
    return SessionReply(request_id=wanted.request_id, url="", cookies={}, error=why)
