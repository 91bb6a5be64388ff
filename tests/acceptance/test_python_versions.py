"""Later versions of Python than the tests' own: the package installs and runs jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.plugins.later_pythons import installed, interpreter
from tests.plugins.worker_process import worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.plugins.testbed import Platform

    from dioptra_worker.tools.local import LocalStack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

SOURCE = """
import sys


@pyplugs.register
def say(name):
    print("Python", *sys.version_info[:2])
    if name == "nobody":
        raise LookupError("nothing under that name")
    return "hello " + name
"""


def _if_there(version: str) -> object:
    return pytest.param(
        version,
        marks=pytest.mark.skipif(
            interpreter(version) is None, reason=f"there is no Python {version} here"
        ),
    )


@pytest.fixture(
    name="later", scope="module", params=[_if_there("3.12"), _if_there("3.13")]
)
def _later(request: pytest.FixtureRequest) -> Iterator[tuple[str, Path]]:
    """A version, and the folder of the programs that it runs."""
    python = interpreter(request.param)
    assert python is not None
    with installed(python) as programs:
        yield request.param, programs


def test_jobs(
    later: tuple[str, Path], stack: LocalStack, platform: Platform, tmp_path: Path
) -> None:
    """One job stores an artifact that the next one reads, and one fails."""
    version, programs = later
    writer = platform.entrypoint(
        SOURCE,
        {"said": {"say": ["$name"]}},
        artifact_outputs={"letter": {"contents": "$said", "task": {"name": "Text"}}},
        parameters={"name": "world"},
    )
    reader = platform.entrypoint(
        SOURCE, {"said": {"say": ["$letter"]}}, artifact_inputs={"letter": ["read"]}
    )
    environment = stack.environment()
    with worker(environment, tmp_path, platform.queue, programs=programs) as running:
        job = platform.run(writer)
        assert f"Python {version.replace('.', ' ')}" in platform.text(job)
        stored = platform.artifacts(job)["letter"]
        assert platform.content(stored) == b"hello world"
        given = {"letter": {"id": stored["id"], "snapshotId": stored["snapshot"]}}
        platform.run(reader, artifacts=given)
        failed = platform.submit(writer, values={"name": "nobody"})
        assert platform.wait(failed) == "failed"
        assert "nothing under that name" in platform.text(failed)
        running.send()
        assert running.wait() == 0
    assert "Traceback" not in running.log
