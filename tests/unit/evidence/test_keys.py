"""Keys as files and variables hold them."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from dioptra_worker.evidence import keys
from dioptra_worker.evidence.errors import KeyUnusable

if TYPE_CHECKING:
    from pathlib import Path


def test_only_its_owner_can_read_a_private_key(tmp_path: Path) -> None:
    """The private file is nobody else's from its first byte on, and both are read."""
    key = keys.generate()
    keys.write(key, tmp_path / "a.key", tmp_path / "a.pub")
    assert (tmp_path / "a.key").stat().st_mode & 0o777 == 0o600
    (private,) = keys.read_private((tmp_path / "a.key").read_text())
    (public,) = keys.read_public(tmp_path / "a.pub")
    assert private.public.id == public.id == key.public.id
    assert public.has_signed(b"words", private.sign(b"words"))
    assert not public.has_signed(b"word", private.sign(b"words"))


@pytest.mark.parametrize("there", ["a.key", "a.pub"])
def test_no_key_is_replaced(tmp_path: Path, there: str) -> None:
    """Neither half is written where either is there already."""
    (tmp_path / there).write_text("old")
    with pytest.raises(KeyUnusable, match="is there already"):
        keys.write(keys.generate(), tmp_path / "a.key", tmp_path / "a.pub")
    assert [path.name for path in tmp_path.iterdir()] == [there]


@pytest.mark.parametrize("ends", ["\n", "\\n", " ", "\r\n"])
def test_a_variable_may_hold_several_keys_in_one_line(ends: str) -> None:
    """Whatever became of the line ends, each key is read, in order."""
    made = [keys.generate(), keys.generate()]
    text = "".join(key.pem() for key in made).replace("\n", ends)
    found = keys.read_private(text)
    assert [key.public.id for key in found] == [key.public.id for key in made]


@pytest.mark.process
def test_openssl_reads_what_we_write(tmp_path: Path) -> None:
    """The id is the digest of what OpenSSL calls the public key."""
    key = keys.generate()
    keys.write(key, tmp_path / "a.key", tmp_path / "a.pub")
    der = subprocess.run(
        ["openssl", "pkey", "-in", tmp_path / "a.key", "-pubout", "-outform", "DER"],
        capture_output=True,
        check=True,
        timeout=30,
    ).stdout
    digest = subprocess.run(
        ["openssl", "dgst", "-sha256", "-r"],
        input=der,
        capture_output=True,
        check=True,
        timeout=30,
    ).stdout
    assert digest.split()[0].decode() == key.public.id


def test_a_key_is_not_shown() -> None:
    """What a log or a traceback makes of a private key tells its id only."""
    key = keys.generate()
    body = key.pem().splitlines()[1]
    assert body not in repr(key)
    assert key.public.id in repr(key)


def test_what_is_no_key_is_said() -> None:
    """The other half, another kind, a damaged one and none have a sentence each."""
    other = ec.generate_private_key(ec.SECP256R1())
    elliptic = other.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    ).decode()
    key = keys.generate()
    damaged = key.pem().replace(key.pem().splitlines()[1][4:12], "AAAAAAAA")
    for text, words in (
        (key.public.pem(), "a public key, and a private key is wanted"),
        (elliptic, "another kind than Ed25519"),
        (damaged, "damaged"),
        ("hello", "no private key in PEM"),
        (key.pem().replace("PRIVATE", "EC PRIVATE"), "'EC PRIVATE KEY'"),
    ):
        with pytest.raises(KeyUnusable, match=words):
            keys.read_private(text)


def test_what_is_no_public_key_is_said_with_its_file(tmp_path: Path) -> None:
    """The same for whoever verifies, with the file's name."""
    file = tmp_path / "a.pub"
    elliptic = ec.generate_private_key(ec.SECP256R1()).public_key()
    for text, words in (
        (keys.generate().pem(), "a private key, and a public key is wanted"),
        (
            elliptic.public_bytes(
                Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
            ).decode(),
            "another kind than Ed25519",
        ),
        ("", "no public key in PEM"),
    ):
        file.write_text(text)
        with pytest.raises(KeyUnusable, match=words) as caught:
            keys.read_public(file)
        assert str(file) in str(caught.value)
