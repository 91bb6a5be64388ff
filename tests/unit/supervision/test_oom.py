"""Whether memory ran out is told by the kernel's count or by the peak."""

from __future__ import annotations

from dioptra_worker.supervision.oom import OomDetector


def test_nothing_happened() -> None:
    """A process with little memory, in a group without kills, did not run out."""
    watch = OomDetector.start()
    assert watch.limit > 0
    assert not watch.ran_out(1 << 20)
    assert not watch.ran_out(None)


def test_a_kill_was_counted() -> None:
    """Where the kernel counts its kills, one more than before is evidence."""
    counts = OomDetector.start().kills is not None
    before = OomDetector(kills=-1, limit=1 << 60)
    assert before.ran_out(None) == counts


def test_nearly_all_was_used() -> None:
    """A peak close to the limit is evidence, one well below it is not."""
    watch = OomDetector(kills=None, limit=1000)
    assert watch.ran_out(900)
    assert not watch.ran_out(899)
