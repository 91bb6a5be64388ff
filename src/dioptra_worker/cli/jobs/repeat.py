"""``dioptra-worker jobs repeat``."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dioptra_worker.cli.capsule.common import store_option
from dioptra_worker.cli.capsule.repeatability import Report
from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.cli.jobs.common import (
    CommandContext,
    as_json,
    command,
    epilog,
    job_id,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dioptra_worker.provenance.manifest import Manifest
    from dioptra_worker.tools.capsule.repetition.repeated_jobs import JobResults
    from dioptra_worker.tools.jobs.control.repetitions import Repetitions

_CODES = """\b
Exit codes:
  0  all jobs finished, and gave the same, bit by bit
  1  they did not, which is said; or it could not be done, or not in time
  2  the command line or the environment is not usable
  3  the API refused the login
  130  it was interrupted
"""


@click.command(
    "repeat",
    epilog=epilog(
        "dioptra-worker jobs repeat 42 -n 10",
        "dioptra-worker jobs repeat 42 -n 10 --json | jq .metrics",
        "dioptra-worker jobs repeat 42 -n 10 --local",
        codes=_CODES,
    ),
)
@job_id
@click.option(
    "-n",
    "--runs",
    type=click.IntRange(min=2, max=1000),
    default=10,
    show_default=True,
    help="How often to run it.",
)
@click.option(
    "--local",
    is_flag=True,
    help="Run it on this machine, out of its capsule, and try out what makes results"
    " differ.",
)
@store_option("the runs of --local")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long to wait for jobs at most.  [default: however long it takes]",
)
@click.option(
    "--anew", is_flag=True, help="Pass over repetitions that are there from before."
)
@as_json
@command
def repeat_command(
    context: CommandContext,
    *,
    job_id: int,
    runs: int,
    local: bool,
    store: Path,
    timeout: float | None,
    anew: bool,
    as_json: bool,
) -> None:
    """Run a job several times more, and say how far its results lie apart.

    Each repetition is a job in the same queue, of the same snapshot on the same values
    and inputs, whose description says that it is one. Of each metric it tells whether
    all values are the same, or their mean, the experimental standard deviation s, the
    standard uncertainty of the mean s/sqrt(n) (GUM, Type A) and the range; of each
    artifact, how many versions there were. Where results differ, it is told what was
    not fixed. MLFLOW_TRACKING_URI and the artifact store are asked, too.

    Whoever interrupts it gives the same command again: it goes on with the jobs that
    there are, and so does a larger -n.
    """
    if local:
        if timeout is not None:
            raise click.UsageError("--timeout is for jobs in a queue, not for --local")
        report = _locally(context, job_id, runs=runs, store=store, anew=anew)
    else:
        report = _at_the_platform(
            context, job_id, runs=runs, timeout=timeout, anew=anew, quiet=as_json
        )
    sys.exit(report.tell(as_json=as_json))


def _locally(
    context: CommandContext, job_id: int, *, runs: int, store: Path, anew: bool
) -> Report:
    from dioptra_worker.cli.capsule.repeating import repeat_capsule
    from dioptra_worker.tools.capsule.making import make
    from dioptra_worker.tools.capsule.opening import Capsule

    with tempfile.TemporaryDirectory(prefix="dioptra-worker-repeat-") as name:
        file = Path(name) / f"{job_id}.crate.zip"
        with context.job_source(job_id) as source:
            make(source, file)
        with Capsule(file) as capsule:
            capsule.check()
            report = repeat_capsule(capsule, store, runs=runs, anew=anew)
    return replace(report, more={"job": job_id})


def _at_the_platform(
    context: CommandContext,
    job_id: int,
    *,
    runs: int,
    timeout: float | None,
    anew: bool,
    quiet: bool,
) -> Report:
    from dioptra_worker.tools.jobs.control import repetitions

    deadline = None if timeout is None else time.monotonic() + timeout
    with context.job_source(job_id):  # what it will need is configured
        known = repetitions.latest_set(context.client, job_id)
    if anew:
        known = repetitions.next_set(known)
    try:
        jobs = _submitted(context, known, runs=runs, quiet=quiet)
        finished, failed = _ended(context, jobs, deadline=deadline, quiet=quiet)
        return _report(context, job_id, jobs, finished, failed)
    except KeyboardInterrupt:
        click.echo(
            "interrupted: jobs that were submitted go on, and the same command again"
            " goes on with them",
            err=True,
        )
        sys.exit(ExitCode.INTERRUPTED)


def _submitted(
    context: CommandContext, known: Repetitions, *, runs: int, quiet: bool
) -> list[int]:
    """The jobs of a set; those that there are not yet are submitted."""
    from dioptra_worker.tools.jobs.control.repetitions import completed

    jobs = {number: job for number, job in known.jobs.items() if number <= runs}
    if jobs and not quiet:
        click.echo(f"{len(jobs)} of {runs} jobs are there already: {_list(jobs)}")
    for number, job in completed(context.client, known, count=runs):
        jobs[number] = job
        if not quiet:
            click.echo(f"submitted job {job}, repetition {number} of {runs}")
    return [job for _, job in sorted(jobs.items())]


def _list(jobs: dict[int, int]) -> str:
    return ", ".join(str(job) for job in jobs.values())


def _ended(
    context: CommandContext,
    jobs: Sequence[int],
    *,
    deadline: float | None,
    quiet: bool,
) -> tuple[list[int], dict[str, str]]:
    """Wait for all; those that finished, and why the others failed."""
    from dioptra_worker.tools.jobs.job_row import JobRow
    from dioptra_worker.tools.jobs.reason import read_reason
    from dioptra_worker.tools.resources.errors import StillRunning

    finished, failed = [], {}
    for job in jobs:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        try:
            status = context.wait(job, left)
        except StillRunning as error:
            raise StillRunning(
                f"job {job} is still {error.status}, and the time is up: the same"
                " command again goes on with the jobs that there are",
                status=error.status,
            ) from error
        if not quiet:
            click.echo(f"job {job} has {status}")
        if status == "finished":
            finished.append(job)
        else:
            row = JobRow.read(context.client.job(job))
            words = read_reason(context.client, row) or "nobody tells why"
            failed[f"job {job}"] = words
    return finished, failed


def _report(
    context: CommandContext,
    job_id: int,
    jobs: Sequence[int],
    finished: Sequence[int],
    failed: dict[str, str],
) -> Report:
    from dioptra_worker.tools.capsule.repetition.repeated_jobs import (
        MANIFEST_TIMEOUT,
        results,
    )
    from dioptra_worker.tools.capsule.repetition.repeating import (
        not_fixed,
        repeatability,
    )

    until = time.monotonic() + MANIFEST_TIMEOUT
    came: dict[int, JobResults] = {}
    for job in finished:
        with context.job_source(job) as source:
            came[job] = results(source, until=until)
    manifests = [it.manifest for it in came.values() if it.manifest is not None]
    evaluations = [it.evaluation for it in came.values()]
    without = [f"job {job}" for job, it in came.items() if it.manifest is None]
    if without:
        evaluations = [replace(one, outputs={}) for one in evaluations]
    found = repeatability(evaluations) if evaluations else None
    open_ones = not_fixed(manifests)
    differ = found is not None and not found.is_identical
    return Report(
        runs=len(jobs),
        found=found,
        failed=failed,
        cause=" or ".join(open_ones) if differ else "",
        not_fixed=open_ones,
        note=_note(manifests, differ=differ),
        without_artifacts=without,
        more={"job": job_id, "jobs": list(jobs)},
    )


def _note(manifests: Sequence[Manifest], *, differ: bool) -> str:
    """What `--local` would tell beyond that."""
    from dioptra_worker.tools.capsule.repetition.repeating import (
        HASH_ORDER,
        open_causes,
    )

    if differ:
        return "--local tries out which"
    workers = {manifest.worker.name for manifest in manifests}
    if HASH_ORDER in open_causes(manifests) and len(workers) < len(manifests):
        return (
            "jobs of one worker share the order of hashes: with --local, each has its"
            " own"
        )
    return ""
