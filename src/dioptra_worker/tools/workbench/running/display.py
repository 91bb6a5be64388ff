"""What a person sees of a run while it runs, and of what came of it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dioptra_worker.common.text.humanize import duration, precise_duration
from dioptra_worker.common.text.printable import (
    harmless,
    one_line,
    record_lines,
    spelt_out,
)
from dioptra_worker.protocol.messages import Log, Metric, StepEnded, StepStarted
from dioptra_worker.tools.workbench.errors import InvalidEntrypoint
from dioptra_worker.tools.workbench.running.results import as_path

if TYPE_CHECKING:
    from dioptra_worker.errors import WorkerError
    from dioptra_worker.protocol.messages import Message, OutputStream
    from dioptra_worker.tools.resources.findings import Finding
    from dioptra_worker.tools.workbench.planning.run_plan import RunPlan
    from dioptra_worker.tools.workbench.running.results import Result

_INDENT = " " * 6
_COLORS = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}
_OURS = "dioptra_worker."
"""Begins the loggers whose news the display tells itself, unless they are bad."""


class Display:
    """Prints steps, log lines and metrics as they come."""

    def __init__(self) -> None:
        self._place = ""

    def message(self, message: Message) -> None:
        """Show a message from the runner."""
        match message:
            case StepStarted(step=step, task=task, index=index, total=total):
                self._place = f"[{index}/{total}] {one_line(step)}"
                click.secho(f"{self._place}: {one_line(task)}", bold=True)
            case StepEnded(seconds=seconds):
                click.echo(f"{self._place} took {precise_duration(seconds)}")
            case Metric(name=name, value=value, step=step):
                at = "" if step is None else f" (step {step})"
                click.echo(f"{_INDENT}metric {one_line(name)} = {_number(value)}{at}")
            case Log(severity=severity, logger=logger, message=text):
                if severity in _COLORS or not logger.startswith(_OURS):
                    self._log(severity, text)
            case _:
                return

    def refused(self, words: str) -> None:
        """Show why a message is ignored."""
        self._log("WARNING", words)

    def line(self, stream: OutputStream, text: str) -> None:
        """Show a line that the job wrote."""
        click.echo(_indented(text), err=stream == "stderr")

    def _log(self, severity: str, text: str) -> None:
        color = _COLORS.get(severity)
        head = f"{severity}: " if color else ""
        click.secho(_indented(head + text), fg=color)


class Reporter:
    """Prints what happens around runs.

    Args:
        store: The folder that keeps them; None for an MLflow server.
    """

    def __init__(self, store: Path | None) -> None:
        self._store = store

    def opening(self, run_plan: RunPlan) -> None:
        """A run begins."""
        for finding in run_plan.warnings:
            click.secho(_shown(finding), fg="yellow")
        given = (f"{name}={value!r}" for name, value in run_plan.parameters.items())
        click.echo(f"{run_plan.entrypoint.name}: {', '.join(given) or 'no parameters'}")

    def closing(self, result: Result) -> None:
        """A run has ended."""
        click.echo()
        *lines, last = summary(result, store=self._store).splitlines()
        for line in lines:
            click.echo(line)
        click.secho(last, fg="green" if result.finished else "red")

    def problem(self, error: WorkerError) -> None:
        """Nothing can be run as it is."""
        if not isinstance(error, InvalidEntrypoint):
            click.secho(record_lines(str(error)), fg="red", err=True)
            return
        for finding in error.findings:
            color = "red" if finding.refuses else "yellow"
            click.secho(_shown(finding), fg=color, err=True)

    def changed(self, files: list[str]) -> None:
        """Files have changed, so it is run again."""
        click.secho(f"changed: {', '.join(files)}\n", fg="cyan")

    def waiting(self) -> None:
        """Nothing runs until a file changes."""
        click.secho("waiting for a change (Ctrl-C ends)", fg="cyan")


def _shown(finding: Finding) -> str:
    return spelt_out(str(replace(finding, file=Path(short(finding.file)))))


def summary(result: Result, *, store: Path | None) -> str:
    """What came of a run, in a few lines.

    Args:
        result: What came of it.
        store: The folder that keeps the run, None for an MLflow server.
    """
    metrics = [
        (one_line(name), _number(one.value)) for name, one in result.metrics.items()
    ]
    artifacts = [
        (one_line(name), one_line(_place(uri)))
        for name, uri in result.artifacts.items()
    ]
    lines = [*_rows("metrics", metrics), *_rows("artifacts", artifacts)]
    if result.run_id is not None:
        run = result.run_id if store is None else short(store / "0" / result.run_id)
        lines.append(f"{'run':<11}{run}")
    took = duration(result.seconds)
    if result.finished:
        lines.append(f"finished after {took}")
    else:
        lines.append(f"failed after {took}: {spelt_out(result.reason)}")
    return "\n".join(lines)


def record(
    run_plan: RunPlan, result: Result, *, store: Path | None
) -> dict[str, object]:
    """What came of a run, as JSON has it."""
    return {
        "entrypoint": result.entrypoint,
        "status": result.status,
        "reason": result.reason,
        "seconds": round(result.seconds, 3),
        "parameters": dict(run_plan.parameters),
        "steps": [
            {"name": step.name, "task": step.task, "seconds": step.seconds}
            for step in result.steps
        ],
        "metrics": {
            name: {"value": _jsonable(metric.value), "step": metric.step}
            for name, metric in result.metrics.items()
        },
        "artifacts": dict(result.artifacts),
        "run": result.run_id,
        "store": None if store is None else str(store),
        "warnings": [one.issue.message for one in run_plan.warnings],
        "log": [
            {"severity": line.severity, "logger": line.logger, "message": line.message}
            for line in result.lines
        ],
    }


def _rows(kind: str, pairs: list[tuple[str, str]]) -> list[str]:
    """Names and values in columns, with what they are before the first."""
    width = max((len(name) for name, _ in pairs), default=0)
    heads = [kind, *[""] * len(pairs)]
    return [
        f"{head:<11}{name:<{width}}  {value}"
        for head, (name, value) in zip(heads, pairs, strict=False)
    ]


def _number(value: float | str) -> str:
    return one_line(value) if isinstance(value, str) else f"{value:.6g}"


def _jsonable(value: float) -> float | str:
    """JSON knows neither NaN nor the infinities."""
    return value if value == value and abs(value) != float("inf") else str(value)


def _place(uri: str) -> str:
    try:
        return short(as_path(uri))
    except ValueError:
        return uri


def short(path: Path) -> str:
    """A path as one would type it from here."""
    relative = os.path.relpath(path)
    return relative if not relative.startswith("..") else str(path)


def _indented(text: str) -> str:
    return "\n".join(f"{_INDENT}{line}" for line in harmless(text).split("\n"))
