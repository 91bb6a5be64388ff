"""Our client in place of the platform's, on the application that its tests make."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, TypeVar

import dioptra.client.client
import dioptra.client.entrypoints
import requests
import urllib3
from requests.adapters import BaseAdapter
from tests.differential.adapter import meeting

from dioptra_worker.sdk import client as ours
from dioptra_worker.sdk.client.entrypoints import Entrypoints
from dioptra_worker.sdk.client.transport import API_ROOT, Transport

if TYPE_CHECKING:
    from flask.testing import FlaskClient

ADDRESS = "http://localhost"

T = TypeVar("T")


class Application(BaseAdapter):
    """Answers requests by the application itself, through no network.

    Args:
        application: The test's client of the application, which keeps the cookies.
    """

    def __init__(self, application: FlaskClient) -> None:
        super().__init__()
        self._application = application

    def send(
        self, request: requests.PreparedRequest, *_: Any, **__: Any
    ) -> requests.Response:
        """Have the application answer."""
        meeting.note()
        body = request.body or b""
        given = self._application.open(
            request.path_url,
            base_url=ADDRESS,
            method=request.method,
            headers=list(request.headers.items()),
            data=body.encode() if isinstance(body, str) else body,
        )
        raw = urllib3.HTTPResponse(
            body=io.BytesIO(given.get_data()),
            headers=dict(given.headers),
            status=given.status_code,
            preload_content=False,
        )
        response = requests.Response()
        response.status_code = given.status_code
        response.headers.update(given.headers)
        response.raw = raw
        response.url = request.url or ""
        response.request = request
        return response

    def close(self) -> None:
        """Nothing is open."""


class OnApplication(Transport):
    """Our transport, with its sessions on the application.

    Args:
        application: The test's client of the application.
    """

    def __init__(self, application: FlaskClient) -> None:
        super().__init__(ADDRESS, parse=False)
        self._application = application

    def _open(self) -> requests.Session:
        session = super()._open()
        session.mount(ADDRESS, Application(self._application))
        return session


class OurClient(ours.DioptraClient[T]):
    """Our client, made of what the platform's tests make their client of.

    Args:
        session: A session of theirs with the application.
    """

    def __init__(self, session: Any) -> None:
        super().__init__(OnApplication(session._session))


class ThroughSession(Transport):
    """Our transport, which has a session of the platform's client send.

    Args:
        session: The session; its address ends with the version of the API.
    """

    def __init__(self, session: Any) -> None:
        meeting.note()  # what is refused before it is sent is refused by ours
        super().__init__(session.url.removesuffix(f"/{API_ROOT}"), parse=False)
        self._theirs = session

    def send(self, method: str, path: str, **given: Any) -> Any:
        """Have the session send a request, and give what it gives."""
        words = {"params": given.get("params"), "json_": given.get("json")}
        passed = {name: value for name, value in words.items() if value is not None}
        return self._theirs.make_request(method.lower(), self.url + path, **passed)


def install() -> None:
    """Let the platform's tests make our client, and a part of it."""
    dioptra.client.client.DioptraClient = OurClient
    dioptra.client.entrypoints.EntrypointsCollectionClient = lambda session: (
        Entrypoints(ThroughSession(session))
    )
