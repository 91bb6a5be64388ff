"""Input artifacts come straight from their store, and through the API if need be."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.plugins.clients import ApiClient
from tests.plugins.fault_proxy import Rule, answer, fault_proxy, hang
from tests.plugins.testbed import Platform
from tests.plugins.until import until
from tests.plugins.worker_process import worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dioptra_worker.tools.local import LocalStack

SOURCE = """
@pyplugs.register
def text():
    return "a line"


@pyplugs.register
def folder():
    return {"a.txt": "A", "deep/b.txt": "B"}


@pyplugs.register
def read(text, files):
    print("read:", text, sorted(files.items()))
"""
READ = "read: a line [('a.txt', 'A'), ('deep/b.txt', 'B')]"
CONTENTS = "/contents"
NOTE, TREE = r"/note/note\.txt", r"tree"
LONG = 120.0


class Scene:
    """A producer's artifacts, and the means to have a job read them."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.environment = environment
        self.client = ApiClient(environment)
        self.platform = Platform(self.client)
        self._folder = folder
        producer = self.platform.entrypoint(
            SOURCE,
            {"text": {"text": []}, "tree": {"folder": []}},
            artifact_outputs={
                "note": {"contents": "$text", "task": {"name": "Text"}},
                "tree": {"contents": "$tree", "task": {"name": "Folder"}},
            },
        )
        self.consumer = self.platform.entrypoint(
            SOURCE,
            {"reading": {"read": ["$note", "$tree"]}},
            artifact_inputs={"note": ["text"], "tree": ["files"]},
        )
        with worker(environment, folder / "first", self.platform.queue):
            job = self.platform.submit(producer)
            end = self.platform.wait(job, seconds=LONG)
            assert end == "finished", self.platform.text(job)
        found = self.platform.artifacts(job)
        self.uris = {name: entry["artifactUri"] for name, entry in found.items()}
        self.inputs = {
            name: {"id": entry["id"], "snapshotId": entry["snapshot"]}
            for name, entry in found.items()
        }

    def read(self, **settings: str) -> str:
        """Have another worker, with nothing cached, read them; the job's log."""
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        queue = self.platform.queue
        with worker(self.environment, folder, queue, settings=settings):
            job = self.platform.submit(self.consumer, artifacts=self.inputs)
            end = self.platform.wait(job, seconds=LONG)
        text = self.platform.text(job)
        assert end == "finished", text
        assert READ in text
        return text


@pytest.fixture(
    scope="module",
    name="scene",
    params=["stack", pytest.param("proxied_stack", marks=pytest.mark.slow)],
)
def _scene(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    stack: LocalStack = request.getfixturevalue(request.param)
    scene = Scene(stack.environment(), tmp_path_factory.mktemp("scene"))
    yield scene
    scene.client.close()


def test_the_api_is_not_asked_for_what_the_store_gives(scene: Scene) -> None:
    """File and folder come from their store; the API is asked for no contents."""
    with fault_proxy(scene.environment["DIOPTRA_API"]) as proxy:
        text = scene.read(DIOPTRA_API=proxy.url)
        assert not [call for call in proxy.calls if CONTENTS in call]
    assert "straight" not in text


@pytest.mark.parametrize("scene", ["stack"], indirect=True)
def test_the_api_gives_what_the_store_does_not(scene: Scene) -> None:
    """A worker that the store refuses gets the same through the API, and says so."""
    with (
        fault_proxy(scene.environment["DIOPTRA_API"]) as api,
        fault_proxy(scene.environment["MLFLOW_S3_ENDPOINT_URL"]) as store,
    ):
        store.add(Rule("HEAD", NOTE, answer(403), times=100))
        store.add(Rule("GET", TREE, answer(403), times=100))
        text = scene.read(DIOPTRA_API=api.url, MLFLOW_S3_ENDPOINT_URL=store.url)
        assert len([call for call in api.calls if CONTENTS in call]) == 2
    lines = [line for line in text.splitlines() if "straight from its store" in line]
    assert len(lines) == 2
    assert any("input artifact 'note'" in line and "403" in line for line in lines)


@pytest.mark.parametrize("scene", ["stack"], indirect=True)
def test_a_stopped_job_leaves_no_download_behind(scene: Scene, tmp_path: Path) -> None:
    """A job that is reset while its input does not come stops at once, all of it."""
    platform, environment = scene.platform, scene.environment
    with fault_proxy(environment["MLFLOW_S3_ENDPOINT_URL"]) as store:
        rule = store.add(Rule("HEAD", NOTE, hang, times=100))
        settings = {
            "MLFLOW_S3_ENDPOINT_URL": store.url,
            "DIOPTRA_WORKER_STATUS_POLL": "0.5",
        }
        with worker(
            environment, tmp_path / "w", platform.queue, settings=settings
        ) as running:
            idle = len(running.descendants())
            job = platform.submit(scene.consumer, artifacts=scene.inputs)
            until(lambda: rule.hits > 0)
            assert len(running.descendants()) > idle
            scene.client.delete(f"/jobs/{job}")
            until(lambda: len(running.descendants()) <= idle)
            until(lambda: not list(running.work_dir.glob("job-*")))
