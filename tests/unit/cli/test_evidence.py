"""``dioptra-worker evidence``."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from dioptra_worker.cli.main import main
from dioptra_worker.evidence import envelope, keys
from dioptra_worker.evidence.predicates import KINDS
from dioptra_worker.evidence.statements import Statement

if TYPE_CHECKING:
    from pathlib import Path


def invoke(*arguments: object) -> Result:
    """Call the command."""
    return CliRunner().invoke(main, ["evidence", *map(str, arguments)])


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    """A folder with a key, evidence, and a folder with what it is about."""
    assert invoke("keygen", "-o", tmp_path / "evidence").exit_code == 0
    (tmp_path / "files").mkdir()
    (tmp_path / "files/notes.txt").write_text("ah")
    (key,) = keys.read_private((tmp_path / "evidence.key").read_text())
    subjects = {"notes.txt": hashlib.sha256(b"ah").hexdigest()}
    made = [
        envelope.signed(Statement(subjects, kind, {"accuracy": 0.5}).payload(), [key])
        for kind in KINDS
    ]
    (tmp_path / "1.dsse").write_bytes(envelope.write(made))
    return tmp_path


def test_what_was_not_changed_is_verified(folder: Path) -> None:
    """The exit code is 0; the key and the number of files are told."""
    options = ("--key", folder / "evidence.pub", "--artifacts", folder / "files")
    result = invoke("verify", folder / "1.dsse", *options)
    assert result.exit_code == 0
    assert result.output.startswith(
        "verified: what was signed was not changed, nor any of 1 files\nsigned by key "
    )
    (folder / "files/more.txt").write_text("more")
    document = json.loads(
        invoke("verify", folder / "1.dsse", *options, "--json").output
    )
    assert (document["verified"], document["unsigned"]) == (True, ["more.txt"])


def test_what_was_changed_is_named(folder: Path) -> None:
    """The exit code is 1, whether a file was changed or the evidence."""
    options = ("--key", folder / "evidence.pub", "--artifacts", folder / "files")
    (folder / "files/notes.txt").write_text("oh")
    result = invoke("verify", folder / "1.dsse", *options)
    assert result.exit_code == 1
    assert result.output.startswith("notes.txt: it was changed: its SHA-256 is ")
    data = (folder / "1.dsse").read_bytes()
    (folder / "1.dsse").write_bytes(data.replace(b'"sig":"', b'"sig":"A'))
    result = invoke("verify", folder / "1.dsse", *options, "--json")
    assert result.exit_code == 1
    assert json.loads(result.output)["changed"] == [
        f"{folder / '1.dsse'}: a signature is not in base64"
    ]


def test_what_is_no_key_is_a_usage_error(folder: Path) -> None:
    """A private key where a public one belongs is said, and nothing is verified."""
    result = invoke("verify", folder / "1.dsse", "--key", folder / "evidence.key")
    assert result.exit_code == 2
    assert "it holds a private key, and a public key is wanted" in result.output


def test_a_key_is_not_replaced(folder: Path) -> None:
    """Keys that are there stay, and the exit code is 2."""
    before = (folder / "evidence.key").read_text()
    result = invoke("keygen", "-o", folder / "evidence")
    assert result.exit_code == 2
    assert (folder / "evidence.key").read_text() == before
    assert (folder / "evidence.key").read_text() not in result.output


def test_what_evidence_says_is_shown(folder: Path) -> None:
    """Its files and predicates, and that nothing was verified."""
    result = invoke("show", folder / "1.dsse")
    assert result.exit_code == 0
    assert "not verified" in result.output
    assert '"accuracy": 0.5' in result.output
    document = json.loads(invoke("show", folder / "1.dsse", "--json").output)
    assert document["statements"][0]["predicate"] == {"accuracy": 0.5}
