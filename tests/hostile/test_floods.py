"""What a job can make the worker keep has limits, and the job fails beyond them.

Attack: as many metrics, questions or claims as a loop can send; a message of nested
brackets that would be gigabytes once it is decoded; lines without an end.
Promise: one sentence says which limit it was; memory and threads stay what they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.hostile.conftest import Ran

SAY = """
    import dioptra_worker.protocol.messages as m
    from dioptra_worker.protocol.codec import encode
    from dioptra_worker.sdk.worker.bridge import installed

    def flood(message):
        lines = encode(message) * 100
        while True:
            installed()._channel._sock.sendall(lines)
"""


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("m.SessionRequest(request_id=1, renew=True)", "questions to the worker open"),
        ("m.Metric(name='loss', value=1.0, step=1)", "more than 200,000 metrics"),
        (
            "m.BatchClaimRequest(request_id=1, element='e' * 1001, state='started')",
            "the id of a batch element has 1,001 characters",
        ),
    ],
)
def test_floods(message: str, words: str, run_task: Callable[[str], Ran]) -> None:
    """The job fails with a sentence, and the command ends."""
    ran = run_task(f"""{SAY}
    @pyplugs.register
    def act():
        flood({message})
    """)
    assert ran.status == "failed"
    assert words in ran.text


def test_nested_brackets_and_lines_without_an_end(
    run_task: Callable[[str], Ran],
) -> None:
    """What would be gigabytes once decoded is a few lines of text, and no more."""
    ran = run_task(f"""{SAY}
    @pyplugs.register
    def act():
        sock = installed()._channel._sock
        for _ in range(12):
            sock.sendall(b'{{"is":"Log","message":[' + b"[]," * 500_000 + b"[]]}}\\n")
        sock.sendall(b"[" * 100_000 + b"\\n")
        print("the end is reached")
    """)
    assert ran.status == "finished"
    assert "the end is reached" in ran.text
