"""The page, served for real, and a browser that sends whatever a test wants."""

from __future__ import annotations

import http.client
import threading
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from dioptra_worker.api.client import DioptraApi
from dioptra_worker.api.user_client import UserClient
from dioptra_worker.common.text.masking import Mask
from dioptra_worker.errors import SettingsError
from dioptra_worker.tools.capsule.comparison.side_by_side import compare_jobs
from dioptra_worker.tools.capsule.errors import CapsuleError
from dioptra_worker.tools.jobs.listing import Listing
from dioptra_worker.tools.jobs.page.job.log_parts import Logs
from dioptra_worker.tools.jobs.page.routes import Routes
from dioptra_worker.tools.jobs.page.server import PageServer, serving
from dioptra_worker.tools.jobs.parked import ParkedJobs
from dioptra_worker.tools.jobs.timeline_cache import TimelineCache
from dioptra_worker.tools.jobs.waiting import WaitingReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.unit.tools.jobs.dioptra import Dioptra

    from dioptra_worker.tools.capsule.comparison.side_by_side import OpenSource
    from dioptra_worker.tools.capsule.making import Source

SECRET = "correct-horse"
TOKEN = "the-token"


@dataclass(frozen=True)
class Got:
    """What the page answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


@dataclass(frozen=True)
class Browser:
    """Sends requests as they are, good or bad."""

    server: PageServer

    def get(self, path: str, **headers: str) -> Got:
        """GET, let in unless another *Cookie* is given."""
        return self._send("GET", path, None, {"Cookie": self.cookie, **headers})

    def post(self, path: str, form: dict[str, str], **headers: str) -> Got:
        """POST a form, let in unless another *Cookie* is given."""
        return self._send(
            "POST", path, urlencode(form), {"Cookie": self.cookie, **headers}
        )

    @property
    def cookie(self) -> str:
        """What a browser sends that has opened the address that is printed."""
        return f"{self.server.cookie}={self.server.secret}"

    def _send(
        self, method: str, path: str, body: str | None, headers: dict[str, str]
    ) -> Got:
        place = urlsplit(self.server.address).netloc
        with closing(http.client.HTTPConnection(place, timeout=30)) as connection:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return Got(answer.status, dict(answer.getheaders()), answer.read())


@contextmanager
def no_manifest(_job_id: int) -> Iterator[Source]:
    """What a job has left where no worker has made a manifest."""
    raise CapsuleError("there is no manifest")
    yield


def no_queues(_seconds: float) -> AbstractContextManager[Any]:
    """Opens the queues where nobody has said where they are."""
    raise SettingsError([f"RQ_REDIS_URI is missing, not {SECRET}: it has the queues"])


@contextmanager
def serving_page(
    dioptra: Dioptra,
    parked: ParkedJobs | None = None,
    *,
    open_source: OpenSource = no_manifest,
    jobs_of: Callable[[str], frozenset[int]] = lambda _worker_run: frozenset(),
    actions: Callable[[float], AbstractContextManager[Any]] = no_queues,
) -> Iterator[Browser]:
    """Serve the page of some jobs, of which some are parked, for a block's time."""
    with dioptra.running() as (_, upstream):
        api = DioptraApi(url=upstream.url, username="ada", password="x")
        client = UserClient(api)
        routes = Routes(
            api=api,
            client=client,
            listing=Listing(client, cache=TimelineCache(None)),
            actions=actions,
            mlflow="http://mlflow",
            token=TOKEN,
            compare=partial(compare_jobs, open_source=open_source),
            logs=Logs(client),
            mask=Mask([SECRET]),
            parked=lambda: parked or ParkedJobs(),
            waiting=WaitingReader({}).read,
            jobs_of=jobs_of,
        )
        with serving(routes, host="127.0.0.1", port=0) as server:
            thread = threading.Thread(target=server.serve_forever, args=[0.01])
            thread.start()
            try:
                yield Browser(server)
            finally:
                server.shutdown()
                thread.join()
        api.close()
