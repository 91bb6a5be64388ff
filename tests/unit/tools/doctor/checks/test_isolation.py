"""``dioptra-worker doctor --deep`` tells what is preloaded, and its cost."""

from __future__ import annotations

from dioptra_worker.protocol.forkserver import PreloadedModule
from dioptra_worker.tools.doctor.checks.isolation import _told


def test_what_the_operator_preloads_is_told() -> None:
    """What the operator asks for is told with its cost; nothing where that is none."""
    costs = [
        PreloadedModule(module="dioptra_worker.tracking", seconds=0.8, memory=1 << 20),
        PreloadedModule(module="torch", seconds=2.51, memory=180 << 20),
    ]
    assert _told(costs, ("torch", "art")) == "; preloaded torch (2.5 s, 180 MiB)"
    assert _told(costs, ()) == ""
