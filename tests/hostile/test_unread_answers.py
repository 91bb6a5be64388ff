"""A job that asks the worker and never reads its answers holds nobody up.

Attack: a plugin floods the channel with questions and does not read what comes back.
Promise: the supervisor never waits for a job to read, so its time limit and Ctrl-C
hold; what is left unread has a limit, for which the job fails with a sentence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.hostile.conftest import Ran

FLOOD = """
    from dioptra_worker.protocol.codec import encode
    from dioptra_worker.protocol.messages import BatchClaimRequest
    from dioptra_worker.sdk.worker.bridge import installed

    @pyplugs.register
    def act():
        channel = installed()._channel
        asked = encode(BatchClaimRequest(request_id=1, element="e", state="started"))
        channel._replies = None  # its reading thread ends with an error
        while True:
            channel._sock.sendall(asked * 100)
"""


def test_answers_that_nobody_reads(run_task: Callable[[str], Ran]) -> None:
    """The job fails for what it left unread, and the command ends."""
    ran = run_task(FLOOD)
    assert ran.status == "failed"
    assert "of answers unread" in ran.text
