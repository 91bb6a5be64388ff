"""Our verdict on the documents in the peer's own validation tests is the peer's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.differential import cases, verdicts

if TYPE_CHECKING:
    from pathlib import Path

    from tests.differential.peer import Peer


def test_same_verdict_on_the_cases_of_the_peer(peer: Peer, peer_sdist: Path) -> None:
    """Every document of the peer's validation tests gets the peer's verdict from us."""
    judged = 0
    for name, document in cases.documents(peer_sdist):
        theirs = peer.job(document)
        accepted, why = verdicts.job(document)
        assert accepted == theirs["accepted"], (name, document, why, theirs["why"])
        judged += 1
    assert judged > 100
