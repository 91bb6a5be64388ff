"""``dioptra-worker doctor``: tries out all that a worker needs."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.common.text.printable import spelt_out

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dioptra_worker.tools.doctor import Result

_MARKS = {"ok": "✓", "warn": "!", "fail": "✗"}
_WIDTH = 18

_EPILOG = """\b
Examples:
  dioptra-worker doctor
  dioptra-worker doctor tensorflow-gpu
  dioptra-worker doctor --json | jq '.checks[] | select(.fix != "")'
  dioptra-worker doctor --deep --timeout 30 tensorflow-cpu
  docker run --rm --entrypoint dioptra-worker my-image doctor --image

\b
Exit codes:
  0  a worker can work here; there may be warnings
  1  something is wrong that keeps it from working
  2  the command line is wrong
"""


@click.command("doctor", epilog=_EPILOG)
@click.argument("queues", nargs=-1, metavar="[QUEUE]...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long each check may take.",
)
@click.option(
    "--deep",
    is_flag=True,
    help="Also start what hands out job processes, which takes seconds.",
)
@click.option(
    "--image",
    is_flag=True,
    help="Ask no service and need no settings: only see whether a worker could run"
    " in this image or environment. It implies --deep.",
)
@click.pass_context
def doctor_command(
    context: click.Context,
    queues: tuple[str, ...],
    *,
    as_json: bool,
    timeout: float,
    deep: bool,
    image: bool,
) -> None:
    """Try out all that a worker for the QUEUEs needs, and say how to mend it.

    With the worker's own environment, it reads the settings, logs in to the REST API,
    moves an entry through Redis, makes a run in MLflow, puts a file into the artifact
    store, and removes what it made. The checks run side by side.
    """
    results = _results(queues, timeout=timeout, deep=deep or image, image=image)
    shown = list(results) if as_json else _print(results)
    failed = any(result.status == "fail" for result in shown)
    if as_json:
        checks = [asdict(result) for result in shown]
        click.echo(json.dumps({"ok": not failed, "checks": checks}, indent=2))
    context.exit(ExitCode.FAILED if failed else ExitCode.OK)


def _results(
    queues: Sequence[str], *, timeout: float, deep: bool, image: bool
) -> Iterator[Result]:
    from dioptra_worker.common.environment import set_defaults
    from dioptra_worker.common.text.masking import Mask
    from dioptra_worker.credentials import secrets_in
    from dioptra_worker.job_environment import RUNNER_DEFAULTS
    from dioptra_worker.tools import doctor
    from dioptra_worker.tools.doctor.checks.configuration import (
        examples,
        misspelt,
        read_settings,
        unneeded,
    )

    set_defaults(RUNNER_DEFAULTS)  # the checks see what jobs will see
    settings, findings = read_settings(examples(os.environ) if image else None)
    findings += misspelt(os.environ)
    findings += unneeded(os.environ)
    chains = doctor.all_checks(
        settings,
        queues,
        environment=os.environ,
        timeout=timeout,
        deep=deep,
        services=not image,
    )
    first = doctor.Check(name="settings", run=lambda: findings)
    mask = Mask(settings.secrets() if settings else secrets_in(os.environ))
    return doctor.examine([[first], *chains], timeout=timeout, mask=mask)


def _print(results: Iterator[Result]) -> list[Result]:
    """Print each result as soon as it is there; all of them."""
    shown = []
    for result in results:
        mark, took = _MARKS[result.status], f"{result.seconds:.2f} s"
        click.echo(
            f"{mark} {result.name:<{_WIDTH}} {took:>8}  {spelt_out(result.detail)}"
        )
        if result.fix:
            click.echo(f"{'':{_WIDTH + 12}} → {spelt_out(result.fix)}")
        shown.append(result)
    counts = Counter(result.status for result in shown)
    click.echo(
        f"{counts['ok']} ok, {counts['warn']} to look at, {counts['fail']} to mend"
    )
    return shown
