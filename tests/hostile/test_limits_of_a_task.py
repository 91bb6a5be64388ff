"""A task that takes its own process's means away changes its own job only.

Attack: limits of memory, files and processes that leave nothing, a `threading` that is
broken. Promise: the job comes to its end by itself, whatever else it could not do.
"""

from __future__ import annotations

import errno
import sys
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import HTTPClientError
from urllib3.exceptions import ReadTimeoutError

from dioptra_worker.errors import ServiceRefused, ServiceUnavailable
from dioptra_worker.tracking.s3.client import translate_errors

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


@pytest.mark.parametrize(
    ("raised", "waits"),
    [
        (ImportError("sys.meta_path is None"), False),
        (TypeError("'NoneType' object is not callable"), False),
        (OSError(errno.EMFILE, "Too many open files"), False),
        (OSError(errno.ECONNRESET, "Connection reset by peer"), True),
        (ReadTimeoutError(None, "", "it is silent"), True),  # type: ignore[arg-type]
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_store_is_waited_for_only_where_that_can_help(
    raised: Exception, waits: bool
) -> None:
    """What a task has broken in its process stays so until the job's time limit."""
    with (
        pytest.raises(ServiceUnavailable if waits else ServiceRefused),
        translate_errors("S3 did not take it"),
    ):
        raise HTTPClientError(error=raised) from raised
