"""Many items are dealt with a few at a time, and a failure ends it soon."""

from __future__ import annotations

import threading

import pytest

from dioptra_worker.tracking.parallel import parallel_map


def test_they_run_at_the_same_time() -> None:
    """As many calls as allowed run at once: each waits here for the others."""
    together = threading.Barrier(4, timeout=60.0)
    parallel_map(lambda _: together.wait(), range(8), max_workers=4)


def test_a_failure_ends_it() -> None:
    """The first failure is raised, and what had not begun never does."""
    done: list[int] = []

    def work(item: int) -> None:
        if item == 1:
            raise ValueError("one")
        done.append(item)

    with pytest.raises(ValueError, match="one"):
        parallel_map(work, range(10_000), max_workers=2)
    assert len(done) < 9_999


@pytest.mark.parametrize("items", [[], [1]])
def test_one_item_needs_no_thread(items: list[int]) -> None:
    """None or one item is dealt with in the caller's thread."""
    threads: list[threading.Thread] = []
    parallel_map(
        lambda _: threads.append(threading.current_thread()), items, max_workers=4
    )
    assert threads == [threading.current_thread()] * len(items)
