"""What the platform would refuse is refused in the plugin's own line.

Attack: metrics with steps beyond 64 bits, names that are none, values that are no
numbers; ids of batch elements without an end.
Promise: the plugin's call raises, with a sentence; the job's end does not wait for what
nobody will ever take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.hostile.conftest import Ran


def test_values_that_are_refused(run_task: Callable[[str], Ran]) -> None:
    """Each call raises with what is wrong; what is right arrives."""
    ran = run_task("""
        import structlog
        from dioptra.sdk.utilities.auth_client import get_authenticated_worker_client
        from dioptra_worker.sdk.worker.bridge import installed

        @pyplugs.register
        def act():
            jobs = get_authenticated_worker_client(structlog.get_logger(), "json").jobs
            for name, value, step in [
                ("loss", 0.5, 2**63),
                ("lo ss", 0.5, 1),
                ("loss", 1j, 1),
                ("loss", 0.25, 2**63 - 1),
            ]:
                try:
                    jobs.append_metric_by_id(os.environ["__JOB_ID"], name, value, step)
                except Exception as error:
                    print("refused:", error)
            try:
                installed().set_element_state("e" * 2000, "started")
            except ValueError as error:
                print("refused:", error)
        """)
    assert ran.status == "finished"
    assert ran.metrics["loss"]["value"] == 0.25
    assert "it must fit into 64 bits" in ran.text
    assert "'lo ss' is no name for a metric" in ran.text
    assert "1j is no value for a metric" in ran.text
    assert "has at most 1,000 characters" in ran.text
