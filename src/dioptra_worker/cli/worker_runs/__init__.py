"""``dioptra-worker worker-runs``: what made which result."""

from __future__ import annotations

import click

from dioptra_worker.cli.lazy import LazyGroup

_HERE = "dioptra_worker.cli.worker_runs"

COMMANDS = {
    "list": (f"{_HERE}.list_", "list_command", "List worker runs."),
    "show": (f"{_HERE}.show", "show_command", "Show what a worker run is made of."),
    "results": (f"{_HERE}.results", "results_command", "List what it has produced."),
    "delete": (f"{_HERE}.delete", "delete_command", "Delete all its results."),
    "create": (f"{_HERE}.create", "create_command", "Open a personal worker run."),
}
"""Module, command and summary by name."""


@click.command(
    "worker-runs",
    cls=LazyGroup,
    lazy=COMMANDS,
    epilog="""
\b
Examples:
  dioptra-worker worker-runs list --experiment 3
  dioptra-worker worker-runs show 465a8320
  dioptra-worker worker-runs delete 465a8320
""",
)
def worker_runs_group() -> None:
    """See which code, inputs and settings made a result; delete it all.

    A worker run is one combination of experiment, entrypoint version, inputs, swaps and
    configuration. It is found by its id, or by the first 6 characters or more of it.
    """
