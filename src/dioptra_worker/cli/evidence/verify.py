"""``dioptra-worker evidence verify``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dioptra_worker.cli.evidence.common import key_option, read_keys, sentences
from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.common.text.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dioptra_worker.evidence.keys import PublicKey
    from dioptra_worker.evidence.verification import Comparison, Evidence

_EPILOG = """\b
Examples:
  dioptra-worker evidence verify 42.dsse --key evidence.pub
  dioptra-worker evidence verify 42.dsse --key evidence.pub --artifacts out
  dioptra-worker evidence verify 42.dsse --key old.pub --key new.pub --json

\b
Exit codes:
  0  nothing was changed
  1  something was, which is said, or nobody whose key was given has signed it
  2  a key or the command line is not usable
"""


@click.command("verify", epilog=_EPILOG)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@key_option(required=True)
@click.option(
    "--artifacts",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The run's artifacts, as they lie in its store or as 'dioptra-worker jobs"
    " download' saves them, to be compared, too.",
)
@click.option(
    "--capsule",
    "capsule_file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A capsule of the job, of which all is to be compared, too.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify_command(
    file: Path,
    *,
    key_files: tuple[Path, ...],
    artifacts: Path | None,
    capsule_file: Path | None,
    as_json: bool,
) -> None:
    """Say whether FILE is as it was signed, and the files of DIR as FILE says.

    Nothing is asked of any service.
    """
    from dioptra_worker.evidence import verification
    from dioptra_worker.evidence.errors import NotEvidence

    keys = read_keys(key_files)
    with sentences():
        data = verification.read_file(file)
    changed: tuple[str, ...] = ()
    found = compared = None
    try:
        found = verification.verified(data, keys)
    except NotEvidence as error:
        changed = (f"{file}: {error}",)
    if found is not None and artifacts is not None:
        compared = verification.compare(artifacts, found.subjects)
        changed = compared.changed
    if found is not None and capsule_file is not None:
        changed += _changed_in(capsule_file, data, keys)
    if as_json:
        document = {
            "verified": not changed,
            "changed": changed,
            "keys": [] if found is None else found.signers,
            "sha256": None if found is None else found.digest,
            "compared": 0 if compared is None else compared.compared,
            "unsigned": [] if compared is None else compared.unsigned,
            "unseen": [] if compared is None else compared.unseen,
        }
        click.echo(json.dumps(document, indent=2))
    else:
        _tell(changed, found, compared)
    sys.exit(ExitCode.FAILED if changed else ExitCode.OK)


def _changed_in(file: Path, data: bytes, keys: Sequence[PublicKey]) -> tuple[str, ...]:
    """What of a capsule is not as the evidence has it."""
    from dioptra_worker.evidence.errors import NotEvidence
    from dioptra_worker.tools.capsule.opening import Capsule
    from dioptra_worker.tools.capsule.signed import verified_signers

    with sentences(), Capsule(file) as capsule:
        findings = capsule.findings()
        try:
            verified_signers(capsule, keys, data=data)
        except NotEvidence as error:
            findings.append(f"{file}: {error}")
    return tuple(findings)


def _tell(
    changed: Sequence[str], found: Evidence | None, compared: Comparison | None
) -> None:
    for sentence in changed:
        click.echo(one_line(sentence), err=True)
    if found is None:
        return
    for name in () if compared is None else compared.unseen:
        click.echo(f"{name}: it is not there, and was not compared")
    for name in () if compared is None else compared.unsigned:
        click.echo(f"{one_line(name)}: nothing was signed of it")
    if not changed:
        count = "" if compared is None else f", nor any of {compared.compared} files"
        click.echo(f"verified: what was signed was not changed{count}")
        for key in found.signers:
            click.echo(f"signed by key {key}")
