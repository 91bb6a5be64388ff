"""Evidence is believed as it was signed, and not with one byte changed."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from dioptra_worker.evidence import envelope, keys, verification
from dioptra_worker.evidence.errors import NotEvidence
from dioptra_worker.evidence.predicates import KINDS, MANIFEST
from dioptra_worker.evidence.statements import Statement
from dioptra_worker.evidence.verification import Comparison

if TYPE_CHECKING:
    from pathlib import Path

    from dioptra_worker.evidence.keys import PrivateKey

FILES = {
    "dioptra/manifest.json": b"{}",
    "model/weights.bin": b"\x00\x01",
    "notes.txt": b"ah",
}
SUBJECTS = {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()}


@pytest.fixture(scope="module", name="key")
def _key() -> PrivateKey:
    return keys.generate()


def made(*signers: PrivateKey, subjects: dict[str, str] = SUBJECTS) -> bytes:
    """Evidence of two statements about the same files."""
    return envelope.write(
        [
            envelope.signed(Statement(subjects, kind, predicate).payload(), signers)
            for kind, predicate in zip(KINDS, predicates(), strict=True)
        ]
    )


def predicates(sha256: str = SUBJECTS[MANIFEST]) -> tuple[dict[str, Any], ...]:
    """What SLSA's statement and ours say at least: which manifest they are about."""
    manifest = {"digest": {"sha256": sha256}}
    return {"runDetails": {"byproducts": [manifest]}}, {"manifest": manifest}


def test_what_was_signed_is_believed(key: PrivateKey) -> None:
    """Its statements, its signer and its digest are told."""
    data = made(key)
    found = verification.verified(data, [key.public])
    assert [one.kind for one in found.statements] == [*KINDS]
    assert found.subjects == SUBJECTS
    assert found.signers == (key.public.id,)
    assert found.digest == hashlib.sha256(data).hexdigest()


def test_no_byte_can_be_changed(key: PrivateKey) -> None:
    """With one bit of any of its bytes turned over it is not believed."""
    data = made(key)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        with pytest.raises(NotEvidence):
            verification.verified(bytes(changed), [key.public])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("payload", "what is signed, or the signature of key"),
        ("signature", "what is signed, or the signature of key"),
        ("key id", "the id of the key that signed it was changed"),
        ("blank", "it is not as a worker writes it"),
        ("member", "has not exactly"),
        ("cut", "none of the given keys has signed all of it|no JSON"),
    ],
)
def test_what_was_changed_is_said(key: PrivateKey, change: str, words: str) -> None:
    """Each part of an envelope has its sentence."""
    first, second = map(json.loads, made(key).splitlines())
    signature = first["signatures"][0]
    lines = [first, second]
    match change:
        case "payload":
            first["payload"] = base64.b64encode(b"x").decode()
        case "signature":
            signature["sig"] = base64.b64encode(bytes(64)).decode()
        case "key id":
            signature["keyid"] = "0" * 64
        case "member":
            first["more"] = 1
    data = b"".join(_line(one) for one in lines)
    if change == "blank":
        data = data.replace(b",", b", ", 1)
    if change == "cut":
        data = data[:200]
    with pytest.raises(NotEvidence, match=words):
        verification.verified(data, [key.public])


def test_each_statement_is_there_once(key: PrivateKey) -> None:
    """One that was taken out is missed, though the rest is as it was signed."""
    first, second = made(key).splitlines(keepends=True)
    for left in (first, second, first + first, first + second + second):
        with pytest.raises(NotEvidence, match="not one statement each of"):
            verification.verified(left, [key.public])
    twice = envelope.read(first)[0]
    same = envelope.Envelope(twice.payload, twice.signatures * 2)
    with pytest.raises(NotEvidence, match="two signatures of one key"):
        verification.verified(envelope.write([same]) + second, [key.public])
    with pytest.raises(NotEvidence, match="in this order"):
        verification.verified(second + first, [key.public])


def test_it_is_about_the_manifest_that_it_tells(key: PrivateKey) -> None:
    """Where subject and predicate name two manifests, one of them is a forgery."""
    lines = made(key).splitlines(keepends=True)
    for at, (kind, told) in enumerate(zip(KINDS, predicates("0" * 64), strict=True)):
        odd: list[dict[str, Any]] = [{}, {"manifest": 1}, {"runDetails": {}}]
        for predicate in (told, *odd):
            forged = Statement(SUBJECTS, kind, predicate).payload()
            data = [*lines]
            data[at] = envelope.write([envelope.signed(forged, [key])])
            with pytest.raises(NotEvidence, match="tells of another dioptra"):
                verification.verified(b"".join(data), [key.public])


def test_statements_of_two_jobs_are_not_put_together(key: PrivateKey) -> None:
    """A good statement of another job's files does not stand in for this one's."""
    one = made(key).splitlines(keepends=True)
    other = made(key, subjects={"other": "0" * 64}).splitlines(keepends=True)
    with pytest.raises(NotEvidence, match="about different files"):
        verification.verified(one[0] + other[1], [key.public])


def test_who_signed_must_be_believed(key: PrivateKey) -> None:
    """A stranger's evidence is not, and the key that it names is told."""
    stranger = keys.generate()
    with pytest.raises(NotEvidence, match=stranger.public.id):
        verification.verified(made(stranger), [key.public])


def test_a_key_can_be_followed_by_another(key: PrivateKey) -> None:
    """With both keys' signatures, who knows either believes it."""
    new = keys.generate()
    data = made(key, new)
    for known in (key, new):
        assert verification.verified(data, [known.public]).signers == (known.public.id,)
    both = verification.verified(data, [key.public, new.public])
    assert both.signers == (key.public.id, new.public.id)


def test_one_key_signs_all_of_it(key: PrivateKey) -> None:
    """Two halves by two keys are no whole."""
    new = keys.generate()
    halves = made(key).splitlines(True)[0] + made(new).splitlines(True)[1]
    with pytest.raises(NotEvidence, match="has signed all of it"):
        verification.verified(halves, [key.public, new.public])


def test_a_verifier_of_its_own_agrees(key: PrivateKey) -> None:
    """Whoever reads the specifications and knows nothing of ours finds the same."""
    public = load_pem_public_key(key.public.pem().encode())
    assert isinstance(public, Ed25519PublicKey)
    data = made(key)
    for line in data.splitlines():
        statement = _independently(line, public)
        digests = {it["name"]: it["digest"]["sha256"] for it in statement["subject"]}
        assert statement["_type"] == "https://in-toto.io/Statement/v1"
        assert digests == SUBJECTS
    changed = json.loads(data.splitlines()[0])
    payload = base64.b64decode(changed["payload"]).replace(b"notes", b"nodes")
    changed["payload"] = base64.b64encode(payload).decode()
    with pytest.raises(InvalidSignature):
        _independently(_line(changed), public)
    with pytest.raises(NotEvidence):
        verification.verified(_line(changed), [key.public])


def test_files_are_compared(tmp_path: Path) -> None:
    """What was changed, is missing, is a link or was added is named."""
    _write(tmp_path)
    assert verification.compare(tmp_path, SUBJECTS) == Comparison((), 3, ())
    (tmp_path / "model/weights.bin").write_bytes(b"\x00\x00")
    (tmp_path / "notes.txt").rename(tmp_path / "note.txt")
    manifest = tmp_path / "dioptra/manifest.json"
    manifest.unlink()
    manifest.symlink_to(tmp_path / "note.txt")
    found = verification.compare(tmp_path, SUBJECTS)
    assert [sentence[:40] for sentence in found.changed] == [
        "dioptra/manifest.json: it is a link, or ",
        "model/weights.bin: it was changed: its S",
        "notes.txt: it is missing or cannot be re",
    ]
    assert (found.compared, found.unsigned) == (0, ("note.txt",))


def test_files_are_compared_as_they_were_downloaded(tmp_path: Path) -> None:
    """Without the folders of their artifacts, and without what the worker keeps."""
    _write(tmp_path)
    shutil.rmtree(tmp_path / "dioptra")
    (tmp_path / "model/weights.bin").rename(tmp_path / "weights.bin")
    found = verification.compare(tmp_path, SUBJECTS)
    assert found == Comparison((), 2, (), ("dioptra/manifest.json",))
    (tmp_path / "weights.bin").write_bytes(b"")
    (changed,) = verification.compare(tmp_path, SUBJECTS).changed
    assert changed.startswith("model/weights.bin: it was changed")


def _write(folder: Path) -> None:
    for name, data in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)


def _line(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def _independently(line: bytes, public: Ed25519PublicKey) -> Any:
    """Verify one envelope as DSSE says, with nothing but the library's own key."""
    document = json.loads(line)
    payload = base64.b64decode(document["payload"])
    kind = document["payloadType"].encode()
    signed = b" ".join(
        [b"DSSEv1", str(len(kind)).encode(), kind, str(len(payload)).encode(), payload]
    )
    public.verify(base64.b64decode(document["signatures"][0]["sig"]), signed)
    return json.loads(payload)
