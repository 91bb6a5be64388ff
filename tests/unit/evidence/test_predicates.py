"""What is signed of a job."""

from __future__ import annotations

import dataclasses

import pytest
from jsonschema import Draft202012Validator
from tests.unit.provenance.test_manifest import example

from dioptra_worker.evidence import statements
from dioptra_worker.evidence.predicates import (
    MANIFEST,
    SELF_ATTESTED,
    schema,
    statements_of,
)
from dioptra_worker.provenance.chain import digest
from dioptra_worker.provenance.manifest import FileDigest, OutputFacts

SHA = "b" * 64
ROOT = "s3://bucket/0/abc/artifacts"


def test_both_are_about_the_manifest_and_the_artifacts() -> None:
    """The subjects are paths in the run's artifacts, and read back as they were."""
    manifest = example(
        outputs=(
            _output("model", "weights.bin", "weights.bin"),
            _output("tables", "by-day", "monday.csv", "more/friday.csv"),
        )
    )
    data = manifest.to_bytes()
    for made in statements_of(manifest, data):
        found = statements.read(made.payload())
        assert (found.kind, found.payload()) == (made.kind, made.payload())
        assert found.subjects == {
            MANIFEST: digest(data),
            "model/weights.bin": SHA,
            "tables/by-day/monday.csv": SHA,
            "tables/by-day/more/friday.csv": SHA,
        }


def test_slsa_names_what_the_job_was_made_of() -> None:
    """Its plugin files, inputs and packages are dependencies, with their digests."""
    provenance, _ = statements_of(example(), b"")
    read = statements.read(provenance.payload())
    definition = read.predicate["buildDefinition"]
    assert definition["externalParameters"]["parameters"] == {"rate": "NaN"}
    names = [it.get("name") for it in definition["resolvedDependencies"]]
    assert names[:2] == ["plugins/tasks/p/m.py", "inputs/data/x.npy"]
    packages = [it["uri"] for it in definition["resolvedDependencies"][2:]]
    assert packages
    assert all(uri.startswith("pkg:pypi/") for uri in packages)
    metadata = provenance.predicate["runDetails"]["metadata"]
    assert metadata["startedOn"] == "2026-01-01T00:00:01Z"


@pytest.mark.parametrize("separation", [True, False])
def test_evidence_says_whether_the_job_could_have_made_it(separation: bool) -> None:
    """Both predicates say where job and worker share a user; ours fits its schema."""
    plain = example()
    worker = dataclasses.replace(plain.worker, separation=separation)
    manifest = dataclasses.replace(plain, worker=worker)
    provenance, evaluation = statements_of(manifest, manifest.to_bytes())
    Draft202012Validator.check_schema(schema())
    Draft202012Validator(schema()).validate(evaluation.predicate)
    said = evaluation.predicate["attestation"]
    builder = provenance.predicate["runDetails"]["builder"]["id"]
    assert (said == SELF_ATTESTED) is not separation
    assert ("self-attested" in builder) is not separation


def _output(name: str, file: str, *paths: str) -> OutputFacts:
    return OutputFacts(
        name=name,
        uri=f"{ROOT}/{name}/{file}",
        files=tuple(FileDigest(path=path, size=3, sha256=SHA) for path in paths),
    )
