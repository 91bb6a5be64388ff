"""Whether what a job is given fits its entrypoint."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.api.scripted import Answer, Request, ScriptedApi

from dioptra_worker.api.client import DioptraApi
from dioptra_worker.api.user_client import UserClient
from dioptra_worker.tools.jobs.control.validation import check_arguments
from dioptra_worker.tools.resources.errors import Unknown

PLAIN = {"id": 5, "snapshot": 50, "name": "train", "parameters": [{"name": "rate"}]}
CLOSED = {**PLAIN, "taskGraph": "a: {fit: []}"}
OPEN = {**PLAIN, "taskGraph": "a: {'?how': {deep: {tree: []}, flat: {line: []}}}"}


def _platform(request: Request) -> Answer:
    if request.what != "GET entrypoints/5/snapshots/50/swaps":
        return Answer(404)
    names = ("deep", "flat")
    return Answer(body=[{"swapName": "how", "taskAlias": name} for name in names])


def _before_swaps(_request: Request) -> Answer:
    return Answer(404, {"message": "no such address"})


def _check(script: Any, entrypoint: dict[str, Any], **given: Any) -> list[str]:
    """Check what is given; what the API was asked."""
    given = {"values": [], "artifacts": [], "swaps": {}} | given
    with (
        ScriptedApi(script).running() as server,
        DioptraApi(url=server.url, username="ada", password="x") as api,
    ):
        check_arguments(UserClient(api), entrypoint, **given)
    return server.asked


def test_fits() -> None:
    """What fits is let through; an entrypoint without swaps costs no request."""
    assert _check(_platform, CLOSED, values=["rate"]) == []
    assert len(_check(_platform, OPEN, swaps={"how": "flat"})) == 1


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"values": ["rat"]},
            "entrypoint 'train' has no parameter 'rat': it has 'rate'",
        ),
        (
            {"artifacts": ["data"]},
            "entrypoint 'train' has no artifact parameter 'data': it has none",
        ),
        (
            {},
            "swap 'how' is open: choose 'deep' or 'flat', such as --swap how=deep",
        ),
        (
            {"swaps": {"hoe": "deep"}},
            "entrypoint 'train' has no swap 'hoe': it has 'how'",
        ),
        (
            {"swaps": {"how": "flt"}},
            "swap 'how' has no choice 'flt': choose 'flat'",
        ),
        (
            {"swaps": {"how": "xyz"}},
            "swap 'how' has no choice 'xyz': choose 'deep' or 'flat'",
        ),
    ],
)
def test_does_not_fit(given: dict[str, Any], told: str) -> None:
    """What does not fit is named, with what there is."""
    with pytest.raises(Unknown) as caught:
        _check(_platform, OPEN, **given)
    assert str(caught.value) == told


def test_platform_before_swaps() -> None:
    """A platform that knows no swaps takes none."""
    with pytest.raises(Unknown, match="has no swap 'how': it has none"):
        _check(_before_swaps, CLOSED, swaps={"how": "deep"})
