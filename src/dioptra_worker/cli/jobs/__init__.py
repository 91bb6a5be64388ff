"""``dioptra-worker jobs``: every job, its log, its fate; one module per command."""

from __future__ import annotations

import click

from dioptra_worker.cli.lazy import LazyGroup

_HERE = "dioptra_worker.cli.jobs"

COMMANDS = {
    "list": (f"{_HERE}.list_", "list_command", "List jobs, the newest first."),
    "show": (f"{_HERE}.show", "show_command", "Show all of one job but its log."),
    "logs": (f"{_HERE}.logs", "logs_command", "Print a job's log, or follow it."),
    "download": (f"{_HERE}.download", "download_command", "Save a job's artifacts."),
    "verify": (f"{_HERE}.verify", "verify_command", "Ask whether all has arrived."),
    "capsule": (f"{_HERE}.capsule", "capsule_command", "Put a job into one file."),
    "diff": (f"{_HERE}.diff", "diff_command", "Say what differs between two jobs."),
    "wait": (f"{_HERE}.wait", "wait_command", "Wait until a job has ended."),
    "submit": (f"{_HERE}.submit", "submit_command", "Submit a job."),
    "rerun": (f"{_HERE}.rerun", "rerun_command", "Submit a job once more."),
    "repeat": (f"{_HERE}.repeat", "repeat_command", "See how far results lie apart."),
    "cancel": (f"{_HERE}.cancel", "cancel_command", "End a job."),
    "requeue": (f"{_HERE}.requeue", "requeue_command", "Have a lost job run again."),
    "delete": (f"{_HERE}.delete", "delete_command", "Delete a job that has ended."),
    "serve": (f"{_HERE}.serve", "serve_command", "Show jobs on a page."),
}
"""Module, command and summary by name."""


@click.command(
    "jobs",
    cls=LazyGroup,
    lazy=COMMANDS,
    epilog="""
\b
Examples:
  dioptra-worker jobs list --status failed
  dioptra-worker jobs show 17
  dioptra-worker jobs logs --follow 17
""",
)
def jobs_group() -> None:
    """See every job, its log and its fate, and act on it.

    It works with the REST API as the user that DIOPTRA_USERNAME names, or else as the
    worker's user.
    """
