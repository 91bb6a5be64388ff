"""``dioptra-worker jobs logs``."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.cli.jobs.common import (
    CommandContext,
    command,
    epilog,
    job_id,
    tell_waiting,
)
from dioptra_worker.cli.jobs.styles import SEVERITY_COLOURS
from dioptra_worker.common.text.printable import one_line
from dioptra_worker.engine.wording import listing
from dioptra_worker.tools.jobs.formatting import log_record
from dioptra_worker.tools.jobs.job_log import SEVERITIES
from dioptra_worker.tools.resources.errors import Unknown

if TYPE_CHECKING:
    from dioptra_worker.tools.jobs.job_log import Entry

_CODES = """\b
Exit codes:
  0  the log was printed; with --follow, and the job finished
  1  with --follow: the job failed; or there is no such job or step, or no
     answer
  2  the command line or the environment is not usable
  3  the API refused the login
"""


@click.command(
    "logs",
    epilog=epilog(
        "dioptra-worker jobs logs 17",
        "dioptra-worker jobs logs --follow 17",
        "dioptra-worker jobs logs --severity warning --step train 17",
        "dioptra-worker jobs logs --json 17 | jq -r .text",
        codes=_CODES,
    ),
)
@job_id
@click.option(
    "--follow",
    "-f",
    is_flag=True,
    help="Print what comes, too, until the job has ended; an API that is away is"
    " waited for.",
)
@click.option(
    "--severity",
    type=click.Choice(SEVERITIES, case_sensitive=False),
    default="DEBUG",
    help="The least severe records to print.  [default: all of them]",
)
@click.option("--step", metavar="NAME", help="Only what one step of the job wrote.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print a JSON object for each record."
)
@command
def logs_command(
    context: CommandContext,
    *,
    job_id: int,
    follow: bool,
    severity: str,
    step: str | None,
    as_json: bool,
) -> None:
    """Print a job's log, divided by its steps.

    While a job that is followed waits in its queue, the reason is told beside the log:
    since when, behind how many others, and who listens there.

    Times are in UTC. Control characters and colours in the log are taken out or spelt
    out, so that no job can do anything to a terminal; JSON has the log as it is.
    """
    from dioptra_worker.tools.jobs import log_follow as following

    printer = LogPrinter(severity=severity, step=step, as_json=as_json)
    if not follow:
        for entry in following.read(context.client, job_id):
            printer.print(entry)
        printer.check_step(job_id)
        return
    ends: list[str] = []
    for entry in following.follow(
        context.client,
        job_id,
        on_wait=tell_waiting,
        on_end=ends.append,
        on_look=context.watch_waiting().look,
    ):
        printer.print(entry)
    printer.check_step(job_id)
    if ends != ["finished"]:
        raise click.exceptions.Exit(ExitCode.FAILED)


@dataclass
class LogPrinter:
    """Prints records, with a headline where a section of the log begins.

    Attributes:
        severity: The least severe records to print.
        step: Print only what this step wrote; None is all.
        as_json: Print JSON objects instead.
        section: The section of the last record.
        steps: The steps that were seen.
    """

    severity: str = "DEBUG"
    step: str | None = None
    as_json: bool = False
    section: int = field(default=-1)
    steps: dict[str, None] = field(default_factory=dict)

    def print(self, entry: Entry) -> None:
        """Print a record, if it is wanted."""
        if entry.section.step is not None:
            self.steps[entry.section.step] = None
        if not entry.is_at_least(self.severity):
            return
        if self.step is not None and entry.section.step != self.step:
            return
        if self.as_json:
            click.echo(json.dumps(entry.dump()))
            return
        if entry.section.number != self.section:
            self.section = entry.section.number
            click.secho(f"== {one_line(entry.section.title)}", bold=True)
        head, text = log_record(entry)
        click.secho(head, dim=True, nl=False)
        click.secho(text, fg=SEVERITY_COLOURS.get(entry.severity))

    def check_step(self, job_id: int) -> None:
        """Say so when the log has no such step as is wanted.

        Raises:
            Unknown: It has not.
        """
        if self.step is None or self.step in self.steps:
            return
        there = listing(list(self.steps)) or "none"
        raise Unknown(
            f"the log of job {job_id} has no step {self.step!r}: it has {there}"
        )
