"""What jobs wait to have imported is kept, as far as a job can be believed."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.daemon.learning import import_costs, installed
from dioptra_worker.daemon.learning.import_costs import (
    FILE,
    ImportCosts,
    Learned,
    learned,
)
from dioptra_worker.protocol.messages import ModuleImported

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = b"a secret"


@pytest.fixture(name="packages", autouse=True)
def _packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where packages are: `heavy`, with a part; a file, `single`; the platform's."""
    site = tmp_path / "site"
    for name, record in (
        ("heavy", "heavy/__init__.py,,\nheavy/part.py,,\n../../bin/heavy,,\n"),
        ("single", "single.py,,\nsingle.txt,,\n__pycache__/single.pyc,,\n"),
        ("platform", "dioptra/__init__.py,,\n"),
    ):
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\n")
        (info / "RECORD").write_text(record)
    (site / "heavy").mkdir()
    (site / "dioptra").mkdir()
    (site / "dioptra/__init__.py").write_text("")
    for file in ("heavy/__init__.py", "heavy/part.py", "single.py", "stray.py"):
        (site / file).write_text("raise RuntimeError('nobody imports it')\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(site)])
    installed._top_levels.cache_clear()
    yield site
    installed._top_levels.cache_clear()


def _imports(**seconds: float) -> list[ModuleImported]:
    return [
        ModuleImported(module=name.replace("__", "."), seconds=taken)
        for name, taken in seconds.items()
    ]


@pytest.fixture(name="work")
def _work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def test_kept_by_queue(work: Path) -> None:
    """Jobs and seconds add up for each queue, also over a restart of the worker."""
    ImportCosts(work, key=KEY).learn("cpu", _imports(heavy__part=2.0, single=0.5))
    ImportCosts(work, key=KEY).learn("cpu", _imports(heavy__part=1.0))
    ImportCosts(work, key=KEY).learn("gpu", _imports(single=0.1))
    kept = learned(work, key=KEY)
    assert [(c.module, c.jobs, c.seconds) for c in kept.of(["cpu"])] == [
        ("heavy.part", 2, 3.0),
        ("single", 1, 0.5),
    ]
    assert kept.of(["cpu"])[0].mean == 1.5
    assert [cost.module for cost in kept.of(["gpu"])] == ["single"]


@pytest.mark.parametrize(
    "module",
    [
        "stray",  # which lies there and is of no package
        "heavy.nothing",
        "heavy.part.deeper",
        "plugin.tasks",
        "bin",
        "__pycache__",
        "dioptra",  # which is ours in a runner, whoever has it installed
    ],
)
def test_what_is_not_installed_is_not_believed(work: Path, module: str) -> None:
    """A job can name what it likes: what no package has is neither kept nor told."""
    told: list[str] = []
    costs = ImportCosts(work, key=KEY, tell=lambda name, _: told.append(name))
    costs.learn("cpu", [ModuleImported(module=module, seconds=9.0)])
    assert told == []
    assert not (work / FILE).exists()


def test_what_a_job_writes_there_is_not_believed(work: Path) -> None:
    """Without the worker's secret nobody makes a checksum that counts."""
    costs = ImportCosts(work, key=KEY)
    costs.learn("cpu", _imports(single=1.0))
    honest = (work / FILE).read_bytes()
    for forged in (
        honest.replace(b"single", b"heavy"),
        b"",
        b"no checksum",
        honest + b"\n",
        b"a" * (import_costs.MAX_BYTES + 1),
    ):
        (work / FILE).write_bytes(forged)
        assert learned(work, key=KEY) == Learned()
    assert learned(work, key=b"another") == Learned()
    (work / FILE).unlink()
    (work / "elsewhere").write_bytes(honest)
    (work / FILE).symlink_to(work / "elsewhere")
    assert learned(work, key=KEY) == Learned()
    costs.learn("cpu", _imports(heavy=1.0))  # takes the link's place
    assert [cost.module for cost in learned(work, key=KEY).of(["cpu"])] == ["heavy"]
    assert (work / "elsewhere").read_bytes() == honest


def test_other_packages(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was learned with other packages, or other versions of them, is forgotten."""
    ImportCosts(work, key=KEY).learn("cpu", _imports(single=1.0))
    monkeypatch.setattr(installed, "environment", lambda: "another")
    assert learned(work, key=KEY) == Learned()
    ImportCosts(work, key=KEY).learn("gpu", _imports(single=1.0))
    assert learned(work, key=KEY).queues.keys() == {"gpu"}


def test_bounded(work: Path, packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many modules those that cost most are kept, of many queues the latest."""
    monkeypatch.setattr(import_costs, "MAX_MODULES", 3)
    monkeypatch.setattr(import_costs, "MAX_QUEUES", 2)
    for number in range(5):
        (packages / f"heavy/m{number}.py").write_text("")
    told = {f"heavy__m{number}": 1.0 + number for number in range(5)}
    costs = ImportCosts(work, key=KEY)
    for queue in ("a", "b", "a", "c"):
        costs.learn(queue, _imports(**told))
    kept = learned(work, key=KEY)
    assert kept.queues.keys() == {"a", "c"}
    assert [cost.module for cost in kept.of(["a"])] == [
        "heavy.m4",
        "heavy.m3",
        "heavy.m2",
    ]
    assert json.loads((work / FILE).read_bytes().partition(b"\n")[2])


def test_what_is_excluded(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is kept with the costs, and forgotten when packages change."""
    costs = ImportCosts(work, key=KEY)
    costs.learn("cpu", _imports(single=1.0))
    costs.exclude("single", "x" * 1000)
    kept = ImportCosts(work, key=KEY).kept()
    assert kept.excluded == {"single": "x" * import_costs.MAX_REASON}
    assert [cost.module for cost in kept.of(["cpu"])] == ["single"]
    monkeypatch.setattr(installed, "environment", lambda: "another")
    assert costs.kept() == Learned()


def test_queues_are_merged(work: Path) -> None:
    """Jobs of several queues count together, those of others do not."""
    costs = ImportCosts(work, key=KEY)
    for queue in ("a", "b", "c"):
        costs.learn(queue, _imports(single=1.0, heavy=2.0))
    found = costs.kept().of(["a", "b"])
    assert [(one.module, one.jobs, one.seconds) for one in found] == [
        ("heavy", 2, 4.0),
        ("single", 2, 2.0),
    ]


def test_a_folder_that_is_gone_costs_no_job(work: Path) -> None:
    """What cannot be kept is lost, and told to the metrics all the same."""
    told: list[tuple[str, float]] = []
    costs = ImportCosts(
        work / "gone", key=KEY, tell=lambda name, s: told.append((name, s))
    )
    costs.learn("cpu", _imports(single=1.0))
    assert told == [("single", 1.0)]


def test_what_is_excluded_for_less_memory(work: Path) -> None:
    """Whoever may take more tries it again, and nobody else."""
    costs = ImportCosts(work, key=KEY, memory=100)
    costs.learn("cpu", _imports(single=1.0))
    costs.exclude("single", "took more")
    for memory, is_known in ((50, True), (100, True), (200, False)):
        kept = ImportCosts(work, key=KEY, memory=memory).kept()
        assert bool(kept.excluded) is is_known
        assert [cost.module for cost in kept.of(["cpu"])] == ["single"]
    assert learned(work, key=KEY).excluded == {"single": "took more"}
