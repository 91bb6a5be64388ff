"""A task that takes its own process's means away changes its own job only.

Attack: limits of memory, files and processes that leave nothing, a `threading` that is
broken. Promise: the job comes to its end by itself, whatever else it could not do.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.hostile.conftest import Ran

MEANS = {
    "memory": "limit(resource.RLIMIT_AS, 1 << 20)",
    "descriptors": "limit(resource.RLIMIT_NOFILE, 3)",
    "files": "limit(resource.RLIMIT_FSIZE, 0)",
    "threads": "threading.Thread = threading.Event = threading.Lock = None",
}


@pytest.mark.skipif(sys.platform != "linux", reason="macOS keeps few of these limits")
@pytest.mark.parametrize("take", MEANS.values(), ids=MEANS)
def test_a_job_without_means_ends(take: str, run_task: Callable[..., Ran]) -> None:
    """Its last steps take no thread, memory or file that might not be there."""
    ran = run_task(
        f"""
        import resource, threading

        def limit(which, most):
            resource.setrlimit(which, (most, most))

        @pyplugs.register
        def act():
            print("before")
            {take}
        """,
        "--timeout",
        "20s",
    )
    assert ran.status == "finished", ran.text
    assert "before" in ran.text
