"""``make demo``: a local stack, the real worker, five jobs, and what came of them."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dioptra_worker.api.user_client import UserClient
from dioptra_worker.common.processes.interpreter import python
from dioptra_worker.common.text.humanize import precise_duration
from dioptra_worker.common.text.printable import spelt_out
from dioptra_worker.errors import WorkerError
from dioptra_worker.tools.jobs import formatting
from dioptra_worker.tools.jobs.job_log import LogSections
from dioptra_worker.tools.local import LocalStack
from dioptra_worker.tools.local.environment import inherited
from dioptra_worker.tools.local.files import tail
from dioptra_worker.tools.local.progress import State
from dioptra_worker.tools.resources import (
    Submission,
    find_folders,
    import_folder,
    read_result,
    submit,
    wait,
)
from dioptra_worker.tools.resources.account import Account

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.tools.local import Step
    from dioptra_worker.tools.resources import JobResult

_NAME = "demo"
"""The queue and the experiment."""
_JOB_TIMEOUT = 180.0
_STOP_TIMEOUT = 15.0
_LOG_LINES = 12
_MARKS = {State.DONE: "✓", State.FAILED: "✗", State.NOTE: "·"}


class DemoFailed(WorkerError):
    """The demo cannot go on; the message says why."""


@dataclass(frozen=True, kw_only=True)
class DemoJob:
    """One job, and how it is meant to end.

    Attributes:
        entrypoint: What it runs.
        about: What there is to see, in a few words.
        values: Values for its parameters.
        inputs: Which artifact of an earlier job each artifact parameter gets, as the
            entrypoint of that job and the artifact's name.
        outcome: The status that it is meant to end with.
    """

    entrypoint: str
    about: str
    values: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    outcome: str = "finished"

    def ended_well(self, result: JobResult) -> bool:
        """Whether it ended as it was meant to."""
        return result.job.status == self.outcome

    def coloured(self, text: str, result: JobResult) -> str:
        """Write about it in green, or in red when it did not end as intended."""
        return click.style(text, fg="green" if self.ended_well(result) else "red")


JOBS = (
    DemoJob(
        entrypoint="hello-world",
        about="two steps, and a text as artifact",
        values={"name": "Dioptra"},
    ),
    DemoJob(entrypoint="chain-produce", about="stores a file and a folder"),
    DemoJob(
        entrypoint="chain-consume",
        about="reads what the job before has stored",
        inputs={
            "readings": ("chain-produce", "readings"),
            "by_day": ("chain-produce", "by-day"),
        },
    ),
    DemoJob(
        entrypoint="sklearn-evaluation", about="trains a classifier and attacks it"
    ),
    DemoJob(
        entrypoint="failing-job",
        about="fails on purpose: its log says why",
        outcome="failed",
    ),
)


def run_demo(entrypoints: Path, *, keep: bool, cache: Path | None) -> bool:
    """Run the demo, and tell it on standard output.

    Args:
        entrypoints: The folder with the examples.
        keep: Leave the stack and the worker running, unless something goes wrong.
        cache: The folder of what local stacks share.

    Returns:
        Whether every job ended as intended.

    Raises:
        WorkerError: The demo could not be run to its end.
        StackError: The local stack could not be brought up.
    """
    began = time.monotonic()
    folders = find_folders([entrypoints])
    home = Path(tempfile.mkdtemp(prefix="dioptra-demo-"))
    with ExitStack() as ending:
        ending.callback(shutil.rmtree, home, ignore_errors=True)
        _title("A Dioptra on this machine")
        stack = LocalStack.up(home, queues=[_NAME], cache=cache, progress=_show_step)
        ending.callback(stack.down)
        worker = _start_worker(stack)
        ending.callback(_stop, worker)
        with Account.read(stack.environment()).session() as api:
            client = UserClient(api)
            _title("Import")
            for folder in folders:
                imported = import_folder(client, folder)
                _show_done(imported.folder.name, ", ".join(imported.entrypoints))
            results: dict[str, JobResult] = {}
            for job in JOBS:
                job_id = submit(client, _submission(job, results))
                _title(f"Job {job_id}: {job.entrypoint}", f", {job.about}")
                _wait(api, job_id, worker, _worker_log(stack))
                result = read_result(api, client, job_id)
                results[job.entrypoint] = result
                _show_result(job, result, mlflow=stack.service("mlflow").url)
        _show_summary(results, seconds=time.monotonic() - began)
        if keep:
            ending.pop_all()
            _show_how_to_stop(stack, worker)
        else:
            click.echo(
                "  Everything is taken down again. KEEP=1 make demo leaves it running,"
                " with its MLflow pages."
            )
    return all(job.ended_well(results[job.entrypoint]) for job in JOBS)


def _submission(job: DemoJob, earlier: Mapping[str, JobResult]) -> Submission:
    return Submission(
        entrypoint=job.entrypoint,
        queue=_NAME,
        experiment=_NAME,
        values=job.values,
        artifacts={
            parameter: earlier[entrypoint].artifact(name)
            for parameter, (entrypoint, name) in job.inputs.items()
        },
        timeout="10m",
        description=job.about,
    )


def _worker_log(stack: LocalStack) -> Path:
    return stack.directory / "worker.log"


def _start_worker(stack: LocalStack) -> subprocess.Popen[bytes]:
    command = [*python(), "-m", "dioptra_worker.cli.start", _NAME]
    with _worker_log(stack).open("wb") as file:
        worker = subprocess.Popen(
            command,
            env={
                **inherited(),
                "DIOPTRA_WORKER_WORK_DIR": str(stack.directory / "jobs"),
                **stack.environment(),
            },
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            # Ctrl-C is for the demo, which then ends the worker properly.
            start_new_session=True,
        )
    _show_done("start the worker", f"{shlex.join(command)} (pid {worker.pid})")
    return worker


def _stop(worker: subprocess.Popen[bytes]) -> None:
    """End it as an operator does; kill it, with its job, if that does not help."""
    worker.terminate()
    try:
        worker.wait(_STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


def _wait(
    api: DioptraApi, job_id: int, worker: subprocess.Popen[bytes], log: Path
) -> None:
    """Wait for a job's end, with an eye on the worker.

    Raises:
        DemoFailed: The worker has ended; the message ends with what it said last.
    """
    last = ""

    def show(status: str) -> None:
        nonlocal last
        if status != last:
            click.echo(f"  … {status}")
        last = status

    def sleep(seconds: float) -> None:
        if (code := worker.poll()) is not None:
            raise DemoFailed(
                f"the worker ended with exit code {code}; it said:\n{tail(log)}"
            )
        time.sleep(seconds)

    wait(api, job_id, seconds=_JOB_TIMEOUT, on_status=show, sleep=sleep)


def _title(text: str, more: str = "") -> None:
    click.echo("\n" + click.style(text, bold=True) + more)


def _show_step(step: Step) -> None:
    """Tell that a part of the local stack is up, or takes a while."""
    if step.state is not State.STARTED:
        took = "" if step.state is State.NOTE else precise_duration(step.seconds)
        click.echo(
            f"  {_MARKS[step.state]} {step.name:<24}{took:>8}  {spelt_out(step.detail)}"
        )
    elif step.name.startswith("install"):
        click.echo(f"  … {step.name}: {spelt_out(step.detail)}")


def _show_done(what: str, detail: str) -> None:
    click.echo(f"  ✓ {what:<32}  {detail}")


def _show_result(job: DemoJob, result: JobResult, *, mlflow: str) -> None:
    status = job.coloured(result.job.status, result)
    if not job.ended_well(result):
        verdict = f"✗ {status}, but it was to be {job.outcome}"
    else:
        verdict = f"✓ {status}" + (", as intended" if job.outcome == "failed" else "")
    click.echo(
        f"  {verdict}; started {formatting.maybe(result.waited)} after it was"
        f" submitted, ran {formatting.maybe(result.ran)}"
    )
    entries = list(LogSections().assign(result.log))[-_LOG_LINES:]
    click.echo(f"  log, last {len(entries)} of {len(result.log)} records")
    for entry in entries:
        head, text = formatting.log_record(entry)
        click.echo(f"    {head}{text}".replace("\n", "\n    "))
    _show_table("metrics", formatting.metrics(result.metrics))
    artifacts = [
        (item.file_name, f"{formatting.extent(item):>9}  {item.uri}")
        for item in result.artifacts
    ]
    _show_table("artifacts", artifacts)
    if result.run_id:
        _show_table("MLflow", [(formatting.run_page(mlflow, result.run_id), "")])


def _show_table(title: str, rows: Sequence[tuple[str, str]]) -> None:
    """Print names and values in columns, the title before the first."""
    width = max((len(name) for name, _ in rows), default=0)
    for number, (name, value) in enumerate(rows):
        line = f"  {'' if number else title:<11}{name:<{width}}  {value}"
        click.echo(line.rstrip())


def _show_summary(results: Mapping[str, JobResult], *, seconds: float) -> None:
    """Tell all jobs once more, one a line."""
    _title("In short")
    click.echo(f"  {'job':>5}  {'entrypoint':<20}{'status':<10}{'waited':>8}{'ran':>9}")
    for job in JOBS:
        result = results[job.entrypoint]
        note = "  as intended" if job.outcome == "failed" else ""
        click.echo(
            f"  {result.job.id:>5}  {job.entrypoint:<20}"
            + job.coloured(f"{result.job.status:<10}", result)
            + f"{formatting.maybe(result.waited):>8}{formatting.maybe(result.ran):>9}"
            + (note if job.ended_well(result) else f"  was to be {job.outcome}")
        )
    count = sum(job.ended_well(results[job.entrypoint]) for job in JOBS)
    click.echo(
        f"\n  {count} of {len(JOBS)} jobs ended as intended; the demo took"
        f" {precise_duration(seconds)}."
    )


def _show_how_to_stop(stack: LocalStack, worker: subprocess.Popen[bytes]) -> None:
    """Tell where to look at what was left running, and how to end it."""
    program = Path(sys.executable).with_name("dioptra-worker")
    local = f"{shlex.quote(str(program))} local"
    option = f"--dir {shlex.quote(str(stack.directory))}"
    _title("Still running, for you to look at")
    click.echo(f"  MLflow      {stack.service('mlflow').url}")
    click.echo(f"  REST API    {stack.service('api').url}/api/v1/")
    click.echo(f"  worker log  {_worker_log(stack)}")
    click.echo(f'  shell       eval "$({local} env {option})"')
    click.echo(f"  to stop     kill {worker.pid}; {local} down {option}")
