"""``dioptra-worker``, the people's command; a subcommand is imported when used."""

from __future__ import annotations

import atexit
import gc

from dioptra_worker.cli.interrupts import quiet_imports
from dioptra_worker.common.garbage import uncollected

with quiet_imports(), uncollected():
    import click

    from dioptra_worker import __version__
    from dioptra_worker.cli import terminal
    from dioptra_worker.cli.lazy import LazyGroup

COMMANDS = {
    "activities": (
        "dioptra_worker.cli.activities",
        "activities_group",
        "See which elements of a batch are done.",
    ),
    "configurations": (
        "dioptra_worker.cli.configurations",
        "configurations_group",
        "Name the values of parameters.",
    ),
    "demo": ("dioptra_worker.cli.demo", "demo_command", "Watch real jobs run."),
    "doctor": (
        "dioptra_worker.cli.doctor",
        "doctor_command",
        "Try out all that the worker needs.",
    ),
    "health": (
        "dioptra_worker.cli.health",
        "health_command",
        "See whether the worker is alive.",
    ),
    "import": (
        "dioptra_worker.cli.import_",
        "import_command",
        "Import plugins and entrypoints.",
    ),
    "init-image": (
        "dioptra_worker.cli.init_image",
        "init_image_command",
        "Begin a container image of your own.",
    ),
    "jobs": ("dioptra_worker.cli.jobs", "jobs_group", "See every job, act on it."),
    "local": ("dioptra_worker.cli.local", "local_group", "Run a local stack."),
    "results": (
        "dioptra_worker.cli.results",
        "results_group",
        "Publish what you have made.",
    ),
    "run": (
        "dioptra_worker.cli.run",
        "run_command",
        "Run an entrypoint here, without a server.",
    ),
    "start": ("dioptra_worker.cli.start", "start", "Run the worker daemon."),
    "validate": (
        "dioptra_worker.cli.validate",
        "validate_command",
        "Check entrypoint files.",
    ),
    "worker-runs": (
        "dioptra_worker.cli.worker_runs",
        "worker_runs_group",
        "See what made a result.",
    ),
}
"""Module, command and summary by name."""


@click.command(
    cls=LazyGroup,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""
\b
Examples:
  dioptra-worker local up
  dioptra-worker start tensorflow-cpu
  dioptra-worker validate entrypoint.yml
""",
)
@click.version_option(__version__, prog_name="dioptra-worker")
def main() -> None:
    """Work with Dioptra jobs: run the worker, check entrypoints, run a local stack."""
    terminal.hide_secrets()
    # At its end Python would look for garbage in all that it has imported.
    atexit.register(gc.freeze)


if __name__ == "__main__":
    main()
