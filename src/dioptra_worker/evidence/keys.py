"""Ed25519 keys: made, read, and told apart by their ids.

A private key is PKCS #8 in PEM, a public one SubjectPublicKeyInfo in PEM, as OpenSSL
writes them. A file may hold several: with the old key and the new one in it a daemon
signs with both, and who verifies may know either.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dioptra_worker.evidence.errors import KeyUnusable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

try:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ed25519
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
        load_der_private_key,
        load_der_public_key,
    )
except ImportError as error:
    raise KeyUnusable(
        "evidence is signed and verified with the package 'cryptography', which is not"
        " installed: pip install 'dioptra-worker[evidence]'"
    ) from error

MAX_KEY_BYTES = 64 << 10
"""Of a file of keys are read: no honest one is larger."""
_PRIVATE, _PUBLIC = "PRIVATE KEY", "PUBLIC KEY"
_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)


@dataclass(frozen=True)
class PublicKey:
    """Who verifies.

    Attributes:
        id: The SHA-256 of its SubjectPublicKeyInfo in DER, in hexadecimal.
    """

    id: str
    _key: Ed25519PublicKey = field(repr=False)

    @classmethod
    def of(cls, key: Ed25519PublicKey) -> PublicKey:
        """A key of the library's with its id."""
        der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return cls(hashlib.sha256(der).hexdigest(), key)

    def has_signed(self, data: bytes, signature: bytes) -> bool:
        """Whether a signature of some bytes is one of this key."""
        try:
            self._key.verify(signature, data)
        except InvalidSignature:
            return False
        return True

    def pem(self) -> str:
        """The key as a file has it."""
        return self._key.public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        ).decode("ascii")


@dataclass(frozen=True)
class PrivateKey:
    """Who signs; its contents are never shown.

    Attributes:
        public: Who verifies what it has signed.
    """

    public: PublicKey
    _key: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def of(cls, key: Ed25519PrivateKey) -> PrivateKey:
        """A key of the library's with its public half."""
        return cls(PublicKey.of(key.public_key()), key)

    def sign(self, data: bytes) -> bytes:
        """The signature of some bytes, 64 bytes."""
        return self._key.sign(data)

    def pem(self) -> str:
        """The key as a file has it: who reads it can sign."""
        return self._key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ).decode("ascii")


def generate() -> PrivateKey:
    """A new key."""
    return PrivateKey.of(ed25519.Ed25519PrivateKey.generate())


def write(key: PrivateKey, private: Path, public: Path) -> None:
    """Write both halves; the private one can be read by its owner only.

    Raises:
        KeyUnusable: One of them is there already, or cannot be written.
    """
    for path in (private, public):
        if os.path.lexists(path):
            raise _there_already(path)
    for path, text, mode in (
        (private, key.pem(), 0o600),
        (public, key.public.pem(), 0o644),
    ):
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            with open(os.open(path, flags, mode), "w", encoding="ascii") as file:  # noqa: PTH123 - a descriptor
                file.write(text)
        except FileExistsError:
            raise _there_already(path) from None
        except OSError as error:
            raise KeyUnusable(
                f"{str(path)!r} cannot be written: {error.strerror}"
            ) from error


def _there_already(path: Path) -> KeyUnusable:
    return KeyUnusable(
        f"{str(path)!r} is there already, and is not replaced: what it has signed could"
        " not be verified any more; name another file"
    )


def read_private(text: str) -> tuple[PrivateKey, ...]:
    """The private keys of a text, in their order.

    Args:
        text: One or several in PEM. Line ends may be missing, or be a backslash and
            an n: not every place where a variable is set can hold several lines.

    Raises:
        KeyUnusable: It holds none, or something else, too.
    """
    found = []
    for der in _blocks(text, _PRIVATE, other=_PUBLIC):
        try:
            key = load_der_private_key(der, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise KeyUnusable("it holds a private key that is damaged") from error
        if not isinstance(key, ed25519.Ed25519PrivateKey):
            raise KeyUnusable("it holds a key of another kind than Ed25519")
        found.append(PrivateKey.of(key))
    return tuple(found)


def read_public(path: Path) -> tuple[PublicKey, ...]:
    """The public keys of a file, in their order.

    Raises:
        KeyUnusable: It cannot be read, holds none, or something else, too.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_KEY_BYTES)
        return tuple(_public(data.decode("ascii", "replace")))
    except OSError as error:
        raise KeyUnusable(f"{str(path)!r} cannot be read: {error.strerror}") from error
    except KeyUnusable as error:
        raise KeyUnusable(f"{str(path)!r} cannot be used: {error}") from error


def _public(text: str) -> Iterator[PublicKey]:
    for der in _blocks(text, _PUBLIC, other=_PRIVATE):
        try:
            key = load_der_public_key(der)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise KeyUnusable("it holds a public key that is damaged") from error
        if not isinstance(key, ed25519.Ed25519PublicKey):
            raise KeyUnusable("it holds a key of another kind than Ed25519")
        yield PublicKey.of(key)


def _blocks(text: str, label: str, *, other: str) -> list[bytes]:
    """What the PEM blocks of a text hold, all of which must be of one kind."""
    blocks = _PEM.findall(text)
    for found, _ in blocks:
        if found == other:
            raise KeyUnusable(
                f"it holds a {other.lower()}, and a {label.lower()} is wanted"
            )
        if found != label:
            raise KeyUnusable(f"it holds {found!r}, and {label!r} is wanted")
    if not blocks:
        raise KeyUnusable(
            f"it holds no {label.lower()} in PEM, as `dioptra-worker evidence keygen`"
            " writes it"
        )
    try:
        return [
            base64.b64decode("".join(body.replace("\\n", "").split()), validate=True)
            for _, body in blocks
        ]
    except binascii.Error as error:
        raise KeyUnusable(f"it holds a {label.lower()} that is damaged") from error
