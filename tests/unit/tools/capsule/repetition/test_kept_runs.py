"""What came of runs is kept, so that whoever is interrupted goes on later."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from dioptra_worker.tools.capsule.repetition.kept_runs import KeptRun, KeptRuns
from dioptra_worker.tools.capsule.repetition.repeating import repeatability

if TYPE_CHECKING:
    from pathlib import Path

RUN = KeptRun(
    fixed="",
    reason="",
    metrics={"loss": {0: 0.1 + 0.2, 1: math.nan}},
    outputs={"outputs/a/a.json": "0" * 64},
)


def test_a_run_is_the_same_when_it_is_read(tmp_path: Path) -> None:
    """Bit by bit, NaN included; runs in which something was fixed are others."""
    runs = KeptRuns(tmp_path / "new", capsule="0", environment={})
    assert runs.read("") == []
    for run in (RUN, replace(RUN, fixed="hashes"), replace(RUN, reason="boom")):
        runs.add(run)
    good, bad = runs.read("")
    assert repeatability([good.evaluation, RUN.evaluation]).is_identical
    assert (good.reason, bad.reason) == ("", "boom")
    assert len(runs.read("hashes")) == 1
    runs.forget()
    assert runs.read("") == []


def test_half_a_line_is_no_run(tmp_path: Path) -> None:
    """Whoever was killed while he wrote it makes that run again, and no other."""
    runs = KeptRuns(tmp_path, capsule="0", environment={})
    runs.add(RUN)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for length in range(len(whole) - 1):
        file.write_bytes(whole[:length])
        runs.add(RUN)
        assert len(runs.read("")) == 1
    for damage in (b"[]", b"{}", b'{"fixed": 1, "reason": 0, "metrics": []}', b"\xff"):
        file.write_bytes(damage + b"\n" + whole)
        assert len(runs.read("")) == 1


def test_other_runs_are_not_mixed_with_these(tmp_path: Path) -> None:
    """Of another capsule, or with other variables that rule threads and hashes."""
    KeptRuns(tmp_path, capsule="0", environment={}).add(RUN)
    for capsule, environment in (("1", {}), ("0", {"OMP_NUM_THREADS": "2"})):
        kept = KeptRuns(tmp_path, capsule=capsule, environment=environment)
        assert kept.read("") == []
    kept = KeptRuns(tmp_path, capsule="0", environment={"EDITOR": "vi"})
    assert len(kept.read("")) == 1
