"""The lineage of a result: what is followed, what is said of what is gone."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from tests.plugins.example_job import ExampleJob
from tests.unit.api.scripted import Answer
from tests.unit.tools.jobs.dioptra import Dioptra

from dioptra_worker.api.client import DioptraApi
from dioptra_worker.api.user_client import UserClient
from dioptra_worker.provenance.manifest import FileDigest
from dioptra_worker.tools.jobs.ancestors.export import document, dot
from dioptra_worker.tools.jobs.ancestors.graph import (
    ArtifactNode,
    JobNode,
    Lineage,
    Read,
)
from dioptra_worker.tools.jobs.ancestors.reading import Recorded, read_lineage
from dioptra_worker.tools.jobs.ancestors.tree import tree
from dioptra_worker.tools.resources.errors import Unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.provenance.manifest import Manifest

ROOT = f"s3://bucket/0/{'a' * 32}/artifacts/made"


@dataclass
class Kept:
    """What is recorded of jobs, by their ids."""

    jobs: dict[int, Recorded] = field(default_factory=dict)
    trouble: str = ""

    def of(self, job_id: int, run_id: str | None) -> Recorded | None:
        """What is recorded of a job."""
        assert run_id in {None, "a" * 32}
        return self.jobs.get(job_id)


def make(
    dioptra: Dioptra, job: int, reads: Mapping[str, int], makes: Mapping[int, str]
) -> None:
    """Have a job that reads artifacts by their names, and makes others."""
    dioptra.put(job, ("queued", 0), ("started", 1), ("finished", 2), name=f"make-{job}")
    dioptra.jobs[job]["artifactValues"] = {
        name: {"id": id_, "snapshotId": id_ + 1000} for name, id_ in reads.items()
    }
    for id_, name in makes.items():
        dioptra.put_artifact(id_, name, Answer(body=b"abc"))
        dioptra.artifacts[id_]["job"] = job


@pytest.fixture(name="dioptra")
def _dioptra() -> Dioptra:
    """Two data sets, of which a model is made, which is tried on one of them."""
    dioptra = Dioptra()
    make(dioptra, 10, {}, {11: "train.csv", 12: "test.csv"})
    make(dioptra, 20, {"data": 11}, {21: "model.json"})
    make(dioptra, 30, {"model": 21, "data": 12}, {31: "report.json"})
    return dioptra


def read(dioptra: Dioptra, root: int, **options: Any) -> Lineage:
    """The lineage of a job or artifact."""
    with (
        dioptra.running() as (_, server),
        DioptraApi(url=server.url, username="ada", password="x") as api,
    ):
        return read_lineage(api, UserClient(api), root, **options)


def told(content: bytes, path: str) -> FileDigest:
    """A file as a manifest has it."""
    sha256 = hashlib.sha256(content).hexdigest()
    return FileDigest(path=path, size=len(content), sha256=sha256)


def manifest(
    *, reads: Mapping[str, tuple[int, bytes]], wrote: Mapping[str, bytes]
) -> Manifest:
    """A job's manifest: artifacts and their contents, by name."""
    facts = ExampleJob().facts
    (given,), (kept,) = facts.inputs, facts.outputs
    return dataclasses.replace(
        facts,
        worker_run=dataclasses.replace(facts.worker_run, id="by-its-manifest"),
        inputs=tuple(
            dataclasses.replace(
                given,
                name=name,
                artifact=artifact,
                snapshot=artifact + 1000,
                file_name=name,
                files=(told(content, name),),
            )
            for name, (artifact, content) in reads.items()
        ),
        outputs=tuple(
            dataclasses.replace(
                kept, name=name, uri=f"{ROOT}/{name}", files=(told(content, name),)
            )
            for name, content in wrote.items()
        ),
    )


def test_a_result_is_followed_to_its_first_causes(dioptra: Dioptra) -> None:
    """An artifact, what made it, what that read: each of them once."""
    lineage = read(dioptra, 31)
    assert (lineage.artifact, lineage.job) == (31, 0)
    assert list(lineage.jobs) == [30, 20, 10]
    assert list(lineage.artifacts) == [31, 21, 12, 11]
    assert lineage.left_out == ""
    lines = tree(lineage)
    assert lines[0] == "artifact 31: report.json"
    assert lines[1] == "│  3 B, no manifest tells its SHA-256"
    assert lines[2] == "└─ made by job 30: make-30, finished"
    assert lines[3].startswith("   │  worker run ")
    assert lines[4] == "   │  no manifest: told by the REST API"
    assert "   ├─ read as model: artifact 21: model.json" in lines
    assert "   └─ read as data: artifact 12: test.csv" in lines
    assert lines[-1] == "      └─ made by job 10: see above"
    assert len({line for line in lines if "job 10: make-10" in line}) == 1


def test_a_job_is_followed_without_what_it_made(dioptra: Dioptra) -> None:
    """The lineage of a job begins with what it has read."""
    lineage = read(dioptra, 20)
    assert (lineage.artifact, lineage.job) == (0, 20)
    assert list(lineage.jobs) == [20, 10]
    assert list(lineage.artifacts) == [11]
    assert tree(lineage)[0] == "job 20: make-20, finished"


def test_it_goes_no_further_than_it_is_told(dioptra: Dioptra) -> None:
    """By the number of jobs, or when there are too many: what is left out is said."""
    lineage = read(dioptra, 31, depth=1)
    assert list(lineage.jobs) == [30]
    assert list(lineage.artifacts) == [31, 21, 12]
    lines = tree(lineage)
    assert "   │  └─ made by job 20: left out" in lines
    assert lines[-1] == "left out: jobs that are further back than 1 job"
    assert document(lineage)["complete"] is False
    assert 'job20 [shape=box, label="job 20\\nleft out", style="dotted"]' in dot(
        lineage
    )
    assert read(dioptra, 31, depth=2).left_out == ""  # job 10 is no further than that
    lineage = read(dioptra, 31, max_jobs=2)
    assert list(lineage.jobs) == [30, 20]
    assert tree(lineage)[-1] == "left out: jobs beyond the nearest 2"


def test_it_has_an_end_even_where_a_job_reads_what_it_made(dioptra: Dioptra) -> None:
    """What no platform does, and an answer that was tampered with says."""
    make(dioptra, 10, {"later": 31}, {11: "train.csv", 12: "test.csv"})
    lineage = read(dioptra, 31)
    assert list(lineage.jobs) == [30, 20, 10]
    assert any(line.endswith("artifact 31: see above") for line in tree(lineage))


def test_a_long_lineage() -> None:
    """A chain that is longer than Python's stack is written, too."""
    ids = range(sys.getrecursionlimit())
    lineage = Lineage(
        job=1,
        jobs={
            2 * n + 1: JobNode(
                id=2 * n + 1, reads=(Read(name="it", artifact=2 * n + 2, snapshot=1),)
            )
            for n in ids
        },
        artifacts={2 * n + 2: ArtifactNode(id=2 * n + 2, job=2 * n + 3) for n in ids},
    )
    assert tree(lineage)[-1].endswith(f"made by job {2 * len(ids) + 1}: left out")


def test_who_tells_what(dioptra: Dioptra) -> None:
    """The manifest of who made it, else of who has read it, else MLflow or the API."""
    kept = Kept(
        {
            10: Recorded(run_id="r10", worker_run="by-a-tag"),
            20: Recorded(
                run_id="r20",
                manifest=manifest(
                    reads={"data": (11, b"train")}, wrote={"model.json": b"model"}
                ),
                digest="9" * 64,
            ),
        }
    )
    lineage = read(dioptra, 31, records=kept)
    found = document(lineage)
    jobs = {job["id"]: (job["source"], job["worker_run"]) for job in found["jobs"]}
    assert jobs[10] == ("mlflow", "by-a-tag")
    assert jobs[20] == ("manifest", "by-its-manifest")
    assert jobs[30][0] == "api"
    assert [job["manifest"] for job in found["jobs"]] == [None, "9" * 64, None]
    told_by = {it["id"]: it["files_by_manifest_of"] for it in found["artifacts"]}
    assert told_by == {31: None, 21: 20, 12: None, 11: 20}
    model = next(it for it in found["artifacts"] if it["id"] == 21)
    sha256 = hashlib.sha256(b"model").hexdigest()
    assert model["files"] == [{"path": "model.json", "size": 5, "sha256": sha256}]
    lines = "\n".join(tree(lineage))
    assert "5 B, by the manifest of job 20, which wrote it" in lines
    assert "5 B, by the manifest of job 20, which read it" in lines
    assert f"sha256 {sha256}" in lines
    assert f"manifest sha256 {'9' * 64}" in lines
    assert "no manifest: told by MLflow" in lines


@pytest.mark.parametrize("content", [b"train", b"tampered"])
def test_what_was_changed_between_two_jobs_is_said(
    dioptra: Dioptra, content: bytes
) -> None:
    """The manifest of who wrote it and of who read it have the same digests, or not."""
    made = manifest(reads={}, wrote={"train.csv": b"train"})
    # As its reader's manifest has it, under the name that the file has in the store.
    read_it = manifest(reads={"data": (11, content)}, wrote={})
    (given,) = read_it.inputs
    files = (told(content, "train.csv"),)
    read_it = dataclasses.replace(
        read_it, inputs=(dataclasses.replace(given, files=files),)
    )
    kept = Kept(
        {
            10: Recorded(run_id="r", manifest=made, digest="1" * 64),
            20: Recorded(run_id="r", manifest=read_it, digest="2" * 64),
        }
    )
    lineage = read(dioptra, 20, records=kept)
    same = content == b"train"
    assert document(lineage)["jobs"][0]["reads"][0]["as_written"] is same
    said = "\n".join(tree(lineage))
    assert ("changed: it was not what job 10 had written" in said) is not same
    assert ("data\\nchanged" in dot(lineage)) is not same


def test_what_is_gone_is_named(dioptra: Dioptra) -> None:
    """Deleted jobs, contents and records end a lineage, or do not if they are kept."""
    del dioptra.jobs[20]
    dioptra.artifacts[12]["description"] = "[deleted] once"
    lineage = read(dioptra, 31)
    lines = tree(lineage)
    assert "   │  └─ made by job 20: deleted" in lines
    assert "   │        nothing more is told of it" in lines
    assert (
        "   └─ read as data: artifact 12: test.csv, its contents were deleted" in lines
    )
    assert 'job20 [shape=box, label="job 20\\ndeleted", style="dashed"]' in dot(lineage)
    deleted = manifest(reads={"data": (11, b"train")}, wrote={"model.json": b"model"})
    kept = Kept({20: Recorded(run_id="r", manifest=deleted, digest="9" * 64)})
    lineage = read(dioptra, 31, records=kept)
    assert list(lineage.jobs) == [30, 20, 10]
    job = document(lineage)["jobs"][1]
    assert (job["deleted"], job["status"], job["source"]) == (
        True,
        "finished",
        "manifest",
    )
    assert "   │  └─ made by job 20: scaling, finished, deleted" in tree(lineage)
    lineage = read(dioptra, 20, records=kept)
    assert (lineage.job, list(lineage.jobs)) == (20, [20, 10])


def test_an_artifact_without_a_record(dioptra: Dioptra) -> None:
    """It is named, and what made it is not known."""
    del dioptra.artifacts[21]
    lineage = read(dioptra, 30)
    found = {it["id"]: it["known"] for it in document(lineage)["artifacts"]}
    assert found == {21: False, 12: True}
    words = "artifact 21: the REST API has no record of it, nor of what made it"
    assert any(line.endswith(words) for line in tree(lineage))


@pytest.mark.parametrize("id_", [5, 999])
def test_what_is_neither_is_one_sentence(dioptra: Dioptra, id_: int) -> None:
    """An id that nothing has, or something else, such as an entrypoint."""
    with pytest.raises(
        Unknown, match=f"neither a job nor an artifact has the id {id_}"
    ):
        read(dioptra, id_)


def test_trouble_with_what_is_kept_is_told(dioptra: Dioptra) -> None:
    """A manifest that is damaged, and an MLflow that is away."""
    words = "its manifest cannot be read: it is no JSON"
    kept = Kept({20: Recorded(run_id="r", trouble=words)}, trouble="MLflow is away")
    lineage = read(dioptra, 20, records=kept)
    assert f"│  {words}" in tree(lineage)
    assert document(lineage)["notes"] == ["MLflow is away"]


def test_names_do_no_harm(dioptra: Dioptra) -> None:
    """No name of others leaves its line, obeys a terminal, or is Graphviz's."""
    evil = 'x"];\nevil\x1b[31m\\'
    dioptra.jobs[20]["entrypoint"]["name"] = evil
    values = dioptra.jobs[20]["artifactValues"]
    values[evil] = values.pop("data")
    dioptra.artifacts[11]["artifactUri"] += evil
    lineage = read(dioptra, 20)
    assert not any("\n" in line or "\x1b" in line for line in tree(lineage))
    written = dot(lineage)
    assert 'label="job 20\\nx\\"]; evil\\\\\\nfinished"' in written
    assert json.loads(json.dumps(document(lineage)))["jobs"][0]["entrypoint"] == evil
    program = shutil.which("dot")
    if program is not None:
        drawn = subprocess.run([program, "-Tsvg"], input=written.encode(), check=False)
        assert drawn.returncode == 0
