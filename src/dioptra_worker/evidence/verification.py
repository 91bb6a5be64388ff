"""Whether evidence is as it was signed, and files are as it says; offline."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dioptra_worker.common.files.plain_file import open_plain
from dioptra_worker.evidence import envelope, statements
from dioptra_worker.evidence.errors import EvidenceError, NotEvidence
from dioptra_worker.evidence.predicates import KINDS, MANIFEST, manifest_digest
from dioptra_worker.provenance.manifest import EVIDENCE_FILE_NAME, FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from dioptra_worker.evidence.keys import PublicKey
    from dioptra_worker.evidence.statements import Statement


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a file of evidence says.

    Attributes:
        statements: The statements, in their order; all are about the same files.
        signers: The ids of the keys that have signed all of it.
        digest: The SHA-256 of the file, in hexadecimal.
    """

    statements: tuple[Statement, ...]
    signers: tuple[str, ...]
    digest: str

    @property
    def subjects(self) -> dict[str, str]:
        """The SHA-256 of each file that it is about, by its path."""
        return dict(self.statements[0].subjects)


def read_file(path: Path) -> bytes:
    """The bytes of a file of evidence.

    Raises:
        EvidenceError: It cannot be read, or is too large to be one.
    """
    try:
        with path.open("rb") as file:
            data = file.read(envelope.MAX_EVIDENCE_BYTES + 1)
    except OSError as error:
        raise EvidenceError(
            f"{str(path)!r} cannot be read: {error.strerror}"
        ) from error
    return data


def unverified(data: bytes) -> Evidence:
    """What evidence says, with the keys that are said to have signed it.

    Args:
        data: The bytes of its file.

    Raises:
        NotEvidence: It is none.
    """
    envelopes = envelope.read(data)
    named = [[one.key_id for one in each.signatures] for each in envelopes]
    return _evidence(data, envelopes, named)


def verified(data: bytes, keys: Sequence[PublicKey]) -> Evidence:
    """What evidence says, if it is as some of these keys have signed it.

    Args:
        data: The bytes of its file.
        keys: Whom we believe; each statement needs a signature of the same one.

    Raises:
        NotEvidence: It is none, something of it was changed or is missing, or others
            signed it.
    """
    envelopes = envelope.read(data)
    found = _evidence(data, envelopes, [each.signers(keys) for each in envelopes])
    if not found.signers:
        named = {one.key_id for each in envelopes for one in each.signatures}
        raise NotEvidence(
            "none of the given keys has signed all of it; it is said to be signed by"
            f" {', '.join(sorted(named))}"
        )
    kinds = [each.kind for each in found.statements]
    if kinds != list(KINDS):
        raise NotEvidence(
            f"it has not one statement each of {' and '.join(KINDS)}, in this order,"
            f" but of {', '.join(kinds)}"
        )
    signed = found.subjects.get(MANIFEST)
    if any(manifest_digest(each) != signed for each in found.statements):
        raise NotEvidence(f"it tells of another {MANIFEST} than it is about")
    return found


def _evidence(
    data: bytes, envelopes: Sequence[envelope.Envelope], signers: Sequence[list[str]]
) -> Evidence:
    found = tuple(statements.read(each.payload) for each in envelopes)
    if any(each.subjects != found[0].subjects for each in found):
        raise NotEvidence("its statements are about different files")
    first = dict.fromkeys(signers[0])
    common = [key for key in first if all(key in each for each in signers)]
    return Evidence(
        statements=found,
        signers=tuple(common),
        digest=hashlib.sha256(data).hexdigest(),
    )


@dataclass(frozen=True)
class Comparison:
    """How files are, beside what was signed of them.

    Attributes:
        changed: One sentence for each that is not as it was signed.
        compared: How many are as they were signed.
        unsigned: The paths of files that nothing was signed of.
        unseen: What was signed and is not there, of what the worker itself keeps.
    """

    changed: tuple[str, ...]
    compared: int
    unsigned: tuple[str, ...]
    unseen: tuple[str, ...] = ()


def compare(folder: Path, subjects: Mapping[str, str]) -> Comparison:
    """Compare the files of a folder with what was signed of them.

    The folder is as the artifacts of a run are in their store, or as
    ``dioptra-worker jobs download`` saves them: without the folder that each artifact
    has there, and without the worker's own.

    Args:
        folder: The folder.
        subjects: The SHA-256 of each file, in hexadecimal, by its path in the store.
    """
    places = _places(folder, subjects)
    unseen = [
        name
        for name, place in places.items()
        if name == MANIFEST and not _is_there(place)
    ]
    changed = [
        f"{name}: {words}"
        for name, expected in sorted(subjects.items())
        if name not in unseen and (words := _difference(places[name], expected))
    ]
    files = {it for it in folder.rglob("*") if it.is_symlink() or it.is_file()}
    others = files - set(places.values()) - {folder / FOLDER / EVIDENCE_FILE_NAME}
    return Comparison(
        changed=tuple(changed),
        compared=len(subjects) - len(changed) - len(unseen),
        unsigned=tuple(sorted(it.relative_to(folder).as_posix() for it in others)),
        unseen=tuple(sorted(unseen)),
    )


def _places(folder: Path, names: Iterable[str]) -> dict[str, Path]:
    """Where files are: as in the store, or without the folder of their artifact.

    A file counts once: of two that could be it, one is missing.
    """
    places = {name: folder / name for name in names}
    taken = {place for place in places.values() if _is_there(place)}
    for name, place in sorted(places.items()):
        short = folder / name.partition("/")[2]
        is_free = "/" in name and place not in taken and short not in taken
        if is_free and _is_there(short):
            places[name] = short
            taken.add(short)
    return places


def _is_there(path: Path) -> bool:
    try:
        return path.exists() or path.is_symlink()
    except (OSError, ValueError):  # no file can have such a name
        return False


def _difference(path: Path, expected: str) -> str | None:
    """What is wrong with a file; None if it is as it was signed."""
    try:
        found = digest_of(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        return f"it is missing or cannot be read: {reason}"
    if found is None:
        return "it is a link, or no file"
    if found != expected:
        return f"it was changed: its SHA-256 is {found}, and {expected} was signed"
    return None


def digest_of(path: Path) -> str | None:
    """The SHA-256 of a file, in hexadecimal; None of what is none.

    Raises:
        OSError: It cannot be read.
    """
    file = open_plain(path)
    if file is None:
        return None
    with file:
        return hashlib.file_digest(file, "sha256").hexdigest()
