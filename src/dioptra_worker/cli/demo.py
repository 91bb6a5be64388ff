"""``dioptra-worker demo``, which ``make demo`` calls: watch real jobs run.

It does what a person does with ``local``, ``import``, ``start`` and ``jobs``, one after
the other, and prints what they print.
"""

from __future__ import annotations

import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dioptra_worker.api.user_client import UserClient
from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.cli.jobs.logs import LogPrinter
from dioptra_worker.cli.jobs.show import print_parts
from dioptra_worker.cli.local import cache_option, service_line, show_step
from dioptra_worker.common.processes.interpreter import python
from dioptra_worker.common.text.humanize import precise_duration
from dioptra_worker.common.text.printable import record_lines
from dioptra_worker.errors import WorkerError
from dioptra_worker.tools import resources
from dioptra_worker.tools.jobs.artifacts.selection import chosen
from dioptra_worker.tools.jobs.details import read_details
from dioptra_worker.tools.jobs.log_follow import read
from dioptra_worker.tools.local import LocalStack
from dioptra_worker.tools.local.environment import inherited
from dioptra_worker.tools.local.errors import StackError
from dioptra_worker.tools.local.files import tail
from dioptra_worker.tools.resources.account import Account

if TYPE_CHECKING:
    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.tools.jobs.details import Details

_SOURCES = Path(__file__).parents[3] / "entrypoints"
_NAME = "demo"
"""The queue and the experiment."""
_JOB_TIMEOUT = 180.0
_STOP_TIMEOUT = 15.0
_LOG_LINES = 12
_PARTS = ("waited", "took", "metrics", "artifacts", "MLflow")

_EPILOG = """\b
Examples:
  make demo
  KEEP=1 make demo
  dioptra-worker demo --keep --entrypoints my-entrypoints/

\b
Exit codes:
  0    every job ended as it was meant to (one of them is meant to fail)
  1    one did not, or the demo could not be run
  130  interrupted; everything was taken down
"""


@click.command("demo", epilog=_EPILOG)
@click.option(
    "--entrypoints",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=_SOURCES,
    help="The folder with the example entrypoints.  [default: that of the sources]",
)
@click.option(
    "--keep",
    is_flag=True,
    envvar="KEEP",
    help="Leave the stack and the worker running at the end.  [env: KEEP]",
)
@cache_option
def demo_command(entrypoints: Path, keep: bool, cache: Path) -> None:
    """Bring up a local Dioptra, run real jobs through the worker, and show them.

    A queue, the REST API, MLflow and S3 come up in a folder of their own; the example
    entrypoints are imported; the worker runs five jobs, one of which fails on purpose.
    Then everything is taken down again.
    """
    # What SIGTERM ends is to be cleaned up like what Ctrl-C ends.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        good = _run(entrypoints, keep=keep, cache=cache)
    except KeyboardInterrupt:
        click.echo("\nInterrupted; everything was taken down.", err=True)
        sys.exit(ExitCode.INTERRUPTED)
    except (WorkerError, StackError) as error:
        words = record_lines(str(error))
        raise click.ClickException(f"the demo failed: {words}") from error
    sys.exit(ExitCode.OK if good else ExitCode.FAILED)


def _run(entrypoints: Path, *, keep: bool, cache: Path) -> bool:
    """Run the demo, and say whether every job ended as intended."""
    began = time.monotonic()
    folders = resources.find_folders([entrypoints])
    home = Path(tempfile.mkdtemp(prefix="dioptra-demo-"))
    with ExitStack() as ending:
        ending.callback(shutil.rmtree, home, ignore_errors=True)
        stack = LocalStack.up(home, queues=[_NAME], cache=cache, progress=show_step)
        ending.callback(stack.down)
        worker = _start_worker(stack)
        ending.callback(_stop, worker)
        ending.push(_say_interrupted)
        with Account.read(stack.environment()).session() as api:
            demo = _Demo(stack, worker, api, UserClient(api))
            for folder in folders:
                resources.import_folder(demo.client, folder)
                click.echo(f"✓ import {folder.path.name}")
            demo.run_jobs()
        click.secho("\nIn short", bold=True)
        click.echo("\n".join(demo.verdicts))
        count, good = len(demo.verdicts), sum(demo.verdicts.values())
        took = precise_duration(time.monotonic() - began)
        click.echo(f"{good} of {count} jobs ended as intended; the demo took {took}.")
        if keep:
            ending.pop_all()
            _show_how_to_stop(stack, worker)
        else:
            click.echo("KEEP=1 make demo leaves it running, with its MLflow pages.")
    return good == count


@dataclass(frozen=True)
class _Demo:
    """Runs jobs one after the other, and shows each.

    Attributes:
        verdicts: A line about each job, and whether it ended as intended.
    """

    stack: LocalStack
    worker: subprocess.Popen[bytes]
    api: DioptraApi
    client: UserClient
    verdicts: dict[str, bool] = field(default_factory=dict)

    def run_jobs(self) -> None:
        """Run the jobs of the examples, one of which is meant to fail."""
        self._run(
            "hello-world",
            "two steps, and a text as artifact",
            values={"name": "Dioptra"},
        )
        made = self._run("chain-produce", "stores a file and a folder")
        names = ["readings", "by-day"]
        readings, days = chosen(made.artifacts, names, job_id=made.job.id)
        self._run(
            "chain-consume",
            "reads what the job before has stored",
            artifacts={"readings": readings, "by_day": days},
        )
        self._run("sklearn-evaluation", "trains a classifier and attacks it")
        self._run("failing-job", "fails on purpose: its log says why", meant="failed")

    def _run(
        self, entrypoint: str, about: str, *, meant: str = "finished", **given: Any
    ) -> Details:
        wanted = resources.Submission(
            entrypoint=entrypoint,
            queue=_NAME,
            experiment=_NAME,
            timeout="10m",
            description=about,
            **given,
        )
        job_id = resources.submit(self.client, wanted)
        title = click.style(f"Job {job_id}: {entrypoint}", bold=True)
        click.echo(f"\n{title}, {about}")
        status = resources.wait(
            self.api,
            job_id,
            seconds=_JOB_TIMEOUT,
            on_status=lambda status: click.echo(f"… {status}"),
            sleep=self._sleep,
        )
        printer = LogPrinter()
        for entry in read(self.client, job_id)[-_LOG_LINES:]:
            printer.print(entry)
        mlflow = self.stack.service("mlflow").url
        details = read_details(self.api, self.client, job_id, mlflow=mlflow)
        print_parts(details, only=_PARTS)
        if status != meant:
            verdict = f"✗ {status}, but it was to be {meant}"
        else:
            verdict = f"✓ {status}" + (", as intended" if meant == "failed" else "")
        click.secho(verdict, fg="green" if status == meant else "red")
        self.verdicts[f"{job_id:>3}  {entrypoint:<20}{verdict}"] = status == meant
        return details

    def _sleep(self, seconds: float) -> None:
        """Sleep between two looks at a job, unless nobody is left to run it."""
        if (code := self.worker.poll()) is not None:
            said = tail(_log(self.stack))
            raise WorkerError(f"the worker ended with exit code {code}:\n{said}")
        time.sleep(seconds)


def _log(stack: LocalStack) -> Path:
    return stack.directory / "worker.log"


def _start_worker(stack: LocalStack) -> subprocess.Popen[bytes]:
    jobs = {"DIOPTRA_WORKER_WORK_DIR": str(stack.directory / "jobs")}
    with _log(stack).open("wb") as log:
        worker = subprocess.Popen(
            [*python(), "-m", "dioptra_worker.cli.start", _NAME],
            env=inherited() | jobs | stack.environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C is for the demo, which then ends the worker properly.
            start_new_session=True,
        )
    click.echo(f"✓ start the worker: dioptra-worker start {_NAME} (pid {worker.pid})")
    return worker


def _say_interrupted(
    kind: type[BaseException] | None, _error: object, _trace: object
) -> None:
    if kind is not None and issubclass(kind, KeyboardInterrupt):
        click.echo("\ninterrupted: everything is taken down", err=True)


def _stop(worker: subprocess.Popen[bytes]) -> None:
    """End it as an operator in haste does; its job does not outlive it for long.

    Two signals that differ: of two that are equal one may be all that arrives.
    """
    worker.terminate()
    worker.send_signal(signal.SIGINT)
    try:
        worker.wait(_STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()


def _show_how_to_stop(stack: LocalStack, worker: subprocess.Popen[bytes]) -> None:
    """Tell where to look at what was left running, and how to end it."""
    program = shlex.quote(str(Path(sys.executable).with_name("dioptra-worker")))
    option = f"--dir {shlex.quote(str(stack.directory))}"
    for health in stack.status():
        click.echo(service_line(health))
    click.echo(f"  worker log  {_log(stack)}")
    click.echo(f'  shell       eval "$({program} local env {option})"')
    click.echo(f"  to stop     kill {worker.pid}; {program} local down {option}")
