"""A receipt says in numbers what was sent and is not there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.provenance.test_manifest import example

from dioptra_worker.provenance.manifest import (
    FileDigest,
    MetricFacts,
    MetricSeries,
    OutputFacts,
    ParameterValue,
)
from dioptra_worker.provenance.receipt import Held, HeldFile, compare

MD5, OTHER = "a" * 32, "b" * 32
MANIFEST = example(
    metrics=MetricFacts(
        points=9, names={"loss": MetricSeries(points=9, steps=7, direct=3)}
    ),
    outputs=(
        OutputFacts(
            name="model",
            uri="s3://bucket/model.pt",
            files=(FileDigest(path="model.pt", size=10, sha256="c" * 64, etag=MD5),),
        ),
    ),
    plan=replace(
        example().plan,
        parameters=(
            ParameterValue(name="rate", type="float", value=0.5),
            ParameterValue(name="long", type="string", value="x" * 1000),
        ),
    ),
)
WHOLE = Held(
    lost_lines=0,
    points={"loss": 7},
    direct={"loss": 3},
    parameters={"rate": "0.5", "long": "x" * 1000},
    worker_run="0-1",
    files={"model": {"model.pt": HeldFile(size=10, etag=MD5)}},
)


def file(**about: Any) -> dict[str, Any]:
    """A store that has the model so."""
    return {"files": {"model": {"model.pt": HeldFile(**about)}}}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"points": {"loss": 8}},  # a point whose answer was lost was sent twice
        {"lost_lines": None, "points": None, "direct": None, "parameters": None},
        {"files": {}, "worker_run": None},
        file(size=10),
        file(size=10, etag=f"{MD5}-2"),  # by another client, in other parts
        {"parameters": {"rate": "0.5", "long": "x" * 250}},  # said in the log
    ],
)
def test_nothing_is_missing(change: dict[str, Any]) -> None:
    """What is there, and what nobody tells, is not missing."""
    receipt = compare(MANIFEST, replace(WHOLE, **change))
    assert str(receipt) == "complete"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lost_lines": 1}, "1 log line"),
        ({"lost_lines": 1200}, "1,200 log lines"),
        ({"points": {"loss": 5}}, "2 points of 'loss'"),
        ({"points": {}}, "7 points of 'loss'"),
        ({"direct": {"loss": 2}}, "1 point of 'loss' in MLflow"),
        ({"parameters": {"long": "x" * 1000}}, "parameter 'rate'"),
        (
            {"parameters": {"rate": "0.6", "long": "x" * 1000}},
            "the value of parameter 'rate'",
        ),
        ({"worker_run": "0-2"}, "the run's tags"),
        ({"files": {"model": {}}}, "model.pt: not there"),
        (file(size=6), "model.pt: the last 4 of 10 bytes"),
        (file(size=12), "model.pt: 12 bytes instead of 10"),
        (file(size=10, etag=OTHER), "model.pt: other content"),
        (file(size=10, sha256="d" * 64), "model.pt: other content"),
    ],
)
def test_what_is_missing_is_told(change: dict[str, Any], words: str) -> None:
    """In numbers, and nothing else is."""
    receipt = compare(MANIFEST, replace(WHOLE, **change))
    assert str(receipt) == f"partial: {words}"
    assert len(receipt.missing) == 1


def test_a_receipt_fits_a_tag() -> None:
    """Of very many files the first are told."""
    files = tuple(
        FileDigest(path=f"{number}", size=1, sha256="e" * 64) for number in range(999)
    )
    output = replace(MANIFEST.outputs[0], files=files)
    receipt = compare(example(outputs=(output,)), Held(files={"model": {}}))
    assert len(receipt.missing) == 999
    assert len(str(receipt)) <= 4000
