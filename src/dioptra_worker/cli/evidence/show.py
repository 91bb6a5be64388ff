"""``dioptra-worker evidence show``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from dioptra_worker.cli.evidence.common import sentences
from dioptra_worker.common.text.printable import one_line, spelt_out

_EPILOG = """\b
Examples:
  dioptra-worker evidence show 42.dsse
  dioptra-worker evidence show 42.dsse --json | jq '.statements[].predicate'

\b
Exit codes:
  0  it was shown, which does not mean that it is true
  1  it is no evidence
"""


@click.command("show", epilog=_EPILOG)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show_command(file: Path, *, as_json: bool) -> None:
    """Show what FILE says, without verifying it."""
    from dioptra_worker.evidence import verification

    with sentences():
        found = verification.unverified(verification.read_file(file))
    if as_json:
        document = {
            "sha256": found.digest,
            "keys": list(found.signers),
            "subjects": found.subjects,
            "statements": [
                {"predicateType": one.kind, "predicate": one.predicate}
                for one in found.statements
            ],
        }
        click.echo(json.dumps(document, indent=2))
        return
    click.echo(f"evidence {found.digest}, not verified")
    for key in found.signers:
        click.echo(f"said to be signed by key {one_line(key)}")
    for name, digest in sorted(found.subjects.items()):
        click.echo(f"  {digest}  {one_line(name)}")
    for statement in found.statements:
        click.echo(one_line(statement.kind))
        text = json.dumps(statement.predicate, indent=2, ensure_ascii=False)
        for line in text.splitlines():
            click.echo(f"  {spelt_out(line)}")
