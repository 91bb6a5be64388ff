"""A result is followed back over several jobs, on the real platform."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.plugins.people import Person
from tests.plugins.until import until
from tests.plugins.worker_process import worker

from dioptra_worker.provenance.manifest import RECEIPT_TAG

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_s3 import S3Client
    from tests.plugins.clients import MlflowReader
    from tests.plugins.testbed import Platform

    from dioptra_worker.tools.local import LocalStack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SOURCE = """
@pyplugs.register
def begin(text):
    return text


@pyplugs.register
def extend(found):
    return {"a.txt": found + " more", "deep/b.txt": "as ever"}


@pyplugs.register
def close(found, first):
    return first + found["a.txt"]
"""


class _Capsules:
    """Makes capsules with lineage, and verifies them."""

    def __init__(self, person: Person, folder: Path) -> None:
        self._person = person
        self._folder = folder

    def of(self, job: int) -> Any:
        """What is said of a capsule that is made of a job."""
        words = ("--with-lineage", "--json", "-o", self._folder / f"{job}.crate.zip")
        return self._person.json("jobs", "capsule", job, *words)

    def findings(self, job: int) -> list[str]:
        """What of it was changed."""
        file = self._folder / f"{job}.crate.zip"
        ended = self._person.call("capsule", "verify", "--json", file)
        found: list[str] = json.loads(ended.stdout)["changed"]
        assert ended.returncode == (1 if found else 0)
        return found


def _inside(job: int) -> str:
    return f"ancestors/{job}.crate.zip"


def _output(name: str, step: str, task: str) -> dict[str, Any]:
    return {name: {"contents": f"${step}", "task": {"name": task}}}


def test_a_chain_of_three_jobs(
    stack: LocalStack,
    platform: Platform,
    mlflow_reader: MlflowReader,
    s3: S3Client,
    tmp_path: Path,
) -> None:
    """Each job with its digests; also when one was deleted, or bytes were changed."""
    first = platform.entrypoint(
        SOURCE,
        {"begun": {"begin": ["$text"]}},
        parameters={"text": "one"},
        artifact_outputs=_output("note", "begun", "Text"),
    )
    second = platform.entrypoint(
        SOURCE,
        {"extended": {"extend": ["$note"]}},
        artifact_inputs={"note": ["text"]},
        artifact_outputs=_output("tree", "extended", "Folder"),
    )
    third = platform.entrypoint(
        SOURCE,
        {"closed": {"close": ["$tree", "$note"]}},
        artifact_inputs={"tree": ["files"], "note": ["text"]},
        artifact_outputs=_output("end", "closed", "Text"),
    )

    def run(entrypoint: Any, name: str, **reads: Any) -> tuple[int, Any]:
        given = {
            key: {"id": artifact["id"], "snapshotId": artifact["snapshot"]}
            for key, artifact in reads.items()
        }
        job = platform.run(entrypoint, artifacts=given)
        kept = platform.run_id(job)
        until(lambda: RECEIPT_TAG in mlflow_reader.tags(kept))
        return job, platform.artifacts(job)[name]

    with worker(stack.environment(), tmp_path, platform.queue):
        begun, note = run(first, "note")
        extended, tree = run(second, "tree", note=note)
        # What is read later is not what was written.
        bucket, _, key = tree["artifactUri"].removeprefix("s3://").partition("/")
        s3.put_object(Bucket=bucket, Key=f"{key}/a.txt", Body=b"another")
        closed, end = run(third, "end", tree=tree, note=note)

    person = Person(stack.environment(), tmp_path)
    found = person.json("lineage", end["id"], "--json")
    assert found["root"] == {"kind": "artifact", "id": end["id"]}
    assert [job["id"] for job in found["jobs"]] == [closed, extended, begun]
    for job in found["jobs"]:
        tags = mlflow_reader.tags(job["mlflow_run"])
        assert (job["status"], job["source"]) == ("finished", "manifest")
        assert job["worker_run"] == tags["dioptra.workerRunId"]
        assert job["manifest"] == tags["dioptra.manifest"]
    files = {it["id"]: it["files"] for it in found["artifacts"]}
    sha256 = hashlib.sha256(b"one").hexdigest()
    assert files[note["id"]] == [{"path": "note.txt", "size": 3, "sha256": sha256}]
    assert [it["path"] for it in files[tree["id"]]] == ["a.txt", "deep/b.txt"]
    reads = {it["name"]: it["as_written"] for it in found["jobs"][0]["reads"]}
    assert reads == {"tree": False, "note": True}
    assert found["jobs"][1]["reads"][0]["as_written"] is True

    lines = person.told("lineage", closed).splitlines()
    assert lines[0] == f"job {closed}: {third.name}, finished"
    assert any(line.endswith(f"sha256 {sha256}") for line in lines)
    words = f"changed: it was not what job {extended} had written"
    assert any(line.endswith(words) for line in lines)
    assert f"artifact{tree['id']} -> job{closed}" in person.told(
        "lineage", closed, "--dot"
    )
    assert person.json("lineage", closed, "--depth", 1, "--json")["complete"] is False

    # Without MLflow the REST API tells what it knows; the worker runs are the same.
    bare = {it: value for it, value in person.environment.items() if "MLFLOW" not in it}
    unrecorded = Person(bare, tmp_path).json("lineage", end["id"], "--json")
    assert [job["source"] for job in unrecorded["jobs"]] == ["api"] * 3
    runs = [[job["worker_run"] for job in it["jobs"]] for it in (found, unrecorded)]
    assert runs[0] == runs[1]

    capsules = _Capsules(person, tmp_path)
    whole = capsules.of(extended)
    assert whole["ancestors"] == [_inside(begun)]
    (changed,) = whole["changed"]  # what was put into the store; its ancestor is whole
    assert changed.startswith("outputs/tree/tree/a.txt: it was changed")
    assert capsules.findings(extended) == [changed]
    assert capsules.of(closed)["ancestors"] == [_inside(extended), _inside(begun)]
    said = "\n".join(capsules.findings(closed))
    assert f"{_inside(extended)}: outputs/tree/tree/a.txt: it was changed" in said
    words = f"job {closed} has read 'tree' otherwise than job {extended} wrote it"
    assert f"{_inside(extended)}: {words}" in said

    person.told("jobs", "delete", extended, "--yes")
    after = person.json("lineage", end["id"], "--json")
    deleted = after["jobs"][1]
    assert (deleted["id"], deleted["deleted"], deleted["source"]) == (
        extended,
        True,
        "manifest",
    )
    assert [job["id"] for job in after["jobs"]] == [closed, extended, begun]

    wrong = person.call("lineage", third.id)
    assert wrong.returncode == 1
    words = f"neither a job nor an artifact has the id {third.id}"
    assert wrong.stderr.startswith(words)
