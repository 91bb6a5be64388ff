"""Statements: of which files, by their digests, something is said, and what.

Source: in-toto Attestation Framework, Statement v1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from dioptra_worker.common.text import strict_json
from dioptra_worker.evidence.errors import NotEvidence
from dioptra_worker.provenance.chain import canonical

if TYPE_CHECKING:
    from collections.abc import Mapping

STATEMENT = "https://in-toto.io/Statement/v1"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Statement:
    """What is said of some files.

    Attributes:
        subjects: The SHA-256 of each, in hexadecimal, by its path.
        kind: The predicate's type, a URI.
        predicate: What is said.
    """

    subjects: Mapping[str, str]
    kind: str
    predicate: Mapping[str, Any]

    def payload(self) -> bytes:
        """The statement as it is signed."""
        document = {
            "_type": STATEMENT,
            "subject": [
                {"name": name, "digest": {"sha256": self.subjects[name]}}
                for name in sorted(self.subjects)
            ],
            "predicateType": self.kind,
            "predicate": self.predicate,
        }
        return canonical(document)


def read(payload: bytes) -> Statement:
    """The statement that an envelope holds.

    Args:
        payload: What was signed.

    Raises:
        NotEvidence: It is none about files and their SHA-256.
    """
    try:
        document = strict_json.loads(payload)
    except strict_json.NotJson as error:
        raise NotEvidence(f"a statement is no JSON: {error}") from None
    if not isinstance(document, dict) or document.get("_type") != STATEMENT:
        raise NotEvidence(f"what is signed is no {STATEMENT}")
    kind, predicate = document.get("predicateType"), document.get("predicate")
    subjects = document.get("subject")
    if not isinstance(kind, str) or not isinstance(predicate, dict):
        raise NotEvidence("a statement has no predicate")
    if not isinstance(subjects, list) or not subjects:
        raise NotEvidence("a statement is about nothing")
    found: dict[str, str] = {}
    for each in subjects:
        name = each.get("name") if isinstance(each, dict) else None
        digest = each.get("digest") if isinstance(each, dict) else None
        sha256 = digest.get("sha256") if isinstance(digest, dict) else None
        if not isinstance(name, str) or not _is_inside(name):
            raise NotEvidence(f"a statement is about {name!r:.200}, which is no path")
        if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
            raise NotEvidence(f"a statement gives no SHA-256 of {name!r:.200}")
        if name in found:
            raise NotEvidence(f"a statement is about {name!r:.200} twice")
        found[name] = sha256
    return Statement(found, kind, predicate)


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    is_below = not path.is_absolute() and ".." not in path.parts
    return bool(name) and is_below and "\0" not in name
