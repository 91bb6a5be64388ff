"""What a worker fetched once it keeps; what is damaged there runs nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.plugins.testbed import Platform
from tests.plugins.worker_process import worker

from dioptra_worker.api.client import DioptraApi

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugins.clients import ApiClient

    from dioptra_worker.tools.local import LocalStack

SOURCE = """
@pyplugs.register
def make():
    return "made by the first"


@pyplugs.register
def show(first, second):
    print("read:", first, "and", second)
"""


def test_what_was_fetched_is_kept_and_verified(
    stack: LocalStack, api: ApiClient, tmp_path: Path
) -> None:
    """Later jobs use the cache; an entry that was damaged is fetched again and said."""
    platform = Platform(api)
    producer = platform.entrypoint(
        SOURCE,
        {"text": {"make": []}},
        artifact_outputs={"note": {"contents": "$text", "task": {"name": "Text"}}},
    )
    consumer = platform.entrypoint(
        SOURCE,
        {"reading": {"show": ["$first", "$second"]}},
        artifact_inputs={"first": ["one"], "second": ["two"]},
    )
    with worker(stack.environment(), tmp_path, platform.queue) as running:
        first = platform.run(producer)
        note = platform.artifacts(first)["note"]
        given = {"id": note["id"], "snapshotId": note["snapshot"]}

        def consume() -> str:
            job = platform.run(consumer, artifacts={"first": given, "second": given})
            return platform.text(job)

        line = "read: made by the first and made by the first"
        assert line in consume()
        kept = sorted((running.work_dir / "cache" / "snapshots").iterdir())
        assert any(entry.read_bytes() == b"made by the first" for entry in kept)
        assert line in consume()
        assert kept == sorted((running.work_dir / "cache" / "snapshots").iterdir())
        assert "was damaged" not in running.log
        for entry in kept:
            entry.write_bytes(b"raise SystemExit('damaged code')")
        assert line in consume()
        assert running.log.count("was damaged in the cache and is fetched again") == 5


def test_an_api_is_known_by_more_than_its_address(stack: LocalStack) -> None:
    """Two users of one API are told apart, and one user is the same after a login."""
    environment = stack.environment()
    with DioptraApi(
        url=environment["DIOPTRA_API"],
        username=environment["DIOPTRA_WORKER_USERNAME"],
        password=environment["DIOPTRA_WORKER_PASSWORD"],
    ) as session:
        session.login()
        known = session.identity()
        assert environment["DIOPTRA_API"] in known
        created = session.request("GET", "users/current")["createdOn"]
        assert created in known
        session.login()
        assert session.identity() == known
