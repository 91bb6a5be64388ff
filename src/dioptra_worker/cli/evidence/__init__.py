"""``dioptra-worker evidence``: what a worker has signed; one module per command."""

from __future__ import annotations

import click

from dioptra_worker.cli.lazy import LazyGroup

_HERE = "dioptra_worker.cli.evidence"

COMMANDS = {
    "keygen": (f"{_HERE}.keygen", "keygen_command", "Make a key to sign with."),
    "show": (f"{_HERE}.show", "show_command", "Show what evidence says."),
    "verify": (
        f"{_HERE}.verify",
        "verify_command",
        "Say what was changed, if any.",
    ),
}
"""Module, command and summary by name."""


@click.command(
    "evidence",
    cls=LazyGroup,
    lazy=COMMANDS,
    epilog="""
\b
Examples:
  dioptra-worker evidence keygen
  dioptra-worker evidence show 42.dsse
  dioptra-worker evidence verify 42.dsse --key evidence.pub
""",
)
def evidence_group() -> None:
    """Verify what was signed of a job, as DSSE envelopes; no network is needed."""
