"""``dioptra-worker workers``: who listens where; one module per command."""

from __future__ import annotations

import click

from dioptra_worker.cli.lazy import LazyGroup

COMMANDS = {
    "list": (
        "dioptra_worker.cli.workers.list_",
        "list_command",
        "List workers and their queues.",
    ),
}
"""Module, command and summary by name."""


@click.command(
    "workers",
    cls=LazyGroup,
    lazy=COMMANDS,
    epilog="""
\b
Examples:
  dioptra-worker workers list
  dioptra-worker workers list --queue tensorflow-gpu
""",
)
def workers_group() -> None:
    """See which workers listen on which queues: these, and the platform's own.

    It reads what they write into Redis, whose address RQ_REDIS_URI gives.
    """
