"""``dioptra-worker evidence keygen``."""

from __future__ import annotations

from pathlib import Path

import click

from dioptra_worker.cli.evidence.common import sentences
from dioptra_worker.cli.exit_codes import ExitCode

_EPILOG = """\b
Examples:
  dioptra-worker evidence keygen
  dioptra-worker evidence keygen --output /etc/dioptra-worker/evidence-2026

\b
Exit codes:
  0  both files are written
  2  one of them is there already, or cannot be written
"""


@click.command("keygen", epilog=_EPILOG)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("evidence"),
    metavar="FILE",
    help="The files' name without '.key' and '.pub'.  [default: evidence]",
)
def keygen_command(output: Path) -> None:
    """Make an Ed25519 key to sign with.

    Whoever can read FILE.key can sign. FILE.pub is for everybody who verifies.
    """
    with sentences(ExitCode.USAGE):
        from dioptra_worker.evidence import keys

        key = keys.generate()
        private = output.with_name(f"{output.name}.key")
        public = output.with_name(f"{output.name}.pub")
        keys.write(key, private, public)
    click.echo(f"wrote {private}: who reads it can sign")
    click.echo(f"wrote {public}: for everybody who verifies")
    click.echo(f"key {key.public.id}")
