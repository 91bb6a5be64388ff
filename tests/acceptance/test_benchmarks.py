"""The quick form of the benchmarks: that everything works, and not the numbers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from benchmarks import page, results
from benchmarks.rivals import OURS
from benchmarks.scenarios import SCENARIOS
from benchmarks.scenarios.artifacts import ALONE
from tests.plugins.stack import cache_folder

if TYPE_CHECKING:
    from dioptra_worker.tools.local import LocalStack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]


def _bench(out: Path, stack: LocalStack, *arguments: str) -> str:
    answer = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks", "--quick", "--out", str(out)),
            *("--cache", str(cache_folder()), "--peer-python", str(stack.peer_python)),
            *arguments,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=850,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def test_every_scenario_works(stack: LocalStack, tmp_path: Path) -> None:
    """Each scenario of the quick form measures our worker, and the page shows it."""
    _bench(tmp_path, stack, "--peer", "none")
    text = page.page(tmp_path)
    for scenario in SCENARIOS:
        if scenario.in_quick:
            result = results.read(tmp_path / f"{scenario.name}.json")
            for measure in result.measures:
                summary = measure.summary(OURS) or measure.summary(ALONE)
                assert summary is not None, f"{scenario.name}: {measure.name}"
                assert summary.median >= 0
                assert measure.name in text
            assert result.about["quick"] is True
            assert f"## {scenario.title}" in text
    assert len(list(tmp_path.glob("*.json"))) == sum(s.in_quick for s in SCENARIOS)


def test_peer_is_measured_beside_us(stack: LocalStack, tmp_path: Path) -> None:
    """The platform's own worker does the same jobs on the same services."""
    shown = _bench(tmp_path, stack, "--peer", "slim", "--only", "log-lines")
    assert "better by" in shown
    result = results.read(tmp_path / "log-lines.json")
    assert result.about["versions"]["peer"]["dioptra-platform"] == "1.2.2"
    for measure in result.measures:
        ratio = measure.ratio("peer", "ours")
        assert ratio is not None
        assert ratio > 0
    posts = result.measures[-1]
    (ours,), (peers,) = posts.series["ours"], posts.series["peer"]
    # 500 lines: the peer sends ten at a time.
    assert peers >= 50
    assert 1 <= ours < peers
