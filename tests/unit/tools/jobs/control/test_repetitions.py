"""Jobs that repeat another one are submitted once, whatever interrupts it."""

from __future__ import annotations

from contextlib import contextmanager
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.api.scripted import Answer, Request, ScriptedApi

from dioptra_worker.api.client import DioptraApi
from dioptra_worker.api.user_client import UserClient
from dioptra_worker.errors import ServiceUnavailable
from dioptra_worker.tools.jobs.control.repetitions import (
    completed,
    latest_set,
    next_set,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

NOON = "2026-01-01T12:00:00+00:00"


class Platform:
    """Jobs behind a real HTTP server; may lose the answer to one that is submitted.

    Attributes:
        jobs: The jobs as the API shows them.
        loses: The answers, counted from 1, that are lost though the job was made.
    """

    def __init__(self) -> None:
        self.jobs: dict[int, dict[str, Any]] = {}
        self.loses: set[int] = set()
        self._submitted = 0
        self.add(42, description="mine")

    def add(self, job_id: int, *, description: str, rate: str = "0.1") -> None:
        """Make a job."""
        self.jobs[job_id] = {
            "id": job_id,
            "status": "queued",
            **dict.fromkeys(("createdOn", "lastModifiedOn", "snapshotCreatedOn"), NOON),
            "description": description,
            "queue": {"id": 2, "name": "cpu"},
            "experiment": {"id": 3, "name": "demo"},
            "entrypoint": {"id": 5, "snapshotId": 50, "name": "train"},
            "values": {"rate": rate},
            "artifacts": [],
            "timeout": "1h",
        }

    @property
    def marks(self) -> list[str]:
        """What the repetitions say of themselves, in the order of their jobs."""
        return [it["description"] for id_, it in self.jobs.items() if id_ != 42]

    @contextmanager
    def client(self) -> Iterator[UserClient]:
        """Serve until the end of the block."""
        with (
            ScriptedApi(self._answer).running() as server,
            DioptraApi(url=server.url, username="ada", password="x") as api,
        ):
            yield UserClient(api)

    def _answer(self, request: Request) -> Answer:
        match request.method, request.path.rstrip("/").split("/"):
            case "POST", ["experiments", "3", "jobs"]:
                self._submitted += 1
                new = 100 + len(self.jobs)
                self.add(new, description=request.body["description"])
                lost = self._submitted in self.loses
                return Answer(reset=True) if lost else Answer(body={"id": new})
            case "GET", ["jobs"]:
                pattern = request.query["search"].removeprefix("description:")
                rows = [
                    job
                    for job in self.jobs.values()
                    if fnmatch(job["description"], pattern.strip('"'))
                ]
                return Answer(body={"data": rows, "totalNumResults": len(rows)})
            case "GET", ["jobs", id_]:
                return Answer(body=self.jobs[int(id_)])
        return Answer(404)


def repeat(platform: Platform, count: int) -> dict[int, int]:
    """What the command does: the jobs of the set by their numbers."""
    with platform.client() as client:
        known = latest_set(client, 42)
        return {**known.jobs, **dict(completed(client, known, count=count))}


def test_all_are_submitted_once() -> None:
    """Again it finds them, also where more are wanted; the description stays."""
    platform = Platform()
    first = repeat(platform, 2)
    assert platform.marks == [f"mine; repetition {it} of job 42" for it in (1, 2)]
    assert repeat(platform, 2) == first
    more = repeat(platform, 3)
    assert {number: more[number] for number in first} == first
    assert len(platform.marks) == len(more) == 3


def test_a_lost_answer_makes_no_job_twice() -> None:
    """Nobody was told of the second job; whoever goes on finds it all the same."""
    platform = Platform()
    platform.loses = {2}
    with pytest.raises(ServiceUnavailable):
        repeat(platform, 3)
    assert len(platform.marks) == 2
    assert sorted(repeat(platform, 3)) == [1, 2, 3]
    assert len(platform.marks) == 3


def test_others_do_not_count() -> None:
    """Of another job, with other values, or with the same number again."""
    platform = Platform()
    platform.add(50, description="repetition 1 of job 420")
    platform.add(51, description="repetition 1 of job 42", rate="0.2")
    platform.add(52, description="repetition 1 of job 42, and more")
    platform.add(53, description="repetition 1 of job 42")
    platform.add(54, description="repetition 1 of job 42")
    with platform.client() as client:
        assert latest_set(client, 42).jobs == {1: 53}


def test_anew_is_another_set() -> None:
    """It is gone on with, as the first was; a set without a job is not passed over."""
    platform = Platform()
    repeat(platform, 2)
    with platform.client() as client:
        new = next_set(latest_set(client, 42))
        submitted = dict(completed(client, new, count=1))
        assert next_set(new) is new
    assert platform.marks[-1] == "mine; repetition 1 of job 42, set 2"
    assert repeat(platform, 2)[1] == submitted[1]
    assert len(platform.marks) == 4


def test_a_repetition_can_be_repeated() -> None:
    """It says of which job it is one now, and no more of which it was."""
    platform = Platform()
    repetition = repeat(platform, 1)[1]
    with platform.client() as client:
        known = latest_set(client, repetition)
        assert known.jobs == {}
        dict(completed(client, known, count=1))
    assert platform.marks[-1] == f"mine; repetition 1 of job {repetition}"
