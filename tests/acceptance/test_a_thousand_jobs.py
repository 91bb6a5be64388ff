"""A thousand jobs on the real platform, listed with few requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.plugins.clients import ApiClient
from tests.plugins.many_jobs import copy_job
from tests.plugins.people import Person
from tests.plugins.stack import fresh_stack
from tests.plugins.testbed import Platform
from tests.plugins.worker_process import worker

if TYPE_CHECKING:
    from pathlib import Path

    from dioptra_worker.tools.local import LocalStack

SOURCE = """
@pyplugs.register
def nothing():
    pass
"""


def _asked(stack: LocalStack) -> int:
    """How many requests the API has answered, by its own log."""
    return stack.service("api").log.read_text().count('"GET /api/v1/')


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_thousand_jobs(tmp_path: Path) -> None:
    """The first page takes a request for each job shown, the next time almost none.

    A search through all of them takes few long requests, and the next one two.
    """
    with fresh_stack(tmp_path / "stack", queues=["local"]) as stack:
        api = ApiClient(stack.environment())
        platform = Platform(api)
        person = Person(stack.environment(), tmp_path)
        job = platform.submit(platform.entrypoint(SOURCE, {"one": {"nothing": []}}))
        with worker(stack.environment(), tmp_path, "--burst", platform.queue):
            assert platform.wait(job) == "finished"
        rare = platform.submit(
            platform.entrypoint(SOURCE, {"one": {"nothing": []}}), "local"
        )
        copy_job(tmp_path / "stack/api/database.sqlite", job, 1000)
        total = api.get("/jobs/", pageLength=1)["totalNumResults"]
        api.close()
        assert total == 1002

        def listed(*words: object) -> tuple[list[int], int]:
            before = _asked(stack)
            rows = person.json("jobs", "list", "--json", *words)
            assert all(row["took_seconds"] for row in rows if row["id"] != rare)
            return [row["id"] for row in rows], _asked(stack) - before

        first, requests = listed("--limit", 10)
        assert len(first) == 10
        # A login that was asked for, tags, jobs, a timeline for each.
        assert requests <= 3 + 10
        again, requests = listed("--limit", 10)
        assert again == first
        assert requests <= 3
        found, requests = listed("--queue", "local")
        assert found == [rare]
        assert requests <= 2 + 4
        every, requests = listed("--limit", 2000, "--status", "queued")
        assert every == [rare]
        assert requests <= 3
