"""Printing the demo: with colours and a moving line in a terminal, plain elsewhere."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dioptra_worker.tools.demo import lines
from dioptra_worker.tools.jobs import formatting
from dioptra_worker.tools.local.progress import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dioptra_worker.tools.demo.scenes import Scene
    from dioptra_worker.tools.demo.worker import Worker
    from dioptra_worker.tools.local import LocalStack, Step
    from dioptra_worker.tools.resources import Imported, JobResult

_MARKS = {State.DONE: ("✓", "green"), State.FAILED: ("✗", "red"), State.NOTE: ("·", "")}
_TICK = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_LOG_LINES = 12
_CLEAR = "\r\x1b[2K"


class Show:
    """What the demo tells a person, on standard output."""

    def __init__(self) -> None:
        self._moving = sys.stdout.isatty()

    def chapter(self, title: str) -> None:
        """Begin a new part."""
        click.secho(f"\n{title}", bold=True)

    def step(self, step: Step) -> None:
        """Tell that a part of the local stack is up, or takes a while."""
        if step.state is State.STARTED:
            if step.name.startswith("install"):
                click.echo(f"  … {step.name}: {step.detail}")
            return
        mark, colour = _MARKS[step.state]
        took = "" if step.state is State.NOTE else formatting.seconds(step.seconds)
        click.echo(
            f"  {click.style(mark, fg=colour or None)} {step.name:<24}{took:>8}"
            f"  {click.style(step.detail, dim=True)}"
        )

    def worker(self, worker: Worker) -> None:
        """Tell that the daemon was started."""
        self._done(
            "start the worker", f"{shlex.join(worker.command)} (pid {worker.pid})"
        )

    def imported(self, imported: Imported) -> None:
        """Tell what was imported of one folder."""
        self._done(imported.folder.name, ", ".join(imported.entrypoints))

    def submitted(self, scene: Scene, job_id: int) -> None:
        """Head the part about one job."""
        click.echo()
        click.secho(f"Job {job_id}: {scene.entrypoint}", bold=True, nl=False)
        click.echo(f", {scene.about}")

    @contextmanager
    def waiting(self, scene: Scene, job_id: int) -> Iterator[Callable[[str], None]]:
        """Show a job's status while it runs; a line of its own when it changes."""
        del scene, job_id
        began = time.monotonic()
        last = ""
        turn = 0

        def on_status(status: str) -> None:
            nonlocal last, turn
            turn += 1
            took = formatting.seconds(time.monotonic() - began)
            if self._moving:
                tick = _TICK[turn % len(_TICK)]
                click.echo(f"{_CLEAR}  {tick} {status} {took}", nl=False)
            elif status != last:
                click.echo(f"  … {status}")
            last = status

        try:
            yield on_status
        finally:
            if self._moving:
                click.echo(_CLEAR, nl=False)

    def result(self, scene: Scene, result: JobResult, *, mlflow: str) -> None:
        """Tell what came of a job."""
        click.echo(f"  {_verdict(scene, result)}; {lines.durations(result)}")
        told = result.log[-_LOG_LINES:]
        click.secho(f"  log, last {len(told)} of {len(result.log)} records", dim=True)
        for record in told:
            for line in lines.log_record(record):
                click.echo(_coloured(record.severity, f"    {line}"))
        _table("metrics", formatting.metrics(result.metrics))
        _table("artifacts", lines.artifacts(result.artifacts))
        if result.run_id:
            click.echo(f"  {'MLflow':<11}{formatting.run_page(mlflow, result.run_id)}")

    def summary(
        self, results: Sequence[tuple[Scene, JobResult]], *, seconds: float
    ) -> None:
        """Tell all jobs once more, one a line."""
        self.chapter("In short")
        click.secho(
            f"  {'job':>5}  {'entrypoint':<20}{'status':<10}{'waited':>8}{'ran':>9}",
            dim=True,
        )
        for scene, result in results:
            good = result.job.status == scene.outcome
            status = click.style(f"{result.job.status:<10}", fg=_colour(scene, result))
            note = "" if scene.outcome == "finished" else "  as intended"
            click.echo(
                f"  {result.job.id:>5}  {scene.entrypoint:<20}{status}"
                f"{formatting.maybe(result.waited):>8}{formatting.maybe(result.ran):>9}"
                + (note if good else f"  was to be {scene.outcome}")
            )
        count = sum(r.job.status == s.outcome for s, r in results)
        click.echo(
            f"\n  {count} of {len(results)} jobs ended as intended; the demo took"
            f" {formatting.seconds(seconds)}."
        )

    def ending(self) -> None:
        """Tell that everything goes away now."""
        click.echo(
            "  Everything is taken down again. KEEP=1 make demo leaves it running, with"
            " its MLflow pages."
        )

    def how_to_stop(self, stack: LocalStack, worker: Worker) -> None:
        """Tell where to look at what was left running, and how to end it."""
        local = f"{_program()} local"
        option = f"--dir {shlex.quote(str(stack.directory))}"
        self.chapter("Still running, for you to look at")
        click.echo(f"  MLflow      {stack.service('mlflow').url}")
        click.echo(f"  REST API    {stack.service('api').url}/api/v1/")
        click.echo(f"  worker log  {worker.log}")
        click.echo(f'  shell       eval "$({local} env {option})"')
        click.echo(f"  to stop     kill {worker.pid}; {local} down {option}")

    def _done(self, what: str, detail: str) -> None:
        mark = click.style("✓", fg="green")
        click.echo(f"  {mark} {what:<32}  {click.style(detail, dim=True)}")


def _program() -> str:
    """How to call ``dioptra-worker``: by its path, unless it is on the search path."""
    path = str(Path(sys.executable).with_name("dioptra-worker"))
    found = shutil.which("dioptra-worker")
    return "dioptra-worker" if found == path else shlex.quote(path)


def _verdict(scene: Scene, result: JobResult) -> str:
    status = click.style(result.job.status, fg=_colour(scene, result), bold=True)
    if result.job.status != scene.outcome:
        return f"✗ {status}, but it was to be {scene.outcome}"
    return f"✓ {status}" + (", as intended" if scene.outcome == "failed" else "")


def _colour(scene: Scene, result: JobResult) -> str:
    return "green" if result.job.status == scene.outcome else "red"


def _coloured(severity: str, line: str) -> str:
    colours = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}
    return click.style(line, fg=colours.get(severity))


def _table(title: str, rows: Sequence[tuple[str, str]]) -> None:
    """Print names and values in columns, the title before the first."""
    width = max((len(name) for name, _ in rows), default=0)
    for number, (name, value) in enumerate(rows):
        click.echo(f"  {'' if number else title:<11}{name:<{width}}  {value}")
