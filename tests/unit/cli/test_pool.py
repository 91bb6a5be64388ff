"""What the slots of one worker are given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.unit.conftest import COMPLETE

from dioptra_worker import settings
from dioptra_worker.cli.pool import _environment
from dioptra_worker.daemon.learning import preloading

if TYPE_CHECKING:
    import pytest


def test_slots_share_what_may_be_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their second fork servers take together what the worker may, if there is it."""
    monkeypatch.setattr(preloading, "memory_limit", lambda: 4000)
    for name, value in COMPLETE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DIOPTRA_WORKER_PRELOAD_MEMORY", "900")
    loaded = settings.load({"DIOPTRA_WORKER_CONCURRENCY": "3"})
    assert _environment(loaded, {}, 1, None)["DIOPTRA_WORKER_PRELOAD_MEMORY"] == "300"
    monkeypatch.setattr(preloading, "memory_limit", lambda: 600)
    assert _environment(loaded, {}, 2, None)["DIOPTRA_WORKER_PRELOAD_MEMORY"] == "50"
