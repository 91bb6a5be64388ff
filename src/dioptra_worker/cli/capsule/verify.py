"""``dioptra-worker capsule verify``."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from dioptra_worker.cli.capsule.common import capsule_file
from dioptra_worker.cli.evidence.common import key_option, read_keys, sentences
from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.common.text.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dioptra_worker.evidence.keys import PublicKey
    from dioptra_worker.tools.capsule.opening import Capsule

_EPILOG = """\b
Examples:
  dioptra-worker capsule verify 42.crate.zip
  dioptra-worker capsule verify 42.crate.zip --key evidence.pub

\b
Exit codes:
  0  nothing was changed and nothing is missing
  1  something was or is, which is said, or it is not signed with a given key
  2  a key or the command line is not usable
"""


@click.command("verify", epilog=_EPILOG)
@capsule_file
@key_option(required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify_command(file: Path, *, key_files: tuple[Path, ...], as_json: bool) -> None:
    """Say whether anything in the capsule FILE was changed, or is missing.

    Without --key that holds against accidents: whoever makes a capsule can make another
    one. With it, the worker's signature of all of it is verified.
    """
    from dioptra_worker.tools.capsule.opening import Capsule

    keys = read_keys(key_files)
    with sentences(), Capsule(file) as capsule:
        findings, signers = _findings(capsule, keys)
        uncovered = [] if findings else capsule.uncovered()
        if as_json:
            document = {
                "verified": not findings,
                "changed": findings,
                "uncovered": uncovered,
                "keys": signers,
                "omitted": sorted(capsule.omitted),
                "sha256": capsule.digest,
                "ancestors": capsule.ancestors,
                "missing_ancestors": capsule.missing_ancestors,
            }
            click.echo(json.dumps(document, indent=2))
        else:
            for sentence in findings:
                click.echo(one_line(sentence), err=True)
            for name in sorted(capsule.omitted):
                click.echo(f"{one_line(name)}: it was left out")
            for sentence in uncovered:
                click.echo(f"not covered: {one_line(sentence)}")
            for job, why in capsule.missing_ancestors.items():
                words = f"job {job}, which it came from, is not in it: {why}"
                click.echo(one_line(words))
            if not findings:
                for path in capsule.ancestors:
                    click.echo(f"{one_line(path)}: verified, too")
                click.echo("verified: nothing was changed, and nothing is missing")
            for key in signers:
                click.echo(f"signed by key {key}")
            if not signers:
                click.echo("no signature was verified", err=True)
    sys.exit(ExitCode.FAILED if findings else ExitCode.OK)


def _findings(capsule: Capsule, keys: list[PublicKey]) -> tuple[list[str], list[str]]:
    """What was changed, and which keys have signed it."""
    from dioptra_worker.evidence.errors import EvidenceError
    from dioptra_worker.tools.capsule.signed import verified_signers

    findings = capsule.findings()
    signers: list[str] = []
    if keys:
        try:
            signers = list(verified_signers(capsule, keys))
        except EvidenceError as error:
            findings.append(str(error))
        findings += _unsigned_ancestors(capsule, keys)
    return findings, signers


def _unsigned_ancestors(capsule: Capsule, keys: list[PublicKey]) -> Iterator[str]:
    """A sentence for each capsule in it that none of the keys has signed."""
    from dioptra_worker.evidence.errors import EvidenceError
    from dioptra_worker.tools.capsule.errors import BadCapsule
    from dioptra_worker.tools.capsule.signed import verified_signers

    for path in capsule.ancestors:
        try:
            with capsule.ancestor(path) as ancestor:
                verified_signers(ancestor, keys)
        except EvidenceError as error:
            # Not by where it was unpacked to.
            yield f"{path}: {str(error).replace(str(ancestor.archive.path), 'it')}"
        except BadCapsule:
            continue  # which was told already
