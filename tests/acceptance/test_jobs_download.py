"""``dioptra-worker jobs download`` with artifacts of the real platform."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.plugins.people import Person
from tests.plugins.testbed import Platform
from tests.plugins.worker_process import worker

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugins.clients import ApiClient

    from dioptra_worker.tools.local import LocalStack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SOURCE = """
@pyplugs.register
def folder():
    return {"one.csv": "1", "more/two.csv": "2"}
"""


def test_download(stack: LocalStack, api: ApiClient, tmp_path: Path) -> None:
    """Files and folders come over the API alone, and are not overwritten."""
    platform = Platform(api)
    entrypoint = platform.entrypoint(
        SOURCE,
        {"made": {"folder": []}},
        artifact_outputs={
            "note": {"contents": "a note", "task": {"name": "Text"}},
            "days": {"contents": "$made", "task": {"name": "Folder"}},
        },
    )
    job = platform.submit(entrypoint)
    with worker(stack.environment(), tmp_path, platform.queue):
        assert platform.wait(job) == "finished", platform.text(job)
    own = ("DIOPTRA_API", "DIOPTRA_WORKER_USERNAME", "DIOPTRA_WORKER_PASSWORD")
    environment = {name: stack.environment()[name] for name in own}
    person = Person(environment, tmp_path)
    to = tmp_path / "to"
    told = person.told("jobs", "download", job, "--to", to)
    assert f"{to}/note.txt  6 B\n" in told
    assert (to / "note.txt").read_text() == "a note"
    assert (to / "days/one.csv").read_text() == "1"
    assert (to / "days/more/two.csv").read_text() == "2"
    assert sorted(path.name for path in to.iterdir()) == ["days", "note.txt"]
    again = person.call("jobs", "download", job, "--to", to, "--artifact", "note")
    assert again.returncode == 1
    assert again.stderr == f"{to}/note.txt is there already: --force replaces it\n"
    (saved,) = person.json(
        "jobs", "download", job, "--to", to, "--artifact", "days", "--force", "--json"
    )
    assert saved["path"] == str(to / "days")
    assert saved["id"] == platform.artifacts(job)["days"]["id"]
    missing = person.call("jobs", "download", job, "--artifact", "nights")
    assert missing.returncode == 1
    assert "has no artifact 'nights': it has " in missing.stderr
