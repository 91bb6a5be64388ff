"""Tests of the client's transport: flavours, time limits, repetition, and renewal."""

from __future__ import annotations

import io
import itertools
import logging
import pickle
import socket
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
import requests

from dioptra_worker.sdk.auth_client import get_authenticated_worker_client
from dioptra_worker.sdk.client import (
    DioptraFile,
    connect_json_dioptra_client,
    connect_response_dioptra_client,
)
from dioptra_worker.sdk.client.client import DioptraClient
from dioptra_worker.sdk.client.errors import (
    APIConnectionError,
    JSONDecodeError,
    StatusCodeError,
)
from dioptra_worker.sdk.client.files import FileTypes
from dioptra_worker.sdk.client.transport import Patience, Transport
from dioptra_worker.sdk.worker import bridge
from dioptra_worker.sdk.worker.bridge import JobContext, Session

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.sdk.api_server import ApiServer

LOG = logging.getLogger("test")


@dataclass
class FakeBridge:
    """A bridge whose daemon is a list of metrics and a row of sessions."""

    url: str
    job_id: int = 7
    cookies: list[str] = field(default_factory=lambda: ["first", "second", "third"])
    metrics: list[tuple[str, float, int | None]] = field(default_factory=list)
    asked: int = 0
    context: JobContext = field(default_factory=JobContext)

    def set_element_state(
        self, element: str, state: str, *, error: str = "", last: bool = False
    ) -> str:
        """Record nothing."""
        del element, state, error, last
        return "off"

    def append_metric(self, name: str, value: float, step: int | None) -> None:
        """Take a metric."""
        self.metrics.append((name, value, step))

    def session(self) -> Session:
        """Return the present session."""
        self.asked += 1
        return Session(self.url, {"session": self.cookies[0]})

    def renew(self) -> Session:
        """Return the next session."""
        self.cookies.pop(0)
        return self.session()


def worker_client(api: ApiServer, flavour: Any = "json") -> tuple[Any, FakeBridge]:
    """Return a client as a plugin gets it in a runner, and its bridge."""
    fake = FakeBridge(api.url)
    bridge.install(fake)
    return get_authenticated_worker_client(LOG, flavour), fake


def test_json_client_returns_parsed_answers(api: ApiServer) -> None:
    """The JSON client returns the body, parsed."""
    api.answers = [(200, '{"id": 3}')]
    assert connect_json_dioptra_client(api.url).queues.get_by_id(3) == {"id": 3}
    assert [(r.method, r.path) for r in api.seen] == [("GET", "/api/v1/queues/3")]


def test_json_client_raises_on_anything_but_2xx(api: ApiServer) -> None:
    """The JSON client raises the status and the API's words."""
    api.answers = [(404, '{"message": "no such job"}')]
    with pytest.raises(StatusCodeError, match=r"(?s)404.*no such job") as caught:
        connect_json_dioptra_client(api.url).jobs.get_by_id(1)
    assert caught.value.status_code == 404
    assert '"message": "no such job"' in caught.value.message


def test_json_client_names_what_it_could_not_parse(api: ApiServer) -> None:
    """An answer that is no JSON is an error that quotes it."""
    api.answers = [(200, "<html>proxy</html>")]
    with pytest.raises(JSONDecodeError, match="<html>proxy"):
        connect_json_dioptra_client(api.url).jobs.get()


def test_response_client_returns_every_answer(api: ApiServer) -> None:
    """The response client returns a response also when its status is an error."""
    api.answers = [(404, "gone")]
    answer = connect_response_dioptra_client(api.url).jobs.get_by_id(1)
    assert (answer.status_code, answer.text) == (404, "gone")
    assert answer.request.method == "GET"


def test_server_errors_are_not_repeated(api: ApiServer) -> None:
    """An answer is an answer: a 503 is shown to the caller, not tried again."""
    api.answers = [(503, "later")]
    assert connect_response_dioptra_client(api.url).jobs.get().status_code == 503
    assert len(api.seen) == 1


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_harmless_requests_are_repeated_when_the_connection_breaks(
    api: ApiServer, method: str
) -> None:
    """A request that may be sent twice survives two broken connections."""
    api.answers = ["drop", "drop", (200, '{"ok": true}')]
    client = _hasty(api.url, read=60.0)
    calls = {
        "GET": lambda: client.queues.get_by_id(1),
        "PUT": lambda: client.queues.modify_by_id(1, name="a", description=None),
        "DELETE": lambda: client.queues.delete_by_id(1),
    }
    assert calls[method]() == {"ok": True}
    assert [request.method for request in api.seen] == [method] * 3


def test_a_post_is_not_repeated_when_the_connection_breaks(api: ApiServer) -> None:
    """A request that might have been obeyed already is not sent again."""
    api.answers = ["drop"]
    with pytest.raises(APIConnectionError, match=r"POST .*/queues"):
        connect_json_dioptra_client(api.url).queues.create(group_id=1, name="q")
    assert len(api.seen) == 1


def test_nobody_listening_is_a_connection_error() -> None:
    """When nobody listens, the error names the method and the address."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(APIConnectionError, match=f"POST {address}/api/v1/auth"):
            _hasty(address).auth.login("user", "password")


def _hasty(address: str, *, read: float = 0.2) -> DioptraClient[Any]:
    """A client that does not wait long."""
    patience = Patience(read=read, backoff=0.01)
    return DioptraClient(Transport(address, parse=True, patience=patience))


def test_requests_have_time_limits() -> None:
    """A server that never answers is given up within the read limit."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(APIConnectionError, match="timed out"):
            _hasty(address).auth.login("user", "password")


def test_worker_client_speaks_with_the_worker_s_session(api: ApiServer) -> None:
    """In a runner, a call carries the cookie that the bridge hands over."""
    client, _ = worker_client(api)
    api.good_cookie = "session=first"
    assert client.jobs.get_by_id(7) == {}


def test_worker_client_renews_once_after_a_401(api: ApiServer) -> None:
    """A session that has run out is renewed, and the call is sent again."""
    client, _ = worker_client(api)
    api.good_cookie = "session=second"
    assert client.queues.create(1, "q") == {}
    assert [request.cookie for request in api.seen] == [
        "session=first",
        "session=second",
    ]
    assert api.seen[1].json() == {"group": 1, "name": "q"}


def test_nothing_of_the_old_session_stays(api: ApiServer) -> None:
    """After a renewal only the new session's cookies are sent."""

    class OtherName(FakeBridge):
        """A bridge whose first session has another cookie."""

        def session(self) -> Session:
            """Return the first session."""
            return Session(self.url, {"stale": "x"})

        def renew(self) -> Session:
            """Return the second session."""
            return Session(self.url, {"session": "second"})

    bridge.install(OtherName(api.url))
    api.good_cookie = "session=second"
    get_authenticated_worker_client(LOG, "json").jobs.get()
    assert [request.cookie for request in api.seen] == ["stale=x", "session=second"]


def test_worker_client_gives_up_after_a_second_401(api: ApiServer) -> None:
    """A renewed session that is refused too is the caller's to see."""
    client, fake = worker_client(api)
    api.good_cookie = "session=third"
    with pytest.raises(StatusCodeError, match="401"):
        client.jobs.get()
    assert fake.cookies == ["second", "third"]


def test_uploaded_files_are_sent_whole_after_a_renewal(api: ApiServer) -> None:
    """A file that was read for the refused request is read again for the next."""
    client, _ = worker_client(api)
    api.good_cookie = "session=second"
    file = DioptraFile("a.tar.gz", io.BytesIO(b"the archive"), "application/gzip")
    client.workflows.import_resources(1, file, config_path="dioptra.toml")
    assert b"the archive" in api.seen[1].body
    assert b"upload_archive" in api.seen[1].body


def test_own_login_ends_speaking_for_the_worker(api: ApiServer) -> None:
    """After a plugin's own login, the worker's session neither helps nor leaks."""
    client, fake = worker_client(api)
    client.jobs.get()
    client.auth.login("me", "secret")
    api.good_cookie = "session=second"
    with pytest.raises(StatusCodeError, match="401"):
        client.jobs.get()
    assert [request.cookie for request in api.seen] == ["session=first", "", ""]
    assert fake.cookies[0] == "first"


def test_metric_of_the_running_job_goes_over_the_bridge(api: ApiServer) -> None:
    """A metric of the running job reaches the daemon and no request is sent."""
    client, fake = worker_client(api)
    answer = client.jobs.append_metric_by_id(
        job_id="7", metric_name="accuracy", metric_value=0.5, metric_step=3
    )
    client.jobs.append_metric_by_id(7, "loss", 2)
    assert fake.metrics == [("accuracy", 0.5, 3), ("loss", 2.0, None)]
    assert answer == {"name": "accuracy", "value": 0.5}
    assert (api.seen, fake.asked) == ([], 0)


def test_metric_answer_of_the_response_client(api: ApiServer) -> None:
    """The response client answers a metric with a response like the API's."""
    client, _ = worker_client(api, "response")
    answer = client.jobs.append_metric_by_id(7, "accuracy", float("-inf"))
    assert isinstance(answer, requests.Response)
    assert (answer.status_code, answer.ok) == (200, True)
    assert answer.json() == {"name": "accuracy", "value": "-inf"}
    assert answer.request.method == "POST"
    assert answer.text.startswith("{")


class Unprintable:
    """A value of a plugin that cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError

    def __float__(self) -> float:
        raise TypeError

    __int__ = __float__
    __str__ = __repr__


@pytest.mark.parametrize(
    ("name", "value", "step"),
    [
        ("two words", 0.5, 0),
        ("1st", 0.5, 0),
        ("_", 0.5, 0),
        ("loss\n\n", 0.5, 0),
        ("a" * 251, 0.5, 0),
        ("\udcff", 0.5, 0),
        (7, 0.5, 0),
        ("good", 0.5, "epoch"),
        ("good", 0.5, 2**63),
        ("good", 0.5, -(2**63) - 1),
        ("good", 0.5, float("inf")),
        ("good", 0.5, float("nan")),
        ("good", 0.5, 10**5000),
        ("good", 0.5, Unprintable()),
        ("good", 1j, 0),
        ("good", "many", 0),
        ("good", None, 0),
        ("good", [0.5], 0),
        ("good", 10**400, 0),
        ("good", 10**5000, 0),
        ("good", Unprintable(), 0),
    ],
    ids=itertools.count(),
)
def test_metric_that_the_api_refuses_is_refused_at_once(
    api: ApiServer, name: Any, value: Any, step: Any
) -> None:
    """What the API would refuse raises in the plugin, not later."""
    client, fake = worker_client(api)
    with pytest.raises(StatusCodeError, match="refuse this metric") as caught:
        client.jobs.append_metric_by_id(7, name, value, metric_step=step)
    assert caught.value.status_code == 400
    assert fake.metrics == []


@pytest.mark.parametrize(
    ("value", "step"),
    [
        (True, 2**63 - 1),
        (Decimal("0.1"), Decimal(3)),
        (Fraction(1, 3), "3"),
        ("0.5", -3),
        (float("nan"), None),
        (1e308, 3.0),
    ],
)
def test_numbers_of_all_kinds_are_metrics(
    api: ApiServer, value: Any, step: Any
) -> None:
    """Whatever is a number becomes a float, and whatever is an integer a step."""
    client, fake = worker_client(api)
    client.jobs.append_metric_by_id(7, "good", value, metric_step=step)
    ((_, sent, at),) = fake.metrics
    assert str(sent) == str(float(value))
    assert at == (None if step is None else int(step))


def test_metric_of_another_job_goes_to_the_api(api: ApiServer) -> None:
    """A metric of another job, or with its own time, is posted at once."""
    client, fake = worker_client(api)
    client.jobs.append_metric_by_id("8", "accuracy", 0.5)
    client.jobs.append_metric_by_id("7", "a", 1, timestamp="2025-01-31T12:00:00")
    assert fake.metrics == []
    assert [request.path for request in api.seen] == [
        "/api/v1/jobs/8/metrics",
        "/api/v1/jobs/7/metrics",
    ]
    assert api.seen[0].json() == {"name": "accuracy", "value": 0.5}


class NAType:
    """What pandas calls a missing value, which cannot be made a float."""

    def __repr__(self) -> str:
        return "<NA>"


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (-float("inf"), "-inf"),
        (NAType(), "nan"),
        (3, 3.0),
    ],
)
def test_special_values_travel_as_words(
    api: ApiServer, value: Any, wire: object
) -> None:
    """NaN, the infinities and pandas' NA are sent as the words that the API knows."""
    connect_json_dioptra_client(api.url).jobs.append_metric_by_id(1, "m", value)
    assert api.seen[0].json()["value"] == wire


def test_missing_value_goes_over_the_bridge_as_nan(api: ApiServer) -> None:
    """Pandas' NA is handed to the daemon as NaN."""
    client, fake = worker_client(api)
    client.jobs.append_metric_by_id(7, "m", NAType())
    assert str(fake.metrics[0][1]) == "nan"


def test_without_a_bridge_the_worker_client_logs_in(
    api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a laptop the worker client logs in with the environment's credentials."""
    monkeypatch.setenv("DIOPTRA_API", api.url)
    monkeypatch.setenv("DIOPTRA_WORKER_USERNAME", "me")
    monkeypatch.setenv("DIOPTRA_WORKER_PASSWORD", "secret")
    assert get_authenticated_worker_client(LOG).jobs.get().status_code == 200
    assert api.seen[0].path == "/api/v1/auth/login"
    assert api.seen[0].json() == {"username": "me", "password": "secret"}


def test_without_credentials_the_error_names_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without credentials every missing variable is named, and none that is set."""
    monkeypatch.setenv("DIOPTRA_API", "http://localhost:1")
    monkeypatch.delenv("DIOPTRA_WORKER_USERNAME", raising=False)
    monkeypatch.delenv("DIOPTRA_WORKER_PASSWORD", raising=False)
    missing = "DIOPTRA_WORKER_USERNAME, DIOPTRA_WORKER_PASSWORD not set"
    with pytest.raises(ValueError, match=missing):
        get_authenticated_worker_client(LOG, "json")
    assert missing in caplog.text


def test_without_an_address_the_error_names_the_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client without an address says which variable to set."""
    monkeypatch.delenv("DIOPTRA_API", raising=False)
    with pytest.raises(ValueError, match="DIOPTRA_API"):
        connect_json_dioptra_client()


def test_downloads_appear_only_when_whole(api: ApiServer, tmp_path: Path) -> None:
    """A download is saved under its name; a refused one leaves nothing behind."""
    api.answers = [(200, "bytes"), (500, "no")]
    client = connect_json_dioptra_client(api.url)
    saved = client.plugins.snapshots.get_files_bundle(
        1, 2, file_type=FileTypes.ZIP, output_dir=tmp_path / "new", file_stem="p"
    )
    assert (saved.name, saved.read_text()) == ("p.zip", "bytes")
    with pytest.raises(StatusCodeError):
        client.artifacts.get_contents(1, output_dir=tmp_path, file_stem="q")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_a_download_that_breaks_off_leaves_nothing(
    api: ApiServer, tmp_path: Path
) -> None:
    """A connection that breaks amid a download is an error, and no half file stays."""
    api.answers = ["cut"]
    with pytest.raises(APIConnectionError, match=r"GET .*/contents"):
        connect_json_dioptra_client(api.url).artifacts.get_contents(
            1, output_dir=tmp_path
        )
    assert list(tmp_path.iterdir()) == []


def test_ids_are_escaped_in_paths(api: ApiServer) -> None:
    """A name in a path cannot leave its place there."""
    connect_json_dioptra_client(api.url).jobs.get_metrics_snapshots_by_id(1, "a/b?c")
    assert api.seen[0].path.startswith("/api/v1/jobs/1/metrics/a%2Fb%3Fc/snapshots?")


def test_a_wrong_argument_is_named_with_its_method() -> None:
    """A call with a missing argument fails like a function, with the method's name."""
    client = connect_json_dioptra_client("http://localhost:1")
    with pytest.raises(TypeError, match=r"Queues.create\(\): missing.*'name'"):
        client.queues.create(1)


def test_status_code_error_survives_pickling() -> None:
    """A StatusCodeError crosses to another process whole."""
    sent = pickle.dumps(StatusCodeError(404, '{"a": 1}'))
    error = pickle.loads(sent)  # noqa: S301 - our own bytes
    assert (error.status_code, error.message) == (404, '{\n    "a": 1\n}')
