"""``dioptra-worker jobs serve``."""

from __future__ import annotations

import logging
import secrets
import signal
from functools import partial
from typing import TYPE_CHECKING

import click

from dioptra_worker.cli.jobs.common import CommandContext, command, epilog
from dioptra_worker.common.text.printable import spelt_out
from dioptra_worker.errors import ServiceUnavailable

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from dioptra_worker.tools.jobs.control.actions import Actions

_CODES = """\b
Exit codes:
  0  it was ended by SIGTERM
  1  it could not listen
  2  the command line or the environment is not usable
  3  the API refused the login
  130  it was ended by Ctrl-C
"""


@click.command(
    "serve",
    epilog=epilog(
        "dioptra-worker jobs serve",
        "dioptra-worker jobs serve --port 9000",
        "ssh -L 8080:localhost:8080 gpu-machine dioptra-worker jobs serve",
        codes=_CODES,
    ),
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="The port to listen on; 0 is any free one.",
)
@command
def serve_command(context: CommandContext, *, host: str, port: int) -> None:
    """Show the jobs on a small page of this machine.

    A list with filters, and a page for each job: its log while it runs, metrics,
    artifacts, timeline, Re-run and Cancel. The page sees and does what you may, so it
    listens on this machine only, and lets in who has the address that is printed,
    with its secret. Cancel needs RQ_REDIS_URI.
    """
    from dioptra_worker.common.text.masking import Mask
    from dioptra_worker.credentials import secrets_in
    from dioptra_worker.tools.capsule.comparison.side_by_side import compare_jobs
    from dioptra_worker.tools.jobs.page.job.log_parts import Logs
    from dioptra_worker.tools.jobs.page.routes import Routes
    from dioptra_worker.tools.jobs.page.server import LOOPBACK, serving
    from dioptra_worker.tools.jobs.parked import ParkedReader
    from dioptra_worker.tools.jobs.waiting import WaitingReader
    from dioptra_worker.tools.jobs.worker_run import data_parameters
    from dioptra_worker.tools.lineage.receipts import receipt_reader

    def actions(seconds: float) -> AbstractContextManager[Actions]:
        return context.actions(seconds=seconds)

    routes = Routes(
        api=context.api,
        client=context.client,
        listing=context.listing,
        actions=actions,
        mlflow=context.mlflow,
        token=secrets.token_urlsafe(32),
        compare=partial(compare_jobs, open_source=context.job_source),
        logs=Logs(context.client),
        mask=Mask(secrets_in(context.environment)),
        parked=ParkedReader(context.environment).read,
        waiting=WaitingReader(context.environment).read,
        data_parameters=data_parameters(context.environment),
        receipt_of=receipt_reader(context.environment),
        jobs_of=context.jobs_of,
    )
    logging.basicConfig(format="%(message)s")
    try:
        context.api.login()
    except ServiceUnavailable as error:
        click.echo(spelt_out(f"the page will be empty for now: {error}"), err=True)
    with serving(routes, host=host, port=port) as server:
        if host not in LOOPBACK:
            click.echo(
                f"what is sent to {host} is not encrypted: whoever sees the address can"
                f" do what {context.api.username} may do",
                err=True,
            )
        click.echo(f"The jobs of {context.api.url} are at {server.sign_in}")
        click.echo("Whoever has this address is let in; Ctrl-C ends this.", err=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return
