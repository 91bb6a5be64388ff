"""What differs between two evaluations is named, and nothing else is."""

from __future__ import annotations

import io
import json
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner
from tests.plugins.example_job import AROUND, TASKS, ExampleJob

from dioptra_worker.cli.main import main
from dioptra_worker.tools.capsule.comparison.comparing import (
    DEFAULT_TOLERANCE,
    Evaluation,
    differences,
)
from dioptra_worker.tools.capsule.comparison.values import NotComparable, equal_values
from dioptra_worker.tools.capsule.making import make
from dioptra_worker.tools.capsule.opening import Capsule
from dioptra_worker.tools.capsule.replay.replaying import evaluation_of

if TYPE_CHECKING:
    from pathlib import Path

RESULTS = ["metric number at step 0", "metric number at step 1", "artifact outputs"]


def compared(folder: Path, first: ExampleJob, second: ExampleJob) -> list[str]:
    """What differs between capsules of two jobs."""
    with ExitStack() as stack:
        found = []
        for name, job in (("a.zip", first), ("b.zip", second)):
            make(job, folder / name)
            found.append(evaluation_of(stack.enter_context(Capsule(folder / name))))
        return [str(it) for it in differences(*found)]


def test_nothing_differs_between_a_job_and_itself(tmp_path: Path) -> None:
    """The same job twice has no difference."""
    assert compared(tmp_path, ExampleJob(), ExampleJob()) == []


@pytest.mark.parametrize(
    ("second", "names"),
    [
        (ExampleJob(factor=4.0), ["parameter factor", *RESULTS]),
        (
            ExampleJob(numbers=(1.0, 3.0)),
            ["input inputs/given/given.json", *RESULTS[1:]],
        ),
        (
            ExampleJob(tasks=TASKS.replace('scaled"', 'done"')),
            ["plugin file plugins/tasks/scaling/tasks.py"],
        ),
        (
            ExampleJob(packages={**ExampleJob().packages, "click": "0.1"}),
            ["package click"],
        ),
    ],
    ids=["parameter", "input", "plugin", "package"],
)
def test_exactly_what_differs_is_named(
    tmp_path: Path, second: ExampleJob, names: list[str]
) -> None:
    """A cause is named, and what came of it, with both values."""
    said = compared(tmp_path, ExampleJob(), second)
    assert len(said) == len(names), said
    for sentence, name in zip(said, names, strict=True):
        assert sentence.startswith(name)
    if "parameter factor" in names:
        assert said[0] == "parameter factor: 3.0 and 4.0"
        assert said[1] == "metric number at step 0: 3.0 and 4.0"


def test_a_seed_of_its_own_is_no_difference(tmp_path: Path) -> None:
    """A worker draws it for each job; it is told where results differ."""
    job = ExampleJob()
    seeded = [
        job.changed(determinism=replace(AROUND, seed=seed)) for seed in ("5", "6")
    ]
    assert compared(tmp_path, *seeded) == []
    files = [tmp_path / name for name in ("a.zip", "b.zip")]
    told = CliRunner().invoke(main, ["capsule", "diff", *map(str, files)])
    assert (told.exit_code, told.output) == (0, "nothing differs\n")

    other = ExampleJob(factor=4.0).changed(determinism=replace(AROUND, seed="6"))
    files[1].unlink()
    make(other, files[1])
    told = CliRunner().invoke(main, ["capsule", "diff", *map(str, files)])
    assert told.exit_code == 1
    assert "seed" not in told.stdout
    assert told.stderr.endswith("may be why results differ: 5 and 6\n")


def test_numbers_may_be_apart_by_a_tolerance() -> None:
    """Last digits differ, which is told, and do not count."""

    def evaluation(value: float, kept: bytes) -> Evaluation:
        return Evaluation(
            made_of={},
            metrics={"loss": {0: value, 1: float("nan")}},
            outputs={"outputs/a/a.json": kept.hex()},
            content=lambda _: kept,
        )

    found = differences(
        evaluation(1.0, b"[1.0]"),
        evaluation(1.0 + 1e-12, b"[1.0000000000001]"),
        tolerance=DEFAULT_TOLERANCE,
    )
    assert [(it.kind, it.within_tolerance) for it in found] == [
        ("metric", True),
        ("artifact", True),
    ]
    found = differences(
        evaluation(1.0, b"[1]"), evaluation(1.1, b'["1"]'), tolerance=DEFAULT_TOLERANCE
    )
    assert [it.within_tolerance for it in found] == [False, False]


@pytest.mark.parametrize(
    ("name", "first", "second", "equal"),
    [
        ("a.json", b'{"x": [1, true]}', b'{"x":[1.0, true]}', True),
        ("a.json", b'{"x": 1}', b'{"x": true}', False),
        ("a.csv", b"a,b\n1,2\n", b"a,b\r\n1.0,2e0\r\n", True),
        ("a.csv", b"a,b\n1,2\n", b"a,b\n1,3\n", False),
        ("a.tsv", b"a\t1\n", b"a\t1.0\n", True),
    ],
)
def test_tables_are_compared_by_value(
    name: str, first: bytes, second: bytes, equal: bool
) -> None:
    """How numbers are written makes no difference; what they are does."""
    assert equal_values(name, first, second, tolerance=DEFAULT_TOLERANCE) is equal


def test_arrays_are_compared_by_value() -> None:
    """Arrays of NumPy are; one that would have to be unpickled is not."""
    array = np.array([1.0, np.nan, 3.0])
    near = array + 1e-12
    assert equal_values("a.npy", _npy(array), _npy(near), tolerance=1e-9)
    assert not equal_values("a.npy", _npy(array), _npy(array + 1), tolerance=1e-9)
    assert not equal_values("a.npy", _npy(array), _npy(array[:2]), tolerance=1e-9)
    pickled = _npy(np.array([{}], dtype=object))
    with pytest.raises(NotComparable):
        equal_values("a.npy", pickled, pickled, tolerance=1e-9)
    with pytest.raises(NotComparable):
        equal_values("a.pt", b"1", b"2", tolerance=1e-9)


def test_the_command_says_what_differs(tmp_path: Path) -> None:
    """0 where nothing does, 1 where something does; JSON for programs."""
    make(ExampleJob(), tmp_path / "a.zip")
    make(ExampleJob(factor=4.0), tmp_path / "b.zip")
    same = _invoke("diff", tmp_path / "a.zip", tmp_path / "a.zip")
    assert same == (0, "nothing differs\n")
    code, output = _invoke("diff", tmp_path / "a.zip", tmp_path / "b.zip", "--json")
    assert code == 1
    assert [it["kind"] for it in json.loads(output)] == [
        *("parameter", "metric", "metric", "artifact")
    ]


def test_the_commands_tell_of_a_changed_capsule(tmp_path: Path) -> None:
    """Verify, diff and replay end with 1 and name the file; nothing is run."""
    file = tmp_path / "a.zip"
    make(ExampleJob(), file)
    assert _invoke("verify", file)[0] == 0
    assert "parameter factor 3.0" in _invoke("show", file)[1]
    data = bytearray(file.read_bytes())
    data[
        data.index(b"inputs/given/given.json") + len("inputs/given/given.json") + 30
    ] ^= 1
    file.write_bytes(data)
    for words in (["verify", file], ["diff", file, file], ["replay", "--here", file]):
        code, output = _invoke(*words)
        assert code == 1, words
        assert output.startswith("inputs/given/given.json: it")


def _invoke(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["capsule", *map(str, words)])
    return result.exit_code, result.output


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()
