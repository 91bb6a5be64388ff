"""What all commands about jobs share: the account, the sentences, the exit codes."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dioptra_worker.cli.exit_codes import exit_code
from dioptra_worker.cli.ids import Id
from dioptra_worker.common.text.printable import record_lines, spelt_out
from dioptra_worker.errors import (
    LoginRefused,
    NotFound,
    WorkerError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.api.user_client import UserClient
    from dioptra_worker.errors import ServiceUnavailable
    from dioptra_worker.tools.capsule.job_source import JobSource
    from dioptra_worker.tools.capsule.making import Ancestors
    from dioptra_worker.tools.jobs.control.actions import Actions
    from dioptra_worker.tools.jobs.listing import Listing
    from dioptra_worker.tools.jobs.parked import ParkedJobs
    from dioptra_worker.tools.jobs.waiting import WaitingWatch

_PERSON = "DIOPTRA_USERNAME"
_PASSWORD = "DIOPTRA_PASSWORD"  # noqa: S105 - a variable's name
_MANY = 100
"""Jobs whose times take long enough to say so."""

ENVIRONMENT = """\b
Environment:
  DIOPTRA_API             the address of the REST API
  DIOPTRA_USERNAME        who you are, with DIOPTRA_PASSWORD or
                          DIOPTRA_PASSWORD_FILE; without them the worker's
                          user, DIOPTRA_WORKER_USERNAME and
                          DIOPTRA_WORKER_PASSWORD
  RQ_REDIS_URI            the queues: to cancel and requeue, and to tell which
                          jobs are parked, and why a job waits
"""

EXIT_CODES = """\b
Exit codes:
  0  all went well
  1  it could not be done: no such job, the API refused or cannot be reached
  2  the command line or the environment is not usable
  3  the API refused the login
"""


@dataclass(frozen=True)
class CommandContext:
    """What a command about jobs works with.

    Attributes:
        api: A session with the REST API.
        client: The same session, for what people ask of it.
        listing: The jobs.
        mlflow: The address of MLflow's pages, where it is known.
        environment: The variables that were read.
    """

    api: DioptraApi
    client: UserClient
    listing: Listing
    mlflow: str | None
    environment: Mapping[str, str]

    def parked_jobs(self) -> ParkedJobs:
        """Which jobs are parked; where that cannot be known, it is said."""
        from dioptra_worker.tools.jobs.parked import ParkedReader

        found = ParkedReader(self.environment).read()
        if found.trouble:
            click.echo(record_lines(found.trouble), err=True)
        return found

    def watch_waiting(self) -> WaitingWatch:
        """Say why a job waits, beside what is printed for programs."""
        from dioptra_worker.tools.jobs.waiting import WaitingReader, WaitingWatch

        def tell(sentence: str) -> None:
            click.secho(record_lines(sentence), err=True, dim=True)

        return WaitingWatch(WaitingReader(self.environment), tell)

    def jobs_of(self, worker_run: str) -> frozenset[int]:
        """The jobs of a worker run, by its id or how that begins."""
        from dioptra_worker.tools.lineage.connections import open_runs

        found = open_runs(self.environment).find(worker_run)
        return frozenset(execution.job_id for execution in found.executions)

    def wait(self, job_id: int, timeout: float | None) -> str:
        """Wait for a job's end, and say meanwhile what for.

        Why it is queued, and that the API is away.

        Args:
            job_id: The job.
            timeout: Seconds at most; None is however long it takes.

        Returns:
            ``finished`` or ``failed``.

        Raises:
            StillRunning: It did not end in time.
            ServiceError: The API refused, or was away until the time was up.
        """
        from dioptra_worker.common.network.backoff import FOREVER
        from dioptra_worker.tools.jobs.job_row import JobRow
        from dioptra_worker.tools.resources.submitting import wait

        watch = self.watch_waiting()

        def look(status: str) -> None:
            if status == "queued" and watch.is_due:
                watch.look(JobRow.read(self.client.job(job_id)))

        return wait(
            self.api,
            job_id,
            seconds=FOREVER if timeout is None else timeout,
            on_look=look,
            on_wait=tell_waiting,
        )

    @contextmanager
    def job_source(self, job_id: int) -> Iterator[JobSource]:
        """Open MLflow; what a job has left is found there, in the API and the store."""
        from dioptra_worker.tools.capsule.job_source import JobSource
        from dioptra_worker.tools.lineage.connections import open_mlflow

        with open_mlflow(self.environment) as mlflow:
            yield JobSource(self.api, self.client, mlflow, job_id)

    @contextmanager
    def ancestors(self, job_id: int) -> Iterator[Ancestors]:
        """Open MLflow; the jobs that a job came from, and what they have left."""
        from dioptra_worker.tools.capsule.ancestors import ancestors_of
        from dioptra_worker.tools.jobs.worker_run import data_parameters
        from dioptra_worker.tools.lineage.connections import open_mlflow

        with open_mlflow(self.environment) as mlflow:
            yield ancestors_of(
                self.api,
                self.client,
                mlflow,
                job_id,
                data_parameters=data_parameters(self.environment),
            )

    @contextmanager
    def actions(self, *, seconds: float) -> Iterator[Actions]:
        """Open the queues; workers get so many seconds to stop a job."""
        from dioptra_worker.tools.jobs.control.actions import Actions
        from dioptra_worker.tools.jobs.control.queues import open_queues

        with open_queues(self.environment) as connection:
            yield Actions(
                api=self.api,
                client=self.client,
                connection=connection,
                seconds=seconds,
            )


def epilog(*examples: str, codes: str = EXIT_CODES) -> str:
    """The end of a command's help."""
    lines = "\n".join(("\b", "Examples:", *(f"  {line}" for line in examples)))
    return f"{lines}\n\n{ENVIRONMENT}\n{codes}"


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options of every command, and turn errors into sentences."""

    @wraps(function)
    def translated(api_url: str | None, username: str | None, **options: Any) -> None:
        try:
            with _open_context(api_url, username) as context:
                function(context=context, **options)
        except WorkerError as error:
            click.echo(record_lines(_sentence(error)), err=True)
            sys.exit(exit_code(error))

    api = click.option(
        "--api",
        "api_url",
        metavar="URL",
        help="The address of the REST API.  [env: DIOPTRA_API]",
    )
    user = click.option(
        "--username",
        metavar="NAME",
        help="Who you are; asks for the password unless DIOPTRA_PASSWORD is set."
        "  [env: DIOPTRA_USERNAME]",
    )
    return api(user(translated))


def as_json(function: Callable[..., None]) -> Callable[..., None]:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


job_id = click.argument(
    "job_id", metavar="JOB", type=Id("job", "see `dioptra-worker jobs list`")
)
"""The argument of commands about one job."""


def print_json(value: Any) -> None:
    """Print JSON for a person or a program."""
    click.echo(json.dumps(value, indent=2))


def tell_waiting(error: ServiceUnavailable) -> None:
    """Say what is waited for, beside what is printed for programs."""
    click.secho(spelt_out(f"waiting: {error}"), err=True, dim=True)


def now() -> datetime:
    """The time, for durations up to now."""
    return datetime.now(UTC)


def for_people() -> bool:
    """Whether a terminal shows what is printed."""
    return sys.stdout.isatty()


@contextmanager
def _open_context(
    api_url: str | None, username: str | None
) -> Iterator[CommandContext]:
    from dioptra_worker.api.user_client import UserClient
    from dioptra_worker.cli.jobs.status_line import StatusLine
    from dioptra_worker.tools.jobs.listing import Listing
    from dioptra_worker.tools.jobs.timeline_cache import TimelineCache
    from dioptra_worker.tools.local.paths import default_cache
    from dioptra_worker.tools.resources.account import Account

    environment = dict(os.environ)
    if api_url:
        environment["DIOPTRA_API"] = api_url
    if username:
        environment[_PERSON] = username
        _ask_password(environment)
    account = Account.of_person(environment)
    given = environment.get("DIOPTRA_WORKER_CACHE_DIR")
    folder = Path(given) if given else default_cache()
    cache = TimelineCache.load(
        folder / "jobs", url=account.url, username=account.username
    )
    line = StatusLine()

    def tell(done: int, of: int) -> None:
        if done == of:
            line.clear()
        elif of > _MANY:
            line.show(f"reading the times of {of} jobs: {done}")

    with account.session() as api:
        client = UserClient(api)
        yield CommandContext(
            api=api,
            client=client,
            listing=Listing(client, cache=cache, on_progress=tell),
            mlflow=environment.get("MLFLOW_TRACKING_URI", "").rstrip("/") or None,
            environment=environment,
        )


def _ask_password(environment: dict[str, str]) -> None:
    known = environment.get(_PASSWORD) or environment.get(f"{_PASSWORD}_FILE")
    if not known and sys.stdin.isatty():
        environment[_PASSWORD] = click.prompt("Password", hide_input=True, err=True)


def _sentence(error: WorkerError) -> str:
    """The error in a sentence; a thing that is not there by its kind and number."""
    detail = error.detail if isinstance(error, NotFound) else None
    inner = detail.get("detail") if isinstance(detail, dict) else None
    kind = inner.get("entity_type") if isinstance(inner, dict) else None
    if kind and isinstance(inner, dict):
        name = inner.get(f"{kind}_id", "")
        return f"there is no {kind} {name}: it was deleted, or never was".strip()
    if isinstance(error, LoginRefused) and os.environ.get(_PERSON):
        return str(error).replace("DIOPTRA_WORKER_", "DIOPTRA_")
    return str(error)
