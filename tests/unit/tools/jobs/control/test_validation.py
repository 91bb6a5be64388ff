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

STILL_OPEN = "swap 'how' is open: choose 'deep' or 'flat', such as --swap how=deep"


def _platform(request: Request) -> Answer:
    if request.what != "GET entrypoints/5/snapshots/50/swaps":
        return Answer(404)
    names = ("deep", "flat")
    return Answer(body=[{"swapName": "how", "taskAlias": name} for name in names])


def _before_swaps(_request: Request) -> Answer:
    return Answer(404, {"message": "no such address"})


def _check(script: Any, entrypoint: dict[str, Any], **given: Any) -> list[str]:
    """Check what is given; what the API was asked."""
    given = {"values": {}, "artifacts": {}, "swaps": {}} | given
    with (
        ScriptedApi(script).running() as server,
        DioptraApi(url=server.url, username="ada", password="x") as api,
    ):
        check_arguments(UserClient(api), entrypoint, **given)
    return server.asked


def test_fits() -> None:
    """What fits is let through; an entrypoint without swaps costs no request."""
    assert _check(_platform, CLOSED, values={"rate": "1"}) == []
    assert len(_check(_platform, OPEN, swaps={"how": "flat"})) == 1


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"values": {"rat": "1"}, "swaps": {"how": "deep"}},
            "entrypoint 'train' has no parameter 'rat': it has 'rate'",
        ),
        (
            {"artifacts": {"data": 8}, "swaps": {"how": "deep"}},
            "entrypoint 'train' has no artifact parameter 'data': it has none",
        ),
        (
            {},
            STILL_OPEN,
        ),
        (
            {"swaps": {"hoe": "deep"}},
            "entrypoint 'train' has no swap 'hoe': it has 'how'",
        ),
        (
            {"swaps": {"xyz": "deep"}},
            "entrypoint 'train' has no swap 'xyz': it has 'how'\n" + STILL_OPEN,
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


CONFIG = {
    "types": {"sizes": {"list": "integer"}},
    "parameters": {"sizes": {"default": []}, "n": {"type": "integer"}},
    "tasks": {"t": {"plugin": "p.m.t", "inputs": [{"sizes": "sizes"}]}},
    "graph": {"a": {"t": ["$sizes"]}},
}
TYPED = {
    **PLAIN,
    "taskGraph": "a: {t: [$sizes]}",
    "parameters": [
        {"name": "sizes", "parameterType": "list", "defaultValue": "[]"},
        {"name": "n", "parameterType": "integer", "defaultValue": None},
    ],
    "artifactParameters": [
        {"name": name, "outputParams": [{"name": "x", "parameterType": {"name": kind}}]}
        for name, kind in (("readings", "table"), ("model", "classifier"))
    ],
}
RIGHT = {"values": {"n": "3"}, "artifacts": {"readings": 1, "model": 2}}


def _typed(request: Request) -> Answer:
    match request.path.split("/"):
        case ["artifacts", id_]:
            kind = {"name": "table" if id_ == "1" else "classifier"}
            task = {"outputParams": [{"name": "x", "parameterType": kind}]}
            return Answer(body={"id": int(id_), "task": {} if id_ == "3" else task})
        case ["entrypoints", "5", "snapshots", "50", "config"]:
            return Answer(body=CONFIG)
    return Answer(404, {"error": "EntityDoesNotExistError", "message": "none"})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (RIGHT, ""),
        (RIGHT | {"values": {"n": "3", "sizes": "[1, 2]"}}, ""),
        (RIGHT | {"artifacts": {"readings": 3, "model": 2}}, ""),
        (RIGHT | {"values": {"n": "two"}}, "parameter 'n': 'two' is no integer"),
        (
            RIGHT | {"values": {}},
            "parameter 'n' has no default: give it a value, such as -P n=...",
        ),
        (
            RIGHT | {"values": {"n": "3", "sizes": "[1, 2.5]"}},
            "parameter 'sizes' is given [1, 2.5]: Step 'a' ",
        ),
        (
            RIGHT | {"artifacts": {"readings": 1}},
            "artifact parameter 'model' is not given: --artifact model=ID",
        ),
        (
            RIGHT | {"artifacts": {"readings": 2, "model": 1}},
            "artifact parameter 'readings' takes a value of type 'table', and",
        ),
    ],
)
def test_values_and_types(given: dict[str, Any], told: str) -> None:
    """Values, what is in lists, and artifacts are of the types that are declared."""
    if not told:
        _check(_typed, TYPED, **given)
        return
    with pytest.raises(Unknown) as caught:
        _check(_typed, TYPED, **given)
    assert str(caught.value).startswith(told)
