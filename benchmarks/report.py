"""What a person sees while the benchmarks run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from benchmarks import words
from dioptra_worker.tools.local import State

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.results import Result
    from benchmarks.run import Failure
    from benchmarks.scenario import Scenario
    from dioptra_worker.tools.local import Step

_CLEAR = "\r\x1b[2K"


class Report:
    """Tells a person; in a terminal, progress is one moving line."""

    def __init__(self) -> None:
        self._moving = sys.stderr.isatty()

    def step(self, step: Step) -> None:
        """Tell that a part of the local stack is up, or takes a while."""
        if step.state is State.STARTED and step.name.startswith("install"):
            click.echo(f"  … {step.name}: {step.detail}", err=True)
        elif step.state is State.DONE:
            click.echo(f"  {step.name}, {step.seconds:.1f} s", err=True)

    def begin(self, scenario: Scenario) -> None:
        """Head a scenario."""
        self._clear()
        click.secho(f"\n{scenario.title}", bold=True)
        click.echo(scenario.question)

    def progress(self, what: str) -> None:
        """Tell what is being measured."""
        if self._moving:
            click.echo(f"{_CLEAR}  {what} ...", nl=False, err=True)
        else:
            click.echo(f"  {what} ...", err=True)

    def failed(self, scenario: Scenario, error: Exception) -> None:
        """Tell why a scenario has no result."""
        self._clear()
        self._say_failed(scenario.name, error)

    def end(self, failures: Sequence[Failure]) -> None:
        """Say once more what has no result: of much output, people see the end."""
        for failure in failures:
            self._say_failed(failure.scenario, failure.error)

    def _say_failed(self, scenario: str, error: Exception) -> None:
        click.secho(f"  {scenario} could not be measured: {error}", fg="red", err=True)

    def measured(self, result: Result, path: Path) -> None:
        """Show what was measured."""
        self._clear()
        columns = words.columns(result)
        _grid([["", *columns], *words.rows(result, columns)])
        for target in result.targets:
            reached, sentence = words.verdict(result, target)
            colour = {True: "green", False: "red", None: None}[reached]
            click.secho(f"  {sentence}", fg=colour)
        for table in result.tables:
            click.echo(f"\n  {table.title}:")
            _grid([table.columns, *table.rows])
        for note in result.notes:
            click.echo(f"  {note}")
        click.echo(f"  → {path}")

    def _clear(self) -> None:
        if self._moving:
            click.echo(_CLEAR, nl=False, err=True)


def _grid(rows: list[list[str]]) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        first, *rest = row
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(w) for cell, w in zip(rest, widths[1:], strict=True)]
        click.echo("  " + "  ".join(cells).rstrip())
