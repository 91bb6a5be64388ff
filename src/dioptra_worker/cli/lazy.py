"""Groups of commands that import a command only when it is called."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

import click

from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.cli.interrupts import insisting
from dioptra_worker.common.files.trusted_folder import UntrustedFolder
from dioptra_worker.common.garbage import uncollected

if TYPE_CHECKING:
    from collections.abc import Mapping


class _Untrusted(click.ClickException):
    """A folder cannot be trusted."""

    exit_code = ExitCode.USAGE


class LazyGroup(click.Group):
    """A group whose commands lie in modules of their own.

    Args:
        lazy: Module, command and summary by name.
        options: What `click.Group` takes.
    """

    def __init__(
        self, *, lazy: Mapping[str, tuple[str, str, str]], **options: Any
    ) -> None:
        super().__init__(**options)
        self._lazy = dict(lazy)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; a folder that it cannot trust is no crash but a sentence.

        Ctrl-C is none either, and no failure of what the command does.
        """
        try:
            with insisting():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("\ninterrupted", err=True)
            sys.exit(ExitCode.INTERRUPTED)
        except UntrustedFolder as error:
            raise _Untrusted(str(error)) from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands' names."""
        del ctx
        return sorted(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        del ctx
        if cmd_name not in self._lazy:
            return None
        module, name, _ = self._lazy[cmd_name]
        if module not in sys.modules:
            with uncollected():
                importlib.import_module(module)
        command = getattr(sys.modules[module], name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """List the commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry[2]) for name, entry in self._lazy.items()])
