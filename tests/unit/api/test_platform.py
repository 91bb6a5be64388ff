"""Which platforms the client refuses, and how it finds out which one it talks to."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.api.scripted import (
    EMPTY_LOG,
    LOG,
    LOGIN,
    Answer,
    OlderApi,
    ScriptedApi,
    described,
)

from dioptra_worker.api.client import DioptraApi
from dioptra_worker.errors import (
    LoginRefused,
    PathUnknown,
    PlatformTooOld,
    ServiceUnavailable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(name="serve")
def _serve() -> Iterator[Callable[[Any], tuple[DioptraApi, ScriptedApi]]]:
    with ExitStack() as stack:

        def start(script: Any) -> tuple[DioptraApi, ScriptedApi]:
            server = stack.enter_context(ScriptedApi(script).running())
            client = DioptraApi(url=server.url, username="worker", password="secret")
            client = stack.enter_context(client)
            client.login()
            return client, server

        yield start


@pytest.mark.parametrize("version", ["1.0.0", "1.0.1", "1.0", "0.9.12"])
def test_an_older_platform_is_refused_by_name(serve: Any, version: str) -> None:
    """The sentence has the version that is there, and the one that is needed."""
    api, server = serve(OlderApi(version=version))
    with pytest.raises(PlatformTooOld) as caught:
        api.check_platform()
    assert str(caught.value) == (
        f"the Dioptra API at {server.url} is of dioptra-platform {version}, which lacks"
        " what this worker needs: upgrade dioptra-platform to 1.1 or newer"
    )


@pytest.mark.parametrize(
    "script",
    [
        OlderApi(version="2.7.1"),
        OlderApi(version="11.0"),
        OlderApi(version="1.0" + "0" * 40),
        OlderApi(version="next"),
        OlderApi(version=None),
        OlderApi(health={"version": "1.2.2"}),
        OlderApi(health={"status": "well"}, version=["1.0.1"]),
    ],
)
def test_without_an_older_version_it_is_waited_for(
    serve: Any, script: OlderApi
) -> None:
    """What lacks the path and does not say that it is older may be a proxy's answer."""
    api, _ = serve(script)
    with pytest.raises(PathUnknown) as caught:
        api.check_platform()
    assert "check that a proxy" in str(caught.value)
    assert "since 1.1" in str(caught.value)


def test_a_description_of_something_else_says_nothing(serve: Any) -> None:
    """Another program's version, at the same address, is not the platform's."""
    script = OlderApi()
    script.answers["GET /swagger.json"] = described("1.0.1", title="Gateway")
    api, _ = serve(script)
    with pytest.raises(PathUnknown, match="does not tell its version"):
        api.check_platform()


@pytest.mark.parametrize(
    "answer",
    [
        EMPTY_LOG,
        Answer(404, {"error": "EntityDoesNotExistError", "message": "no job 0"}),
        Answer(403, {"message": "not yours"}),
        Answer(400, {"message": "not so"}),
        Answer(500, {"message": "Internal Server Error"}),
    ],
)
@pytest.mark.parametrize("version", ["1.0.1", "1.2.2", "9.9", None])
def test_who_knows_the_path_is_not_asked_for_a_version(
    serve: Any, answer: Answer, version: object
) -> None:
    """However it answers, and whatever version a gateway before it may have."""
    script = OlderApi(health={"version": version})
    script.answers[LOG] = answer
    api, server = serve(script)
    api.check_platform()
    assert server.asked == [LOGIN, LOG]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_an_api_that_is_away_is_asked_again(serve: Any, status: int) -> None:
    """An outage says nothing about the version."""
    script = OlderApi()
    script.answers[LOG] = Answer(status, {"message": "later"})
    api, _ = serve(script)
    with pytest.raises(ServiceUnavailable):
        api.check_platform()
    script.answers[LOG] = EMPTY_LOG
    api.check_platform()


def test_it_is_asked_once_for_each_login(serve: Any) -> None:
    """A session that the API has forgotten may mean that it is another one now."""
    script = OlderApi()
    script.answers[LOG] = EMPTY_LOG
    api, server = serve(script)
    for _ in range(3):
        api.check_platform()
    assert server.asked == [LOGIN, LOG]
    del script.answers[LOG]
    api.login()
    for _ in range(2):
        with pytest.raises(PlatformTooOld):
            api.check_platform()
    script.answers[LOG] = EMPTY_LOG
    api.check_platform()
    api.check_platform()
    assert server.asked[-2:] == ["GET /swagger.json", LOG]


def test_a_login_that_is_refused_meanwhile(serve: Any) -> None:
    """It is no answer about the platform."""
    script = OlderApi()
    script.answers[LOG] = Answer(401, {"message": "log in first"})
    api, _ = serve(script)
    script.answers[LOGIN] = Answer(401, {"message": "who are you?"})
    for _ in range(2):
        with pytest.raises(LoginRefused):
            api.check_platform()


def test_the_version_that_runs_are_marked_with(serve: Any) -> None:
    """It is what the API's health tells, and empty where that tells none."""
    api, server = serve(OlderApi(health={"version": "1.2.2"}))
    assert [api.platform_version() for _ in range(2)] == ["1.2.2", "1.2.2"]
    assert server.asked == [LOGIN, "GET /health"]
    api, _ = serve(OlderApi())
    assert api.platform_version() == ""
