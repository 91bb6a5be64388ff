"""``dioptra-worker jobs verify``."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.cli.jobs.common import (
    CommandContext,
    as_json,
    command,
    epilog,
    job_id,
    print_json,
)
from dioptra_worker.common.text.printable import one_line

_CODES = """\b
Exit codes:
  0  all that the job sent is there, and unchanged
  1  something is missing or was changed, or it could not be asked
  2  the command line or the environment is not usable
  3  the API refused the login
"""


@click.command(
    "verify",
    epilog=epilog(
        "dioptra-worker jobs verify 17",
        "dioptra-worker jobs verify --json 17 | jq -r '.missing[].words'",
        codes=_CODES,
    ),
)
@job_id
@as_json
@command
def verify_command(context: CommandContext, *, job_id: int, as_json: bool) -> None:
    """Ask whether all that a job sent is there, and is what was sent.

    The job's manifest is compared with the log and the metrics in the REST API, with
    the run in MLflow (MLFLOW_TRACKING_URI), and with what the artifact store has. Files
    are fetched only where S3 has no checksum of its own that can be compared.
    """
    from dioptra_worker.tools.capsule.verifying import verify

    with context.job_source(job_id) as source:
        verified = verify(source)
    receipt = verified.receipt
    if as_json:
        print_json(
            {
                "job": job_id,
                "receipt": str(receipt),
                "complete": receipt.is_complete,
                "missing": [asdict(missing) for missing in receipt.missing],
                "manifest": verified.manifest,
            }
        )
    else:
        click.echo(f"job {job_id}: {'complete' if receipt.is_complete else 'partial'}")
        for missing in receipt.missing:
            click.echo(f"  {one_line(missing.words)}")
    if not receipt.is_complete:
        sys.exit(ExitCode.FAILED)
