"""``dioptra-worker doctor`` names what is worth preloading."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dioptra_worker.daemon.learning.import_costs import ImportCosts
from dioptra_worker.protocol.messages import ModuleImported
from dioptra_worker.settings import Settings
from dioptra_worker.tools.doctor.checks import imports
from dioptra_worker.tools.doctor.checks.configuration import examples

if TYPE_CHECKING:
    from pathlib import Path

    from dioptra_worker.tools.doctor import Finding


def _settings(folder: Path, preload: str = "") -> Settings:
    given: dict[str, Any] = {
        **examples({}),
        "DIOPTRA_WORKER_PRELOAD": preload,
        "DIOPTRA_WORKER_WORK_DIR": folder,
    }
    return Settings(**given)


def _found(settings: Settings, *queues: str) -> Finding:
    (finding,) = imports.check(settings, queues)
    return finding


def _learn(settings: Settings, queue: str, *, jobs: int, **seconds: float) -> None:
    costs = ImportCosts(settings.work_dir, key=settings.imports_key())
    told = [
        ModuleImported(module=name.replace("__", "."), seconds=taken)
        for name, taken in seconds.items()
    ]
    for _ in range(jobs):
        costs.learn(queue, told)


def test_what_jobs_wait_for_is_named(tmp_path: Path) -> None:
    """What several jobs waited for is named, the greatest first, and the way out."""
    settings = _settings(tmp_path, "boto3")
    _learn(settings, "cpu", jobs=3, mlflow__tracking=0.5, numpy=2.0, requests=0.03)
    _learn(settings, "gpu", jobs=1, pydantic=5.0)
    finding = _found(settings, "cpu")
    assert finding.status == "warn"
    assert finding.detail == (
        "jobs have waited for numpy (2.0 s, 3 jobs), mlflow.tracking (0.5 s, 3 jobs)"
    )
    assert finding.fix == (
        "DIOPTRA_WORKER_PRELOAD=boto3,numpy,mlflow.tracking has them imported once for"
        " all jobs; OMP_NUM_THREADS and OPENBLAS_NUM_THREADS, which plugins may set,"
        " numpy reads then"
    )


def test_nothing_is_worth_it(tmp_path: Path) -> None:
    """Nothing learned, or of another queue, or preloaded by now: all is well."""
    assert _found(_settings(tmp_path)).status == "ok"
    _learn(_settings(tmp_path), "cpu", jobs=2, mlflow=1.0)
    assert _found(_settings(tmp_path), "gpu").status == "ok"
    assert _found(_settings(tmp_path)).status == "warn"
    assert _found(_settings(tmp_path, "mlflow.tracking")).status == "ok"


def test_a_worker_that_learns(tmp_path: Path) -> None:
    """What it imports beforehand is named, and what it leaves out, with the reason."""
    settings = _settings(tmp_path, "auto")
    assert _found(settings).detail == "imported before jobs come: nothing yet"
    _learn(settings, "cpu", jobs=1, numpy=2.0, pydantic=1.0, requests=0.01)
    costs = ImportCosts(settings.work_dir, key=settings.imports_key())
    costs.exclude("pydantic", "started a thread")
    finding = _found(settings, "cpu")
    assert finding.status == "ok"
    assert finding.detail == (
        "imported before jobs come: 'numpy'; left out: pydantic, whose import started a"
        " thread"
    )
