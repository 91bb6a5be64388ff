"""``dioptra-worker``, the people's command; a subcommand is imported when used."""

from __future__ import annotations

from dioptra_worker.cli.quiet_imports import QuietImports

with QuietImports():
    import atexit
    import gc
    from typing import Any

    from dioptra_worker.common.garbage import uncollected

    with uncollected():
        import click

        from dioptra_worker import __version__
        from dioptra_worker.cli import interrupts, terminal
        from dioptra_worker.cli.lazy import LazyGroup

COMMANDS = {
    "activities": (
        "dioptra_worker.cli.activities",
        "activities_group",
        "See which elements of a batch are done.",
    ),
    "capsule": (
        "dioptra_worker.cli.capsule",
        "capsule_group",
        "Verify, replay and compare jobs in files.",
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
    "evidence": (
        "dioptra_worker.cli.evidence",
        "evidence_group",
        "Verify what a worker has signed.",
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
    "init": (
        "dioptra_worker.cli.init",
        "init_command",
        "Begin a plugin and an entrypoint.",
    ),
    "init-image": (
        "dioptra_worker.cli.init_image",
        "init_image_command",
        "Begin a container image of your own.",
    ),
    "init-override": (
        "dioptra_worker.cli.init_override",
        "init_override_command",
        "Put our images into a deployment.",
    ),
    "jobs": ("dioptra_worker.cli.jobs", "jobs_group", "See every job, act on it."),
    "lineage": (
        "dioptra_worker.cli.lineage",
        "lineage_command",
        "See what a result came from.",
    ),
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
    "sync": (
        "dioptra_worker.cli.sync",
        "sync_command",
        "Declare what plugins have now.",
    ),
    "validate": (
        "dioptra_worker.cli.validate",
        "validate_command",
        "Check entrypoint files.",
    ),
    "workers": (
        "dioptra_worker.cli.workers",
        "workers_group",
        "See who listens where.",
    ),
    "worker-runs": (
        "dioptra_worker.cli.worker_runs",
        "worker_runs_group",
        "See what made a result.",
    ),
}
"""Module, command and summary by name."""


class _Program(LazyGroup):
    """The whole program, from its first word to the end of its process."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Run a command, and end; for the program, which alone is called so."""
        interrupts.end_at_once()
        # At its end Python would look for garbage in all that it has imported.
        atexit.register(gc.freeze)
        return super().__call__(*arguments, **options)

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run a command; secrets are hidden before anything is said, as help is."""
        terminal.hide_secrets()
        return super().main(*arguments, **options)


@click.command(
    cls=_Program,
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


if __name__ == "__main__":
    main()
