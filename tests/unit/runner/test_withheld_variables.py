"""What is said to who reads a variable that jobs are not given."""

from __future__ import annotations

from dioptra_worker.protocol.messages import NO_JOB
from dioptra_worker.runner.withheld_variables import _words

SETTING = "DIOPTRA_WORKER_EXPOSE_CREDENTIALS=true"


def test_the_way_out() -> None:
    """The setting is named where it helps: for the password, in a worker's job."""
    assert SETTING in _words("DIOPTRA_WORKER_PASSWORD", 7)
    assert SETTING not in _words("DIOPTRA_WORKER_PASSWORD", NO_JOB)
    assert SETTING not in _words("RQ_REDIS_URI", 7)
