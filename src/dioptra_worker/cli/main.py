"""``dioptra-worker``, the people's command; a subcommand is imported when used."""

from __future__ import annotations

import importlib

import click

from dioptra_worker import __version__

COMMANDS = {
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
    "local": ("dioptra_worker.cli.local", "local_group", "Run a local stack."),
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
}
"""Module, command and summary by name."""


class LazyGroup(click.Group):
    """A group that imports a subcommand only when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The subcommands' names."""
        del ctx
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a subcommand."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, name, _ = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """List the subcommands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry[2]) for name, entry in COMMANDS.items()])


@click.command(
    cls=LazyGroup,
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
