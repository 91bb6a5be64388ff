"""A plugin looks for what jobs are not given: it gets nothing, and the log says why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.hostile.conftest import Ran

LOOKS = {
    "by its key": 'os.environ["DIOPTRA_WORKER_PASSWORD"]',
    "with a default": 'os.getenv("DIOPTRA_WORKER_PASSWORD") or 1 / 0',
    "whether it is there": 'assert "DIOPTRA_WORKER_PASSWORD" in os.environ',
    "of the queue": 'os.environ["RQ_REDIS_URI"]',
}


@pytest.mark.parametrize("look", LOOKS)
def test_the_log_says_why(run_task: Callable[..., Ran], look: str) -> None:
    """The variable and the reason are in the log once, however it is looked for."""
    ran = run_task(
        f"""
        @pyplugs.register
        def act():
            os.environ.get("NOTHING_OF_OURS")
            for _ in range(2):
                try:
                    {LOOKS[look]}
                except Exception as error:
                    last = error
            raise last
        """
    )
    assert ran.status == "failed"
    name = "RQ_REDIS_URI" if "queue" in look else "DIOPTRA_WORKER_PASSWORD"
    assert ran.text.count(f"the plugin reads {name}, which jobs are not given") >= 1
    assert ("get_authenticated_worker_client gives" in ran.text) == (
        "queue" not in look
    )
    assert "NOTHING_OF_OURS" not in ran.text


def test_our_own_look_is_no_plugins(run_task: Callable[..., Ran]) -> None:
    """The client that plugins are given looks for nothing in their name."""
    ran = run_task(
        """
        @pyplugs.register
        def act():
            from dioptra.sdk.utilities.auth_client import (
                get_authenticated_worker_client,
            )
            try:
                get_authenticated_worker_client(logging.getLogger("x"), "json")
            except Exception as error:
                print(type(error))
        """
    )
    assert "the plugin reads" not in ran.text
