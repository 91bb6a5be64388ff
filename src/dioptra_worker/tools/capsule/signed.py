"""Whether the evidence in a capsule is about what is in the capsule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dioptra_worker.evidence.errors import NotEvidence
from dioptra_worker.evidence.predicates import MANIFEST, statements_of, subjects_of
from dioptra_worker.evidence.verification import verified
from dioptra_worker.tools.capsule import layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dioptra_worker.evidence.keys import PublicKey
    from dioptra_worker.evidence.verification import Evidence
    from dioptra_worker.tools.capsule.opening import Capsule

_OF_THE_MANIFEST = {MANIFEST, "manifest"}
"""Members that tell the manifest's own digest, which is another one anyway."""
_TOLD = 5
"""Differences that are named, at most."""


def verified_signers(
    capsule: Capsule, keys: Sequence[PublicKey], *, data: bytes | None = None
) -> tuple[str, ...]:
    """The ids of the keys that have signed a capsule's manifest and artifacts.

    That the files are as the manifest has them is for `Capsule.check` to see.

    Args:
        capsule: The capsule.
        keys: Whom we believe.
        data: What was signed, if not what is in it.

    Raises:
        NotEvidence: None of them has, or it is about another job.
    """
    what = "the evidence"
    if data is None:
        data, what = capsule.evidence, layout.EVIDENCE
    if data is None:
        raise NotEvidence(f"{capsule.archive.path} holds no evidence: it is not signed")
    try:
        evidence = verified(data, keys)
    except NotEvidence as error:
        raise NotEvidence(f"{what}: {error}") from None
    if evidence.subjects != subjects_of(capsule.manifest, capsule.manifest_bytes):
        words = f"{what}: another manifest than {layout.MANIFEST} was signed"
        raise NotEvidence("; ".join([words, *_changed(capsule, evidence)]))
    return evidence.signers


def _changed(capsule: Capsule, evidence: Evidence) -> list[str]:
    """What is otherwise in a capsule's manifest than it was signed, as far as seen."""
    here = {
        one.kind: one.predicate
        for one in statements_of(capsule.manifest, capsule.manifest_bytes)
    }
    found = dict.fromkeys(
        words
        for one in evidence.statements
        if one.kind in here
        for words in _differences(one.predicate, here[one.kind], "")
    )
    return list(found)[:_TOLD]


def _differences(signed: Any, here: Any, place: str) -> Iterator[str]:
    """Members that two documents have both, with other values."""
    if isinstance(signed, list) and isinstance(here, list):
        signed, here = _by_name(signed), _by_name(here)
    if isinstance(signed, dict) and isinstance(here, dict):
        for name in sorted(signed.keys() & here.keys() - _OF_THE_MANIFEST):
            inside = f"{place} {name}" if place else name
            yield from _differences(signed[name], here[name], inside)
    elif signed != here:
        yield f"{place} was {signed!r:.100} and is {here!r:.100}"


def _by_name(entries: list[Any]) -> dict[str, Any]:
    """Entries that have a name or, without one, an address."""
    return {
        str(it.get("name", it.get("uri", ""))): it
        for it in entries
        if isinstance(it, dict)
    }
