"""Groups of commands that import a command only when it is called."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.cli.interrupts import heard
from dioptra_worker.common.files.trusted_folder import UntrustedFolder
from dioptra_worker.common.garbage import uncollected

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class UnusablePlace(click.ClickException):
    """A file or folder cannot be used: it is closed, full, or in the way.

    Args:
        error: What the system said.
        way_out: What to do about it, as a sentence.
    """

    exit_code = ExitCode.USAGE

    def __init__(self, error: OSError, way_out: str = "") -> None:
        reason = (error.strerror or str(error)).rstrip(".")
        place = os.fsdecode(error.filename)
        super().__init__(f"{place!r} cannot be used: {reason}. {way_out}".rstrip())


class _Untrusted(click.ClickException):
    """A folder cannot be trusted."""

    exit_code = ExitCode.USAGE


def _end_interrupted(error: BaseException | None) -> NoReturn:
    """End as an interrupt does, whatever has become of it, and say so once."""
    if not isinstance(error, SystemExit) or error.code != ExitCode.INTERRUPTED:
        click.echo("\ninterrupted", err=True)
    sys.exit(ExitCode.INTERRUPTED)


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
        """Run a command; a place that it cannot use or trust is a sentence, no crash.

        Ctrl-C is none either, and no failure of what the command does.
        """
        with heard() as interrupts:
            try:
                result = self._invoke(ctx)
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt) or interrupts.pressed:
                    _end_interrupted(error)
                raise
            if interrupts.pressed:  # also if somebody has ended orderly by it
                _end_interrupted(None)
            return result

    def _invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UntrustedFolder as error:
            raise _Untrusted(str(error)) from error
        except OSError as error:
            if not isinstance(error.filename, str | bytes):
                raise  # a connection, a pipe that nobody reads: not about a place
            raise UnusablePlace(error) from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands' names."""
        del ctx
        return sorted(self._lazy)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; of one that is not there, say which was probably meant.

        click does so for commands that are imported, and of ours none is by then.
        """
        name = args[0]
        is_name = name not in self._lazy and not name.startswith("-")
        if is_name and not ctx.resilient_parsing:
            from dioptra_worker.engine.wording import listing, suggestion

            inside = [f"{group} {name}" for group in self._groups_with(ctx, name)]
            meant = f" Did you mean {listing(inside, 'or')}?" if inside else ""
            ctx.fail(
                f"No such command {name!r}.{meant or suggestion(name, self._lazy)}"
            )
        return super().resolve_command(ctx, args)

    def _groups_with(self, ctx: click.Context, name: str) -> Iterator[str]:
        """The groups among the commands that have a command of a name."""
        for group, (_, variable, _) in sorted(self._lazy.items()):
            if variable.endswith("_group"):  # the others need not be imported
                found = self.get_command(ctx, group)
                if isinstance(found, click.Group) and name in found.list_commands(ctx):
                    yield group

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
