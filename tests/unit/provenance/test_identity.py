"""Worker runs: equal where they mean the same, and different otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dioptra_worker.provenance import (
    Circumstances,
    WorkerRun,
    configuration_id,
    signature,
    signed,
    tags,
)
from dioptra_worker.settings import DATA_PARAMETERS

RUN = WorkerRun(
    experiment_id=23,
    entrypoint_id=19,
    entrypoint_snapshot_id=24,
    configuration={"name": "World"},
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner)
    ),
    max_leaves=8,
)


def test_the_id_is_fixed() -> None:
    """An id stands for ever: results are found by it, whichever version made them."""
    assert RUN.id == "465a8320-78b3-5598-b03a-4341aa6b15fb"


@pytest.mark.parametrize(
    "change",
    [
        {"experiment_id": 24},
        {"entrypoint_id": 20},
        {"entrypoint_snapshot_id": 25},
        {"inputs": {"model": (1, 1)}},
        {"swaps": {"attack": "fgsm"}},
        {"configuration": {"name": "Moon"}},
        {"configuration": {"name": "World", "n": 1}},
        {"user": "ada"},
    ],
)
def test_every_part_counts(change: dict[str, Any]) -> None:
    """Another process, version, input, swap, value or person is another worker run."""
    assert replace(RUN, **change).id != RUN.id


def test_each_snapshot_of_an_input_counts() -> None:
    """A new state of the same artifact makes another worker run."""
    first = replace(RUN, inputs={"model": (7, 1)})
    second = replace(RUN, inputs={"model": (7, 2)})
    assert first.id != second.id


@given(st.dictionaries(st.text(max_size=4), VALUES, max_size=5))
def test_order_does_not_count(values: dict[str, Any]) -> None:
    """The order in which values are written is no difference."""
    backwards = dict(reversed(values.items()))
    assert (
        replace(RUN, configuration=values).id
        == replace(RUN, configuration=backwards).id
    )


def test_data_does_not_count() -> None:
    """Another list of elements is the same worker run over other elements."""
    first = replace(RUN, configuration={"n": 1, "elements": ["a", "b"]})
    second = replace(RUN, configuration={"n": 1, "elements": ["c"]})
    assert first.id != second.id
    assert first.without(DATA_PARAMETERS).id == second.without(DATA_PARAMETERS).id
    other = replace(first, inputs={"sets": (1, 1)})
    assert other.without(DATA_PARAMETERS).id == first.without(DATA_PARAMETERS).id


def test_the_tags_name_what_is_known() -> None:
    """Tags carry the ids and the circumstances; what is not known has no tag."""
    found = tags(
        RUN,
        Circumstances(user="ada", queue="q", worker="w", worker_version="1"),
        defaults={"name": "World"},
    )
    assert found["dioptra.workerRunId"] == RUN.id
    assert found["dioptra.configurationId"] == configuration_id(19, {})
    assert found["dioptra.user"] == "ada"
    assert "dioptra.image" not in found
    changed = tags(RUN, Circumstances(), defaults={"name": "Moon"})
    assert changed["dioptra.configurationId"] == configuration_id(19, {"name": "World"})


def test_a_huge_configuration_keeps_the_id() -> None:
    """A document that servers may refuse is left out, and the id is not."""
    huge = replace(RUN, configuration={"text": "x" * 10_000})
    found = tags(huge, Circumstances(), defaults={})
    assert found["dioptra.workerRunId"] == huge.id
    assert "dioptra.workerRun" not in found


def test_a_description_is_signed_and_read_back() -> None:
    """What signs a description is found in it again."""
    assert signature(signed("model, an artifact of job 7", RUN.id)) == RUN.id
    assert signed("model", "") == "model"
    assert signature("model (worker run nobody)") is None
