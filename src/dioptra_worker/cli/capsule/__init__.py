"""``dioptra-worker capsule``: one file that holds a job; one module per command."""

from __future__ import annotations

import click

from dioptra_worker.cli.lazy import LazyGroup

_HERE = "dioptra_worker.cli.capsule"

COMMANDS = {
    "show": (f"{_HERE}.show", "show_command", "Show what a capsule holds."),
    "verify": (f"{_HERE}.verify", "verify_command", "Say what was changed, if any."),
    "replay": (f"{_HERE}.replay", "replay_command", "Run it again, and compare."),
    "repeat": (f"{_HERE}.repeat", "repeat_command", "See how far results lie apart."),
    "diff": (f"{_HERE}.diff", "diff_command", "Say what differs between two."),
}
"""Module, command and summary by name."""


@click.command(
    "capsule",
    cls=LazyGroup,
    lazy=COMMANDS,
    epilog="""
\b
Examples:
  dioptra-worker capsule verify 42.crate.zip --key evidence.pub
  dioptra-worker capsule replay 42.crate.zip
  dioptra-worker capsule diff 42.crate.zip 43.crate.zip
""",
)
def capsule_group() -> None:
    """Work with capsules, each of which is a job in one file; no service is needed.

    'dioptra-worker jobs capsule' makes one.
    """
