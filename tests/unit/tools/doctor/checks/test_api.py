"""What the doctor says of a REST API that a worker cannot serve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.unit.api.scripted import EMPTY_LOG, LOG, Answer, OlderApi, ScriptedApi

from dioptra_worker.settings import Settings
from dioptra_worker.tools.doctor.checks import api
from dioptra_worker.tools.doctor.checks.configuration import examples

if TYPE_CHECKING:
    from dioptra_worker.tools.doctor import Finding


def _findings(script: OlderApi) -> list[Finding]:
    with ScriptedApi(script).running() as server:
        given: dict[str, Any] = {**examples({}), "DIOPTRA_API": server.url}
        return list(api.check(Settings(**given), []))


def test_an_older_platform_fails() -> None:
    """Its version and the one that is needed are told, and nothing else is tried."""
    [finding] = _findings(OlderApi(version="1.0.0"))
    assert (finding.name, finding.status) == ("Dioptra API", "fail")
    assert "is of dioptra-platform 1.0.0, which lacks" in finding.detail
    assert finding.fix == "upgrade dioptra-platform to 1.1 or newer"


def test_a_platform_that_does_not_tell_its_version_fails() -> None:
    """What is missing is told, and what may be the reason."""
    [finding] = _findings(OlderApi(version=None))
    assert finding.status == "fail"
    assert "does not tell its version" in finding.detail
    assert finding.fix.startswith("check that a proxy before it passes all paths")


def test_a_login_that_is_refused_is_no_question_of_version() -> None:
    """Of a wrong password the doctor says what it has always said."""
    script = OlderApi()
    script.answers["POST auth/login"] = Answer(401, {"message": "who are you?"})
    [finding] = _findings(script)
    assert finding.status == "fail"
    assert finding.fix == ("check DIOPTRA_WORKER_USERNAME and DIOPTRA_WORKER_PASSWORD")


def test_a_newer_platform_is_well() -> None:
    """A version that nobody knows yet is told, and no obstacle."""
    script = OlderApi(health={"version": "7.3"})
    script.answers |= {LOG: EMPTY_LOG, "GET queues/": EMPTY_LOG}
    login, queues, clock = _findings(script)
    assert login.status == clock.status == "ok"
    assert login.detail.endswith(", dioptra-platform 7.3")
    assert queues.detail == "the API has none"
