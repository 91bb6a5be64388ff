"""The manifest of a job: written, read again, checked, and chained."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from dioptra_worker.provenance import manifest
from dioptra_worker.provenance.chain import (
    canonical,
    chained,
    digest,
    extend,
    log_record,
    metric_record,
)
from dioptra_worker.provenance.manifest import (
    BadManifest,
    DeterminismFacts,
    EntrypointFacts,
    EnvironmentFacts,
    FileDigest,
    InputFacts,
    JobFacts,
    LogFacts,
    LogSegment,
    Manifest,
    MetricFacts,
    MetricSeries,
    OutputFacts,
    ParameterValue,
    PlanFacts,
    PlatformFacts,
    PluginFile,
    TrackedRun,
    WorkerFacts,
    WorkerRunFacts,
    WriterFacts,
    read_manifest,
    schema,
)

SHA = "a" * 64


def example(**changes: Any) -> Manifest:
    """A manifest with something in each of its places."""
    made = Manifest(
        job=JobFacts(
            id=7,
            experiment=1,
            group=1,
            entrypoint=EntrypointFacts(id=3, snapshot=9, name="train"),
            queue="cpu",
            user="ada",
            submitted="2026-01-01T00:00:00Z",
            started="2026-01-01T00:00:01Z",
            ended="2026-01-01T00:00:02Z",
            attempt=1,
            attempts=1,
            status="finished",
            cause="",
        ),
        worker_run=WorkerRunFacts(id="0-1", document={"process": {"experiment": 1}}),
        mlflow=TrackedRun(id="abc", uri="s3://bucket/0/abc/artifacts"),
        plan=PlanFacts(
            graph={"graph": {"a": {"task": "b"}}},
            swaps={"s": "t"},
            parameters=(
                ParameterValue(name="rate", type="float", value=math.nan, default=0.1),
            ),
            artifact_parameters={"data": (4, 5)},
            writers=(
                WriterFacts(
                    name="W", package="p", module="m", plugin_snapshot=2, task=1
                ),
            ),
            steps=("a",),
        ),
        plugins=(
            PluginFile(
                role="tasks",
                plugin="p",
                snapshot=2,
                path="p/m.py",
                size=1,
                sha256=SHA,
            ),
        ),
        inputs=(
            InputFacts(
                name="data",
                artifact=4,
                snapshot=5,
                uri="s3://bucket/x.npy",
                file_name="x.npy",
                package="p",
                plugin_snapshot=2,
                module="m",
                task="W",
                outputs=("x",),
                files=(FileDigest(path="x.npy", size=3, sha256=SHA),),
            ),
        ),
        outputs=(
            OutputFacts(
                name="model",
                uri="s3://bucket/m",
                files=(FileDigest(path="m", size=3, sha256=SHA, etag="e"),),
            ),
        ),
        metrics=MetricFacts(points=1, chain=SHA, names={"m": MetricSeries(points=1)}),
        log=LogFacts(
            lines=1,
            chain=SHA,
            segments=(LogSegment(worker="w", attempt=1, lines=1, chain=SHA),),
        ),
        environment=EnvironmentFacts(
            python="3.11.7",
            implementation="CPython",
            os="Linux",
            cpu="1 x y",
            memory="1 GiB",
            gpu=(),
            driver="",
            packages={"a": "1"},
            lock="a==1\n",
        ),
        determinism=DeterminismFacts(seed="5", variables={"OMP_NUM_THREADS": "1"}),
        worker=WorkerFacts(name="w", version="1"),
        platform=PlatformFacts(version="1.1"),
    )
    return dataclasses.replace(made, **changes)


def test_a_manifest_is_read_as_it_was_written() -> None:
    """Writing and reading are each other's inverse, to the byte."""
    data = example().to_bytes()
    again = read_manifest(data)
    assert again.to_bytes() == data
    assert again.plan.artifact_parameters["data"] == (4, 5)
    assert again.plan.parameters[0].value == "NaN"
    assert again.log.segments == example().log.segments
    json.loads(data, parse_constant=pytest.fail)  # other readers know no NaN


def test_steps_keep_their_order() -> None:
    """The order of a document decides what runs first; the manifest's JSON has none."""
    graph = {"graph": {"second": {"task": "t"}, "first": {"task": "t"}}}
    facts = PlanFacts(
        graph=graph,
        swaps={},
        parameters=(),
        artifact_parameters={},
        steps=tuple(graph["graph"]),
    )
    read = read_manifest(dataclasses.replace(example(), plan=facts).to_bytes())
    assert list(read.plan.graph["graph"]) == ["first", "second"]
    assert list(read.plan.ordered_graph["graph"]) == ["second", "first"]


def test_the_schema_is_one_and_names_every_field() -> None:
    """The shipped JSON Schema is valid and is that of the records."""
    Draft202012Validator.check_schema(schema())
    document = example().document()
    assert set(document) == set(schema()["properties"])
    for name, definition in schema()["$defs"].items():
        kind = getattr(manifest, name)
        fields = {field.name for field in dataclasses.fields(kind)}
        assert fields == set(definition["properties"]), name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no JSON"),
        ("[" * 100_000, "nested"),
        ("[]", "no field 'manifest'"),
        ("{}", "no field 'manifest'"),
        ('{"manifest": 2}', "version 2, and this worker reads version 1"),
        ('{"manifest": true}', "version True"),
        ('{"manifest": 1, "manifest": 1}', "two members"),
        ('{"manifest": 1}', "'job' is a required property"),
    ],
)
def test_what_is_no_manifest_is_refused_in_a_sentence(text: str, words: str) -> None:
    """Whatever it is, the reader says what is wrong with it."""
    with pytest.raises(BadManifest, match=words):
        read_manifest(text.encode())


def test_an_error_names_its_place() -> None:
    """What is wrong deep inside is told with its place."""
    document = example().document()
    document["outputs"][0]["files"][0]["size"] = -1
    with pytest.raises(BadManifest) as caught:
        read_manifest(canonical(document))
    assert caught.value.place == "outputs[0].files[0].size"


def test_a_chain_can_be_computed_by_anybody() -> None:
    """It is SHA-256 of the hex digest before and the record's canonical JSON."""
    first = log_record("INFO", "stdout", "2026-01-01T00:00:00Z näht: two words")
    second = metric_record("loss", "nan", None)
    by_hand = hashlib.sha256(
        '{"logger":"stdout","message":"näht: two words","severity":"INFO",'
        '"time":"2026-01-01T00:00:00Z"}'.encode()
    ).hexdigest()
    assert extend("", first) == by_hand
    by_hand = hashlib.sha256(
        by_hand.encode() + b'{"name":"loss","step":0,"value":"NaN"}'
    ).hexdigest()
    assert chained([first, second]) == by_hand


def test_equal_numbers_have_equal_digests() -> None:
    """MLflow keeps floats, and 0 for no step: so does the chain."""
    assert metric_record("a", 1, None) == metric_record("a", 1.0, 0)
    assert canonical(metric_record("a", 1, None)) == canonical(
        metric_record("a", "1.0", 0)
    )


def test_text_that_utf_8_does_not_have_has_a_digest() -> None:
    """A lone surrogate, of a file's name, breaks nothing."""
    assert digest(canonical({"path": "\udc80"}))
