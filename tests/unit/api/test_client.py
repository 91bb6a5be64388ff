"""The client against a real HTTP server that misbehaves as each test says."""

from __future__ import annotations

import html
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.api.scripted import Answer, Request, Script, ScriptedApi

from dioptra_worker.api import USER_AGENT
from dioptra_worker.api.client import (
    JOBS_PER_PAGE,
    MAX_DECLARED_SNAPSHOTS,
    DioptraApi,
)
from dioptra_worker.api.errors import MAX_RETRY_AFTER
from dioptra_worker.api.models import Artifact, ArtifactParameter, Job
from dioptra_worker.errors import (
    Conflict,
    ForeignAnswer,
    LoginRefused,
    NotFound,
    PathUnknown,
    ServiceError,
    ServiceRefused,
    ServiceUnavailable,
)
from dioptra_worker.protocol.messages import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PASSWORD = "swordfish-and-chips"
JOB: dict[str, Any] = {
    "id": 7,
    "status": "queued",
    "experiment": {"id": 3},
    "group": {"id": 1},
    "entrypoint": {"id": 5, "snapshotId": 50, "name": "train"},
    "queue": {"name": "cpu"},
}
ARTIFACT: dict[str, Any] = {
    "id": 1,
    "snapshot": 10,
    "job": 7,
    "artifactUri": "s3://b/a/days",
    "isDir": True,
}
COOKIE = {"Set-Cookie": "session=fresh; Path=/; HttpOnly"}


@pytest.fixture(name="serve")
def _serve() -> Iterator[Callable[[Script], tuple[DioptraApi, ScriptedApi]]]:
    with ExitStack() as stack:

        def start(script: Script) -> tuple[DioptraApi, ScriptedApi]:
            server = stack.enter_context(ScriptedApi(script).running())
            client = DioptraApi(url=server.url, username="worker", password=PASSWORD)
            return stack.enter_context(client), server

        yield start


def _always(answer: Answer) -> Script:
    return lambda _: answer


def _artifact(*, is_dir: bool = False) -> ArtifactParameter:
    return ArtifactParameter(
        name="data",
        artifact_id=8,
        artifact_snapshot_id=9,
        uri="s3://bucket/data",
        is_dir=is_dir,
        plugin_id=1,
        plugin_snapshot_id=2,
        plugin_name="io",
        file_name="csv.py",
        task="Csv",
        outputs=("rows",),
    )


class Forgetful:
    """A script that wants a log-in, whose session can be forgotten."""

    def __init__(self) -> None:
        self.sessions = 0
        self.valid: str | None = None
        self.lock = threading.Lock()

    def __call__(self, request: Request) -> Answer:
        """Answer."""
        with self.lock:
            if request.path == "auth/login":
                self.sessions += 1
                self.valid = f"session=s{self.sessions}"
                return Answer(headers={"Set-Cookie": f"{self.valid}; Path=/"})
            if self.valid is None or request.headers.get("Cookie") != self.valid:
                return Answer(401, {"message": "log in first"})
            return Answer(body=JOB)

    def forget(self) -> None:
        """End the session."""
        with self.lock:
            self.valid = None


# -- session -----------------------------------------------------------------------


def test_every_request_says_who_we_are(serve: Any) -> None:
    """Every request has our User-Agent, which the API binds its sessions to."""
    api, server = serve(_always(Answer(body=JOB)))
    api.login()
    api.job(7)
    agents = {request.headers["User-Agent"] for request in server.requests}
    assert agents == {USER_AGENT}


def test_a_forgotten_session_is_renewed_once(serve: Any) -> None:
    """On 401 the client logs in and asks again, and the caller notices nothing."""
    script = Forgetful()
    api, server = serve(script)
    api.login()
    script.forget()
    assert api.job(7).id == 7
    assert server.asked == [
        "POST auth/login",
        "GET jobs/7",
        "POST auth/login",
        "GET jobs/7",
    ]


def test_many_threads_log_in_once(serve: Any) -> None:
    """However many threads find the session forgotten, one of them logs in."""
    script = Forgetful()
    api, _ = serve(script)
    api.login()
    script.forget()
    together = threading.Barrier(16)

    def ask(_: int) -> int:
        together.wait()
        return int(api.job(7).id)

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(ask, range(16))) == {7}
    assert script.sessions == 2


def test_a_401_that_stays(serve: Any) -> None:
    """Where logging in does not help, later may: nothing is refused for good."""

    def script(request: Request) -> Answer:
        return Answer() if request.path == "auth/login" else Answer(401, {"message": 1})

    api, server = serve(script)
    with pytest.raises(ServiceUnavailable, match="SECRET_KEY") as caught:
        api.job(7)
    assert caught.value.status == 401
    assert server.asked.count("GET jobs/7") == 2


def test_an_api_that_goes_away_while_logging_in_again(serve: Any) -> None:
    """When the API is away for the second log-in, the message says that and no 401."""

    def script(request: Request) -> Answer:
        return Answer(401) if request.method == "GET" else Answer(reset=True)

    api, _ = serve(script)
    with pytest.raises(ServiceUnavailable) as caught:
        api.job(7)
    assert "auth/login" in str(caught.value)
    assert caught.value.status is None  # not the 401 that led there


def test_cookies_for_a_runner(serve: Any) -> None:
    """A runner gets the present session's cookies, and fresh ones when it says so."""
    script = Forgetful()
    api, _ = serve(script)
    assert api.cookies() == {"session": "s1"}
    assert api.cookies() == {"session": "s1"}
    assert api.cookies(renew=True) == {"session": "s2"}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            Answer(401, {"error": "UserDoesNotExistError", "message": "no"}),
            ["knows no user 'worker'", "DIOPTRA_WORKER_USERNAME"],
        ),
        (
            Answer(401, {"error": "UserPasswordError", "message": "no"}),
            ["password for user 'worker' is wrong", "DIOPTRA_WORKER_PASSWORD"],
        ),
        (
            Answer(401, {"message": "invalid"}),
            ["it does not say which", "USERNAME and DIOPTRA_WORKER_PASSWORD"],
        ),
        (Answer(404, b"<html>not here</html>"), ["(404)", "DIOPTRA_API"]),
        (Answer(405, {"message": "no"}), ["(405)", "DIOPTRA_API"]),
    ],
)
def test_login_refusals(answer: Answer, words: list[str], serve: Any) -> None:
    """A refused log-in says whether user, password or address is to be checked."""
    api, server = serve(_always(answer))
    with pytest.raises(LoginRefused) as caught:
        api.login()
    for word in [*words, server.url]:
        assert word in str(caught.value)
    assert PASSWORD not in str(caught.value) + repr(caught.value.detail)


def test_an_api_that_is_away_is_no_refusal(serve: Any) -> None:
    """An API that cannot log anybody in now is away: waiting may help."""
    api, _ = serve(_always(Answer(503)))
    with pytest.raises(ServiceUnavailable):
        api.login()


# -- what goes wrong ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ServiceRefused),
        (403, ServiceRefused),
        (404, NotFound),
        (409, Conflict),
        (413, ServiceRefused),
        (408, ServiceUnavailable),
        (425, ServiceUnavailable),
        (429, ServiceUnavailable),
        (500, ServiceUnavailable),
        (502, ServiceUnavailable),
        (503, ServiceUnavailable),
        (504, ServiceUnavailable),
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        {"error": "EntityDoesNotExistError", "message": "its own words"},
        {"error": "SomeError", "errors": {"name": ["its own words"]}},
    ],
)
def test_statuses(status: int, kind: type[ServiceError], body: Any, serve: Any) -> None:
    """Each status is the error that tells whether to wait, with the API's words."""
    api, _ = serve(_always(Answer(status, body)))
    with pytest.raises(ServiceError, match="its own words") as caught:
        api.job(7)
    assert type(caught.value) is kind
    assert caught.value.status == status
    assert f"GET jobs/7 with {status}" in str(caught.value)


@pytest.mark.parametrize("status", [302, 304, 400, 402, 403, 405, 409, 410, 418, 451])
@pytest.mark.parametrize(
    "body", [b"<html>go away</html>", b"", [], {}, {"detail": 1}, {"message": None}]
)
def test_what_stands_before_the_api_refuses_nothing(
    status: int, body: Any, serve: Any, tmp_path: Path
) -> None:
    """Whatever is not in the API's shape is an outage of the way to it."""
    # With a body that has no business there, a connection is good for nothing more.
    headers = {"Retry-After": "3", "Connection": "close"}
    api, _ = serve(_always(Answer(status, body, headers=headers)))
    with pytest.raises(ForeignAnswer, match=f"GET jobs/7 with {status}") as caught:
        api.job(7)
    assert type(caught.value) is ForeignAnswer
    assert caught.value.retry_after == 3.0
    with pytest.raises(ForeignAnswer):
        api.plugin_bundle(1, 2, tmp_path / "bundle")


@pytest.mark.parametrize("body", [b"no such page", [], {"message": "no Route matched"}])
def test_only_the_api_says_what_is_not_there(body: Any, serve: Any) -> None:
    """A gateway's 404 is none of the API's, which names its error in JSON."""
    api, _ = serve(_always(Answer(404, body)))
    with pytest.raises(PathUnknown):
        api.job(7)


def test_what_a_proxy_finds_too_large_is_refused(serve: Any) -> None:
    """It is as large the next time, so that log records must be sent in parts."""
    api, _ = serve(_always(Answer(413, b"<html>Request Entity Too Large</html>")))
    with pytest.raises(ServiceRefused):
        api.post_log(7, [Log(severity="INFO", logger="l", message="m")])


def test_a_web_page_is_no_archive(serve: Any, tmp_path: Path) -> None:
    """A page that says to wait, as if all were well, is an outage."""
    page = {"Content-Type": "Text/HTML; charset=utf-8"}
    api, _ = serve(_always(Answer(200, b"<html>back soon</html>", headers=page)))
    with pytest.raises(ForeignAnswer, match="web page in place of an archive"):
        api.plugin_bundle(1, 2, tmp_path / "bundle")


def test_a_page_of_a_proxy_takes_one_line(serve: Any) -> None:
    """Of a page in place of the API's words, the log shows its beginning in a line."""
    api, _ = serve(_always(Answer(502, b"<html>\n<h1>Bad gateway</h1>\n</html>" * 9)))
    with pytest.raises(ServiceUnavailable, match="Bad gateway") as caught:
        api.job(7)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_what_stands_in_for_the_api_deletes_no_job(serve: Any) -> None:
    """A proxy whose API is being replaced says 404 to all, and that is an outage."""
    page = Answer(404, b"404 page not found\n")
    answers = [Answer(), page, Answer(401), page]
    api, _ = serve(lambda _: answers.pop(0))
    api.login()
    with pytest.raises(ServiceUnavailable, match=r"GET jobs/7 with 404.*not its JSON"):
        api.job(7)
    with pytest.raises(ServiceUnavailable, match="POST auth/login with 404"):
        api.job(7)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("0", None),
        ("-1", None),
        ("nan", None),
        ("inf", MAX_RETRY_AFTER),
        ("99999999999", MAX_RETRY_AFTER),
        ("Wed, 21 Oct 2015 07:28:00 GMT", None),
        ("soon", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after(
    status: int, header: str, seconds: float | None, serve: Any
) -> None:
    """The pause that the API asks for is kept, within reason."""
    api, _ = serve(_always(Answer(status, headers={"Retry-After": header})))
    with pytest.raises(ServiceUnavailable) as caught:
        api.job(7)
    assert caught.value.retry_after == seconds


def test_a_closed_port() -> None:
    """Where nobody listens the API is away, and the innermost cause is told."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with (
            DioptraApi(url=url, username="worker", password=PASSWORD) as api,
            pytest.raises(ServiceUnavailable, match="refused") as caught,
        ):
            api.login()
        assert PASSWORD not in str(caught.value) + str(caught.value.detail)
        with (
            DioptraApi(url=url, username="worker", password=PASSWORD) as api,
            pytest.raises(ServiceUnavailable, match="refused"),
        ):
            api.reach()


def test_an_unknown_host() -> None:
    """A name that leads nowhere is an API that is away, not a crash."""
    with (
        DioptraApi(
            url="http://no-such-host.invalid", username="worker", password=PASSWORD
        ) as api,
        pytest.raises(ServiceUnavailable, match="cannot be reached"),
    ):
        api.login()


def test_a_connection_cut_without_an_answer(serve: Any) -> None:
    """A connection that is reset instead of answered is an API that is away."""
    api, _ = serve(_always(Answer(reset=True)))
    with pytest.raises(ServiceUnavailable, match=r"cannot be reached at .*GET jobs/7"):
        api.job(7)


@pytest.mark.parametrize("status", [200, 404, 500])
def test_a_connection_cut_within_an_answer(
    status: int, serve: Any, tmp_path: Path
) -> None:
    """An answer that ends too soon is an API that is away, also in a download."""
    api, _ = serve(_always(Answer(status, b'{"message": ', length=5000)))
    with pytest.raises(ServiceUnavailable):
        api.job(7)
    with pytest.raises(ServiceUnavailable):
        api.plugin_bundle(1, 2, tmp_path / "bundle")


@pytest.mark.parametrize(
    "body", [b"", b"<html>proxy</html>", b"\xff\xfe", b"{", b"[" * 99_999]
)
def test_an_answer_that_is_not_json(body: bytes, serve: Any) -> None:
    """What is not JSON comes from something else, so the API is away."""
    api, _ = serve(_always(Answer(200, body)))
    with pytest.raises(ServiceUnavailable, match="not JSON"):
        api.job(7)


def test_an_api_that_listens_can_be_reached(serve: Any) -> None:
    """Whether anybody listens is found out without a request."""
    api, server = serve(_always(Answer(500)))
    api.reach()
    assert server.asked == []
    with pytest.raises(ServiceUnavailable):
        api.ping()


def test_an_api_that_has_just_answered_is_not_looked_for() -> None:
    """Only a good answer counts, and not for long."""
    now = [0.0]
    answers = [Answer(503), Answer(body=JOB)]
    with ScriptedApi(lambda _: answers.pop(0)).running() as server:
        api = DioptraApi(
            url=server.url, username="w", password=PASSWORD, clock=lambda: now[0]
        )
        with pytest.raises(ServiceUnavailable):
            api.job(7)
    with api, pytest.raises(ServiceUnavailable, match="cannot be reached"):
        api.reach()
    with ScriptedApi(lambda _: answers.pop(0)).running() as server:
        api = DioptraApi(
            url=server.url, username="w", password=PASSWORD, clock=lambda: now[0]
        )
        api.job(7)
    with api:
        now[0] = 0.9
        api.reach()
        now[0] = 1.1
        with pytest.raises(ServiceUnavailable, match="cannot be reached"):
            api.reach()


# -- a job's life ------------------------------------------------------------------


def test_a_job_is_read(serve: Any) -> None:
    """The fields of a job come from where the API has them."""
    api, _ = serve(_always(Answer(body={**JOB, "mlflowRunId": None, "more": 1})))
    assert api.job(7) == Job(
        id=7,
        experiment_id=3,
        group_id=1,
        status="queued",
        entrypoint_id=5,
        entrypoint_snapshot_id=50,
        entrypoint_name="train",
        queue="cpu",
    )
    api, _ = serve(_always(Answer(body={**JOB, "queue": None})))
    assert api.job(7).queue == ""


def test_setting_the_mlflow_run_twice(serve: Any) -> None:
    """A 400 is fine when the job has that very run, with or without dashes."""
    known = {"mlflowRunId": "01234567-89ab-cdef-0123-456789abcdef"}

    def script(request: Request) -> Answer:
        if request.method == "POST":
            return Answer(400, {"message": "it has one"})
        return Answer(body=known)

    api, _ = serve(script)
    api.set_mlflow_run(7, "0123456789abcdef0123456789abcdef")
    with pytest.raises(ServiceRefused, match="it has one"):
        api.set_mlflow_run(7, "f" * 32)


def test_a_known_artifact_is_left_as_it_is(serve: Any) -> None:
    """Registering an artifact that is known already is no error."""
    api, server = serve(_always(Answer(409, {"message": "there", "detail": {"id": 4}})))
    api.register_artifact(
        group_id=1,
        job_id=7,
        uri="s3://b/k",
        plugin_snapshot_id=2,
        task_id=3,
        description="d",
    )
    assert server.requests[0].body == {
        "group": 1,
        "job": 7,
        "artifactUri": "s3://b/k",
        "pluginSnapshotId": 2,
        "taskId": 3,
        "description": "d",
    }


@pytest.mark.parametrize("body", [[1, 2], 7, "text", None])
def test_config_that_is_no_object(body: Any, serve: Any) -> None:
    """An answer of another kind is asked for again, not handed on as it is."""
    api, _ = serve(_always(Answer(body=body)))
    with pytest.raises(ServiceUnavailable, match="JSON of another shape"):
        api.job_config(7)


@pytest.mark.parametrize(
    "text", ["repr <class 'int'>", "a & b &amp; <b>", '"quotes"', "plain\nlines"]
)
def test_log_text_survives_the_servers_cleaning(text: str, serve: Any) -> None:
    """Log text is sent escaped, so that unescaping it gives what was said."""
    api, server = serve(_always(Answer()))
    api.post_log(7, [Log(severity="INFO", logger="l", message=text)])
    (record,) = server.requests[0].body["data"]
    assert record["severity"] == "INFO"
    assert record["loggerName"] == "l"
    assert "<" not in record["message"]
    assert html.unescape(record["message"]) == text


def test_metrics(serve: Any) -> None:
    """A metric without a step is sent without one; step 0 is a step."""
    api, server = serve(_always(Answer()))
    api.post_metric(7, "loss", 0.5, None)
    api.post_metric(7, "loss", "nan", 0)
    assert [request.body for request in server.requests] == [
        {"name": "loss", "value": 0.5},
        {"name": "loss", "value": "nan", "step": 0},
    ]


def test_lists_are_read_page_by_page(serve: Any) -> None:
    """Lists are read to their end, also when rows vanish on the way."""
    rows = [{"name": f"q{i}"} for i in range(7)]

    def script(request: Request) -> Answer:
        index = int(request.query["index"])
        return Answer(body={"data": rows[index : index + 3], "totalNumResults": 9})

    api, server = serve(script)
    assert api.queue_names() == [row["name"] for row in rows]
    assert len(server.requests) == 4


def test_a_job_that_says_it_is_deleted(serve: Any) -> None:
    """A job that the API still has, and calls deleted, counts as one that is gone."""
    api, _ = serve(_always(Answer(body={**JOB, "deleted": True})))
    with pytest.raises(NotFound, match="job 7 is deleted"):
        api.job(7)
    api, _ = serve(_always(Answer(body={**JOB, "deleted": False})))
    assert api.job(7).id == JOB["id"]


@pytest.mark.parametrize("hours", [-1, 0, 1])
def test_the_clock_of_the_api(hours: int) -> None:
    """What time it is for the API its answers say; what is no time says nothing."""
    lead = timedelta(hours=hours)
    told = format_datetime(datetime.now(UTC) + lead, usegmt=True)
    with DioptraApi(url="http://api.test", username="w", password="x") as api:
        for date in (told, "yesterday", "", "Thu, 99 Jan 99999 12:00:00 GMT", None):
            answer: Any = SimpleNamespace(headers={"Date": date} if date else {})
            api._note_time(answer, datetime.now(UTC))
            off = api.now() - datetime.now(UTC) - lead
            assert abs(off.total_seconds()) < 5


def test_the_same_clock() -> None:
    """That an answer tells whole seconds, and was under way, makes no difference."""
    told = format_datetime(datetime.now(UTC), usegmt=True)
    answer: Any = SimpleNamespace(headers={"Date": told})
    with DioptraApi(url="http://api.test", username="w", password="x") as api:
        api._note_time(answer, datetime.now(UTC) - timedelta(seconds=3))
        assert abs(api.now() - datetime.now(UTC)) < timedelta(seconds=0.01)


def test_jobs_with_a_status(serve: Any) -> None:
    """One page of them, the oldest first, and how many there are."""
    rows = [{"id": 1}, {"id": 2}]
    api, server = serve(lambda _: Answer(body={"data": rows, "totalNumResults": 9}))
    assert api.jobs_with_status("queued", index=4) == (rows, 9)
    (request,) = server.requests
    assert request.query == {
        "search": 'status:"queued"',
        "sortBy": "createdOn",
        "descending": "false",
        "index": "4",
        "pageLength": str(JOBS_PER_PAGE),
    }


def test_downloads(serve: Any, tmp_path: Path) -> None:
    """Bytes are written as they come; folders are asked for as archives."""
    content = bytes(range(256)) * 20_000
    api, server = serve(_always(Answer(body=content)))
    api.artifact_contents(_artifact(), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == content
    assert server.requests[-1].query == {}
    api.artifact_contents(_artifact(is_dir=True), tmp_path / "folder")
    assert server.requests[-1].query == {"fileType": "tar_gz"}
    api.plugins_bundle(Job.read(JOB), tmp_path / "bundle")
    assert server.asked[-1] == "GET entrypoints/5/snapshots/50/plugins/bundle"
    api.artifact_plugins_bundle(Job.read(JOB), tmp_path / "bundle")
    assert server.asked[-1] == "GET entrypoints/5/snapshots/50/artifactPlugins/bundle"


def test_threads_do_not_wait_for_each_other(serve: Any) -> None:
    """A slow answer does not delay another thread's request."""
    slow = threading.Event()

    def script(request: Request) -> Answer:
        if request.path == "jobs/1":
            slow.wait(30)
        return Answer(body=JOB)

    api, _ = serve(script)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(api.job, 1)
        begun = time.monotonic()
        api.job(2)
        assert time.monotonic() - begun < 15
        slow.set()
        first.result()


def test_an_api_that_fetches_before_it_answers(tmp_path: Path) -> None:
    """A download may be granted more silence than other requests have."""

    def script(_: Request) -> Answer:
        time.sleep(0.8)
        return Answer(body=b"content")

    with ScriptedApi(script).running() as server:
        api = DioptraApi(
            url=server.url, username="worker", password=PASSWORD, timeout=0.3
        )
        with api:
            with pytest.raises(ServiceUnavailable):
                api.artifact_contents(_artifact(), tmp_path / "file")
            api.artifact_contents(_artifact(), tmp_path / "file", extra_timeout=60.0)
    assert (tmp_path / "file").read_bytes() == b"content"


def test_how_large_an_artifact_is(serve: Any) -> None:
    """A folder has its files' number and size, if told; of a file nobody tells."""
    files: list[Any] = [
        {"isDir": False, "fileSize": 3},
        {"isDir": True, "fileSize": None},
        {"isDir": False, "fileSize": None},
        {"isDir": False, "fileSize": 4},
    ]

    def script(request: Request) -> Answer:
        if request.path == "artifacts/1/files":
            return Answer(body=files)
        if request.path == "artifacts/2/files":  # what it says of a file
            return Answer(body=files[1:2])
        return Answer(404)

    api, _ = serve(script)
    assert api.artifact_extent(1) == (3, 7)
    assert api.artifact_extent(2) == (0, None)
    assert api.artifact_extent(3) == (0, None)


def test_what_a_job_has_stored(serve: Any) -> None:
    """A job's artifacts are read one by one, the oldest first, with what is optional.

    Of whatever else an artifact's answer lacks or has of another kind, it is said that
    this is not what the REST API answers.
    """
    whole = ARTIFACT | {
        "description": "[deleted] note",
        "fileSize": 9,
        "task": {"id": 4, "name": "TextFile", "pluginResourceSnapshotId": 5},
    }

    def script(request: Request) -> Answer:
        if request.path == "jobs/7":
            return Answer(body={"artifacts": [{"id": 8}, {"id": 1}]})
        return Answer(body=whole if request.path == "artifacts/1" else ARTIFACT)

    api, server = serve(script)
    deleted, bare = api.artifacts(7)
    assert server.asked[-2:] == ["GET artifacts/1", "GET artifacts/8"]
    assert bare == Artifact(
        id=1, snapshot_id=10, job_id=7, uri="s3://b/a/days", is_dir=True
    )
    assert bare.file_name == "days"
    assert not bare.is_deleted
    assert deleted.is_deleted
    assert (deleted.size, deleted.task) == (9, "TextFile")
    assert (deleted.task_id, deleted.plugin_snapshot_id) == (4, 5)
    assert api.artifact_uris(7) == {"s3://b/a/days"}


@pytest.mark.parametrize(
    "body",
    [
        [],
        {key: value for key, value in ARTIFACT.items() if key != "artifactUri"},
        *(ARTIFACT | {key: None} for key in ("id", "snapshot", "job", "isDir")),
        ARTIFACT | {"artifactUri": 3},
        ARTIFACT | {"description": 3},
        ARTIFACT | {"task": "TextFile"},
    ],
)
def test_what_is_no_artifact(serve: Any, body: Any) -> None:
    """An answer that is no artifact is nobody's fault, and what it lacks is told."""
    api, _ = serve(_always(Answer(body=body)))
    with pytest.raises(
        ServiceUnavailable, match="GET artifacts/1 with JSON of another"
    ):
        api.artifact(1)


def test_declared_parameters_are_kept_of_the_latest_snapshots(
    serve: Callable[[Script], tuple[DioptraApi, ScriptedApi]],
) -> None:
    """A snapshot is asked for once, unless many others were wanted since."""

    def script(request: Request) -> Answer:
        user = {"id": 1, "username": "worker", "createdOn": "2026-01-01"}
        is_user = request.path == "users/current"
        return Answer(body=user if is_user else {"parameters": []})

    api, server = serve(script)

    def asked(snapshot: int) -> bool:
        before = len(server.requests)
        entrypoint = {**JOB["entrypoint"], "snapshotId": snapshot}
        api.declared_parameters(Job.read({**JOB, "entrypoint": entrypoint}))
        return len(server.requests) > before

    for snapshot in range(1, MAX_DECLARED_SNAPSHOTS + 1):
        assert asked(snapshot)
    assert not asked(1)
    assert asked(MAX_DECLARED_SNAPSHOTS + 1)
    assert not asked(1)
    assert asked(2)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=b"<html>a page</html>"),
        Answer(404, b"<html>not here</html>"),
        Answer(405, b"<html>not so</html>"),
        Answer(301, b""),
        Answer(404, {"message": "no route"}),
    ],
)
def test_a_page_that_is_no_api(answer: Answer) -> None:
    """Whatever answers in an API's place, the variable and its address are named."""
    with (
        ScriptedApi(lambda _: answer).running() as server,
        DioptraApi(url=server.url, username="me", password="x") as api,
        pytest.raises(ServiceError) as caught,
    ):
        api.request("GET", "jobs/")
    words = f"check that DIOPTRA_API, {server.url}, is the address of a Dioptra"
    assert words in str(caught.value)
