"""``dioptra-worker jobs show``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from dioptra_worker.cli.jobs.common import (
    CommandContext,
    as_json,
    command,
    epilog,
    job_id,
    now,
    print_json,
)
from dioptra_worker.cli.jobs.styles import COLOURS, MARKS
from dioptra_worker.common.text.humanize import coarse_duration
from dioptra_worker.common.text.printable import one_line
from dioptra_worker.tools.jobs.formatting import extent, maybe, metrics

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from dioptra_worker.tools.jobs.details import Details

_WIDTH = 12


@click.command(
    "show",
    epilog=epilog(
        "dioptra-worker jobs show 17",
        "dioptra-worker jobs show --json 17 | jq -r '.artifacts[].uri'",
    ),
)
@job_id
@as_json
@command
def show_command(context: CommandContext, *, job_id: int, as_json: bool) -> None:
    """Show all of one job but its log.

    Why it has failed or waits, its status and times, its timeline, its worker run, what
    it was given, what it has made, and its page in MLflow if MLFLOW_TRACKING_URI is
    set, with its receipt: whether all that it sent has arrived. Times are in UTC.
    """
    from dioptra_worker.tools.jobs.details import dump_details, read_details
    from dioptra_worker.tools.jobs.waiting import WaitingReader
    from dioptra_worker.tools.jobs.worker_run import data_parameters
    from dioptra_worker.tools.lineage.receipts import receipt_reader

    details = read_details(
        context.api,
        context.client,
        job_id,
        mlflow=context.mlflow,
        data_parameters=data_parameters(context.environment),
        receipt_of=receipt_reader(context.environment),
    )
    job = details.job
    parked = None if job.has_ended else context.parked_jobs().of(job)
    waiting = WaitingReader(context.environment).read(job)
    if as_json:
        print_json(dump_details(details, now(), parked))
        return
    mark = click.style(
        f"{MARKS.get(job.status, '')} {job.status}",
        fg=COLOURS.get(job.status),
        bold=True,
    )
    click.secho(f"Job {job.id}: {one_line(job.name)}  ", bold=True, nl=False)
    click.echo(mark)
    if details.reason:
        click.echo(click.style(f"  {'failed':<{_WIDTH}}", dim=True), nl=False)
        click.secho(one_line(details.reason), fg=COLOURS.get(job.status))
    if waiting is not None and parked is None:
        _print_part("waits", [one_line(waiting.sentence(now()))])
    if parked is not None:
        from dioptra_worker.tools.jobs.parked import parked_lines

        _print_part("parked", [one_line(line) for line in parked_lines(parked)])
    print_parts(details)


def print_parts(details: Details, *, only: Collection[str] | None = None) -> None:
    """Print what there is to tell of a job, each part with its title; *only* some."""
    for title, lines in _parts(details):
        if only is not None and title not in only:
            continue
        _print_part(title, lines)


def _print_part(title: str, lines: list[str]) -> None:
    for number, line in enumerate(lines):
        head = f"  {'' if number else title:<{_WIDTH}}"
        click.echo(click.style(head, dim=True) + line)


def _parts(details: Details) -> Iterator[tuple[str, list[str]]]:
    """Titles, and what is told under each."""
    listed, job = details.listed, details.job
    time = now()
    if job.description:
        yield "about", [one_line(job.description)]
    yield "type", [listed.job_type]
    yield "user", [one_line(job.user)]
    yield "experiment", [f"{one_line(job.experiment)} (id {job.experiment_id})"]
    yield (
        "entrypoint",
        [f"id {job.entrypoint_id}, snapshot {details.snapshot_id}"],
    )
    if details.worker_run is not None:
        yield "worker run", [details.worker_run.id]
    yield "queue", [f"{one_line(job.queue)}, at most {details.timeout}"]
    yield "submitted", [f"{coarse_duration(listed.age(time))} ago"]
    yield "waited", [maybe(listed.timeline.waited)]
    yield "took", [maybe(listed.took(time))]
    yield (
        "timeline",
        [
            f"{change.at:%Y-%m-%d %H:%M:%S.%f}"[:-3] + f"  {change.status}"
            for change in listed.timeline.changes
        ],
    )
    yield (
        "parameters",
        [
            f"{one_line(name)} = {one_line(json.dumps(value, ensure_ascii=False))}"
            for name, value in details.parameters.items()
        ],
    )
    yield (
        "swaps",
        [f"{one_line(k)} = {one_line(v)}" for k, v in details.swaps.items()],
    )
    yield (
        "inputs",
        [f"{item.name} = artifact {item.artifact_id}" for item in details.inputs],
    )
    yield (
        "metrics",
        [f"{one_line(name)} = {value}" for name, value in metrics(details.metrics)],
    )
    yield (
        "artifacts",
        [
            f"{item.id}  {one_line(item.file_name)}  {extent(item)}"
            f"  {one_line(item.uri)}"
            for item in details.artifacts
        ],
    )
    run = details.run_page or details.run_id
    yield "MLflow", [run] if run else []
    yield "receipt", [one_line(details.receipt)] if details.receipt else []
    yield "log", [f"dioptra-worker jobs logs {job.id}"]
    if details.artifacts:
        yield "files", [f"dioptra-worker jobs download {job.id}"]
