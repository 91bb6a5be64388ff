"""``dioptra-worker demo``, which ``make demo`` calls: watch real jobs run.

It does what a person does with ``local``, ``import``, ``start`` and ``jobs``, one after
the other, and prints what they print.
"""

from __future__ import annotations

import importlib.util
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dioptra_worker.api.user_client import UserClient
from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.cli.interrupts import interrupt_at_sigterm
from dioptra_worker.cli.jobs.logs import LogPrinter
from dioptra_worker.cli.jobs.show import print_parts
from dioptra_worker.cli.lazy import UnusablePlace
from dioptra_worker.cli.local import cache_option, service_line, show_step
from dioptra_worker.common.files.stale_workspaces import remove_forkserver_homes
from dioptra_worker.common.files.trusted_folder import UntrustedFolder
from dioptra_worker.common.files.workspace import temporary_of
from dioptra_worker.common.interrupts import deferred
from dioptra_worker.common.processes.interpreter import python
from dioptra_worker.common.processes.process_identity import (
    find_by_environment,
    kill_all,
)
from dioptra_worker.common.text.humanize import precise_duration
from dioptra_worker.common.text.printable import record_lines
from dioptra_worker.errors import WorkerError
from dioptra_worker.tools import resources
from dioptra_worker.tools.jobs.artifacts.selection import chosen
from dioptra_worker.tools.jobs.details import read_details
from dioptra_worker.tools.jobs.log_follow import read
from dioptra_worker.tools.local import LocalStack
from dioptra_worker.tools.local.environment import inherited
from dioptra_worker.tools.local.errors import NoStack, StackError
from dioptra_worker.tools.local.files import tail
from dioptra_worker.tools.resources.account import Account

if TYPE_CHECKING:
    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.tools.jobs.details import Details

_PACKAGE = Path(__file__).parents[1]
_EXAMPLES = (_PACKAGE / "examples", _PACKAGE.parents[1] / "entrypoints")
"""Where the example entrypoints are: in the installed package, in the sources."""
_NEEDED = {
    "sklearn-evaluation": ("sklearn", "art", "pandas", "matplotlib"),
}
"""What jobs import that the extra ``local`` does not bring."""
_NOT_RUN = (
    "Not run here: batch-evaluation, and pytorch-attack and tensorflow-attack, which"
    " need those frameworks. Their READMEs say how."
)
_WORK_DIR = "DIOPTRA_WORKER_WORK_DIR"
_NAME = "demo"
"""The queue and the experiment."""
_JOB_TIMEOUT = 180.0
_STOP_TIMEOUT = 15.0
_LOG_LINES = 12
_PARTS = ("waited", "took", "metrics", "artifacts")

_EPILOG = """\b
Examples:
  dioptra-worker demo
  dioptra-worker demo --keep
  dioptra-worker demo --entrypoints changed-examples/

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
    default=next((folder for folder in _EXAMPLES if folder.is_dir()), None),
    help="The folder with the example entrypoints, such as a copy that was changed.  "
    "[default: those of the package]",
)
@click.option(
    "--keep",
    is_flag=True,
    envvar="KEEP",
    help="Leave the stack and the worker running at the end.  [env: KEEP]",
)
@cache_option
def demo_command(entrypoints: Path | None, keep: bool, cache: Path) -> None:
    """Bring up a local Dioptra, run real jobs through the worker, and show them.

    A queue, the REST API, MLflow and S3 come up in a folder of their own; the example
    entrypoints are imported; the worker runs five jobs, one of which fails on purpose.
    Then everything is taken down again.
    """
    if entrypoints is None:  # an image, which nobody shows anything
        raise click.UsageError(
            "this installation has no example entrypoints: install the package from its"
            " wheel, or name a folder with a copy of them with --entrypoints"
        )
    interrupt_at_sigterm()
    try:
        good = _run(entrypoints, keep=keep, cache=cache)
    except KeyboardInterrupt:
        click.echo("\nInterrupted; everything was taken down.", err=True)
        sys.exit(ExitCode.INTERRUPTED)
    except (WorkerError, StackError) as error:
        words = record_lines(str(error))
        raise click.ClickException(f"the demo failed: {words}") from error
    except OSError as error:
        if isinstance(error, UntrustedFolder) or not error.filename:
            raise
        way_out = "Name another folder with --cache or TMPDIR."
        raise UnusablePlace(error, way_out) from error
    sys.exit(ExitCode.OK if good else ExitCode.FAILED)


def _run(entrypoints: Path, *, keep: bool, cache: Path) -> bool:
    """Run the demo, and say whether every job ended as intended."""
    began = time.monotonic()
    folders = resources.find_folders([entrypoints])
    with ExitStack() as ending:
        with deferred():
            home = Path(tempfile.mkdtemp(prefix="dioptra-demo-"))
            ending.callback(_take_down, home, cache)
        stack = LocalStack.up(home, queues=[_NAME], cache=cache, progress=show_step)
        with deferred():
            worker = _start_worker(stack)
            ending.push(partial(_end, worker, stack))
        line = f"dioptra-worker start {_NAME} (pid {worker.pid})"
        click.echo(f"✓ start the worker: {line}")
        ending.push(_say_interrupted)
        with Account.read(stack.environment()).session() as api:
            demo = _Demo(stack, worker, api, UserClient(api), keep=keep)
            for folder in folders:
                resources.import_folder(demo.client, folder)
                click.echo(f"✓ import {folder.path.name}")
            demo.run_jobs()
        click.secho("\nIn short", bold=True)
        click.echo("\n".join(demo.verdicts))
        count, good = len(demo.verdicts), sum(demo.verdicts.values())
        took = precise_duration(time.monotonic() - began)
        click.echo(f"{good} of {count} jobs ended as intended; the demo took {took}.")
        click.echo(_NOT_RUN)
        if keep:
            _show_how_to_stop(stack, worker)
            ending.pop_all()  # last: who interrupts before was not told how to end it
        else:
            _show_what_next(folders[0].path.parent)
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
    keep: bool
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
        self._run_if_possible(
            "sklearn-evaluation", "trains a classifier and attacks it"
        )
        self._run("failing-job", "fails on purpose: its log says why", meant="failed")

    def _run_if_possible(self, entrypoint: str, about: str) -> None:
        needed = _NEEDED[entrypoint]
        missing = [name for name in needed if importlib.util.find_spec(name) is None]
        if not missing:
            self._run(entrypoint, about)
            return
        click.echo(
            f"\n{entrypoint} is not run: {', '.join(missing)} not installed; the extra"
            " 'examples' has them (pip install 'dioptra-worker[examples]')"
        )

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
        # Addresses of what is about to be taken down lead nowhere.
        print_parts(details, only=(*_PARTS, "MLflow") if self.keep else _PARTS)
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


def _jobs(stack: LocalStack) -> Path:
    """Where the worker has its jobs' folders."""
    return stack.directory / "jobs"


def _start_worker(stack: LocalStack) -> subprocess.Popen[bytes]:
    with _log(stack).open("wb") as log:
        return subprocess.Popen(
            [*python(), "-m", "dioptra_worker.cli.start", _NAME],
            env=inherited() | {_WORK_DIR: str(_jobs(stack))} | stack.environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C is for the demo, which then ends the worker properly.
            start_new_session=True,
        )


def _take_down(home: Path, cache: Path) -> None:
    """End whatever there is of the stack, and remove its folder."""
    with deferred():
        try:
            LocalStack.attach(home, cache=cache).down()
        except NoStack:
            shutil.rmtree(home, ignore_errors=True)
        remove_forkserver_homes()  # of one that was killed; by now nothing holds it


def _say_interrupted(
    kind: type[BaseException] | None, _error: object, _trace: object
) -> None:
    if kind is not None and issubclass(kind, KeyboardInterrupt):
        click.echo("\ninterrupted: everything is taken down", err=True)


def _end(
    worker: subprocess.Popen[bytes],
    stack: LocalStack,
    kind: type[BaseException] | None,
    _error: object,
    _trace: object,
) -> None:
    """End the worker: at once if who started it does not want to wait."""
    with deferred():
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            # All that it has started shares its environment. It would tell Redis, the
            # API and MLflow, and they are taken down with all they know.
            mark = f"{_WORK_DIR}={_jobs(stack)}"
            kill_all(partial(find_by_environment, mark), seconds=_STOP_TIMEOUT)
            for job in _jobs(stack).glob("job-*"):
                shutil.rmtree(temporary_of(job), ignore_errors=True)
        _stop(worker)


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


def _show_what_next(examples: Path) -> None:
    """Tell what to type next, now that all is taken down."""
    program = _program()
    folder = shlex.quote(str(examples / "hello-world"))
    click.secho("\nNext", bold=True)
    click.echo(f"  look around            {program} demo --keep")
    click.echo(f"  run without a server   {program} run {folder}")
    click.echo(f"  a Dioptra that stays   {program} local up")


def _program() -> str:
    """The command as it can be typed."""
    found = Path(sys.executable).with_name("dioptra-worker")
    on_path = shutil.which("dioptra-worker")
    if on_path is not None and Path(on_path).resolve() == found.resolve():
        return "dioptra-worker"
    return shlex.quote(str(found))


def _show_how_to_stop(stack: LocalStack, worker: subprocess.Popen[bytes]) -> None:
    """Tell where to look at what was left running, and how to end it."""
    program = _program()
    option = f"--dir {shlex.quote(str(stack.directory))}"
    for health in stack.status():
        click.echo(service_line(health))
    click.echo(f"  worker log  {_log(stack)}")
    click.echo(f'  shell       eval "$({program} local env {option})"')
    click.echo(f"  to stop     kill {worker.pid}; {program} local down {option}")
