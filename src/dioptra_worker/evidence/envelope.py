"""DSSE envelopes: a statement with signatures of its very bytes.

A file of evidence has one envelope a line, as bundles of in-toto attestations have. It
is read as strictly as it is written, so that no byte of it can be changed unnoticed:
not in an envelope's own members, nor in what base64 leaves open.

Source: the DSSE specification, version 1.0.2 (protocol.md, envelope.md).
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dioptra_worker.common.text import strict_json
from dioptra_worker.evidence.errors import NotEvidence

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dioptra_worker.evidence.keys import PrivateKey, PublicKey

IN_TOTO = "application/vnd.in-toto+json"
"""The type of a payload that is an in-toto statement."""
MAX_EVIDENCE_BYTES = 256 << 20
MAX_SIGNATURES = 64


@dataclass(frozen=True)
class Signature:
    """One signature of an envelope.

    Attributes:
        key_id: Whose it is said to be.
        value: Its bytes.
    """

    key_id: str
    value: bytes


@dataclass(frozen=True)
class Envelope:
    """A payload and its signatures; nothing of it is verified yet.

    Attributes:
        payload: What is signed.
        signatures: By whom.
        kind: The payload's type.
    """

    payload: bytes
    signatures: tuple[Signature, ...]
    kind: str = IN_TOTO

    def signers(self, keys: Iterable[PublicKey]) -> list[str]:
        """The ids of those of some keys that have signed it.

        Raises:
            NotEvidence: A signature that is said to be of one of them is not, or one
                of theirs is said to be of another.
        """
        known = {key.id: key for key in keys}
        data = pre_authentication_encoding(self.kind, self.payload)
        found = []
        for signature in self.signatures:
            key = known.get(signature.key_id)
            if key is None:
                if any(it.has_signed(data, signature.value) for it in known.values()):
                    raise NotEvidence("the id of the key that signed it was changed")
            elif key.has_signed(data, signature.value):
                found.append(key.id)
            else:
                raise NotEvidence(
                    f"what is signed, or the signature of key {key.id}, was changed"
                )
        return found


def pre_authentication_encoding(kind: str, payload: bytes) -> bytes:
    """What is signed of a payload (PAE): its type and itself, with their lengths."""
    name = kind.encode()
    return b"DSSEv1 %d %b %d %b" % (len(name), name, len(payload), payload)


def signed(payload: bytes, keys: Iterable[PrivateKey]) -> Envelope:
    """An envelope of an in-toto statement, signed with each of some keys."""
    data = pre_authentication_encoding(IN_TOTO, payload)
    signatures = [Signature(key.public.id, key.sign(data)) for key in keys]
    return Envelope(payload, tuple(signatures))


def write(envelopes: Sequence[Envelope]) -> bytes:
    """The bytes of a file of evidence."""
    return b"".join(_line(envelope) for envelope in envelopes)


def read(data: bytes) -> list[Envelope]:
    """The envelopes of a file of evidence.

    Raises:
        NotEvidence: It is not as `write` makes it.
    """
    if len(data) > MAX_EVIDENCE_BYTES:
        raise NotEvidence(f"it is larger than {MAX_EVIDENCE_BYTES:,} bytes")
    found = [_envelope(line) for line in data.split(b"\n") if line]
    if not found:
        raise NotEvidence("it is empty")
    if write(found) != data:
        raise NotEvidence(
            "it is not as a worker writes it: an envelope a line, its members in order,"
            " without blanks"
        )
    return found


def _line(envelope: Envelope) -> bytes:
    document = {
        "payload": _base64(envelope.payload),
        "payloadType": envelope.kind,
        "signatures": [
            {"keyid": signature.key_id, "sig": _base64(signature.value)}
            for signature in envelope.signatures
        ],
    }
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def _envelope(line: bytes) -> Envelope:
    try:
        document = strict_json.loads(line)
    except strict_json.NotJson as error:
        raise NotEvidence(f"an envelope is no JSON: {error}") from None
    _expect_members(document, {"payload", "payloadType", "signatures"}, "an envelope")
    if document["payloadType"] != IN_TOTO:
        raise NotEvidence(f"an envelope's payloadType is not {IN_TOTO!r}")
    signatures = document["signatures"]
    if not isinstance(signatures, list) or not 0 < len(signatures) <= MAX_SIGNATURES:
        raise NotEvidence(f"an envelope has not 1 to {MAX_SIGNATURES} signatures")
    found = []
    for each in signatures:
        _expect_members(each, {"keyid", "sig"}, "a signature")
        if not isinstance(each["keyid"], str):
            raise NotEvidence("a signature's keyid is no text")
        found.append(Signature(each["keyid"], _bytes(each["sig"], "a signature")))
    if len({it.key_id for it in found}) < len(found):
        raise NotEvidence("an envelope has two signatures of one key")
    return Envelope(_bytes(document["payload"], "a payload"), tuple(found))


def _expect_members(found: Any, names: set[str], what: str) -> None:
    if not isinstance(found, dict) or found.keys() != names:
        raise NotEvidence(f"{what} has not exactly {', '.join(sorted(names))}")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(text: Any, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise NotEvidence(f"{what} is not in base64") from None
