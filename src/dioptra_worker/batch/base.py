"""What all batch workers share: arguments, configuration, and how a run ends."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import sys
import tempfile
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from dioptra_worker.batch.claims import ActivityState, ElementClaims
from dioptra_worker.batch.errors import BadBatch, WorkerFailed
from dioptra_worker.batch.loop import Loop, T
from dioptra_worker.batch.progress import Progress
from dioptra_worker.common.text import plain_yaml
from dioptra_worker.errors import WorkerError
from dioptra_worker.provenance import RUN_VARIABLE, differences
from dioptra_worker.sdk.auth_client import get_authenticated_worker_client
from dioptra_worker.sdk.client.errors import StatusCodeError
from dioptra_worker.sdk.worker import bridge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from dioptra_worker.batch.loop import Item
    from dioptra_worker.sdk.worker.bridge import JobContext
    from dioptra_worker.tools.lineage.signing import Signer

log = logging.getLogger("dioptra_worker.batch")

API_PAUSES = (3.0, 4.0, 8.0, 16.0)
"""Seconds before each further try of a request at which the API fails."""
MODEL_CONFIGURATION = "configuration.json"
"""A file at the root of an input artifact that configures what works with it."""


class BaseWorker:
    """One run of a batch worker, in a job or on a laptop.

    Attributes:
        description: What the worker does, for ``--help``.
        support_cache: Whether elements may be read from a database (``--database``).
        parser: The command line of the laptop; subclasses may add to it.
        args: What was given there.
        config: The configuration: the entrypoint's defaults, then
            `model_configuration`, then `user_configuration`; on a laptop without a
            worker run, the file given with ``--config``.
        model_configuration: What the ``configuration.json`` of input artifacts says.
        user_configuration: The values that were chosen: those that differ from the
            entrypoint's defaults.
    """

    def __init__(self, description: str, support_cache: bool = False) -> None:
        self.description = description
        self.support_cache = support_cache
        self.config: dict[str, Any] = {}
        self.model_configuration: dict[str, Any] = {}
        self.user_configuration: dict[str, Any] = {}
        self.args = argparse.Namespace()
        self._signer: Signer | None = None
        self._claims: ElementClaims | None = None
        self._client: Any = None
        self._job_record: dict[str, Any] | None = None
        self.parser = argparse.ArgumentParser(description=description)
        self.parser.add_argument(
            "-c", "--config", type=Path, help="YAML file with the configuration"
        )
        self.parser.add_argument(
            "-v",
            "--verbose",
            "--debug",
            action="store_true",
            help="show tracebacks and debug messages",
        )
        self.parser.add_argument(
            "--dev",
            action="store_true",
            help="publish nothing and record nothing; outside a job always so unless"
            f" {RUN_VARIABLE} names a worker run of yours",
        )
        self.parser.add_argument(
            "--extras-dir",
            type=Path,
            help="folder for what is downloaded (default: a temporary one)",
        )
        self.parser.add_argument(
            "--no-worker-activity",
            action="store_true",
            help="do not record which elements are done",
        )
        if support_cache:
            self.parser.add_argument(
                "-d",
                "--database",
                type=Path,
                help="SQLite file whose table 'elements' has what to process",
            )

    @property
    def bridge(self) -> bridge.Bridge | None:
        """The way to the platform.

        In a job that is the daemon, and on a laptop the personal worker run that
        ``DIOPTRA_WORKER_RUN_ID`` names; None without one.
        """
        return bridge.installed() or self._signer

    @property
    def in_job(self) -> bool:
        """Whether this process is a job's, and not a person's."""
        return bridge.installed() is not None

    @property
    def is_read_only(self) -> bool:
        """Whether nothing may be published.

        So it is with ``--dev``, and on a laptop without a personal worker run.
        """
        return self.bridge is None or bool(getattr(self.args, "dev", False))

    @property
    def verbose(self) -> bool:
        """Whether tracebacks are shown."""
        return bool(getattr(self.args, "verbose", False) or self.config.get("debug"))

    def configure(self) -> None:
        """Read the arguments and the configuration.

        In a job there are no arguments. On a laptop with a personal worker run, the
        configuration is that of the run, which signs what is made with it.

        Raises:
            BadBatch: If the configuration cannot be read.
            WorkerError: If the personal worker run cannot be had, or is not yours.
        """
        self.args = self.parser.parse_args([] if self.in_job else None)
        self._claims = None
        if not self.in_job:
            logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
            if os.environ.get(RUN_VARIABLE) and not self.args.dev:
                self._open_signer()
        if self.bridge is None:
            self.config = _read_yaml(self.args.config) if self.args.config else {}
        else:
            self._merge_configurations(self.bridge.context)
        if self.verbose:
            log.setLevel(logging.DEBUG)

    def publish(self, path: str | Path, name: str | None = None) -> int | None:
        """Publish a file or folder, signed by the personal worker run.

        To publish the same name again replaces it.

        Args:
            path: The file or folder.
            name: What to call it; by default its own name.

        Returns:
            The artifact's id; None where nothing may be published, which is logged.

        Raises:
            WorkerFailed: In a job, whose artifacts are outputs of its task graph.
            WorkerError: There is nothing at *path*, or the API or the store refused.
        """
        if self.in_job:
            raise WorkerFailed(
                "a job's artifacts are outputs of its task graph: return what is to be"
                " kept from the task"
            )
        if self._signer is None or self.is_read_only:
            log.warning("%s is not published: set %s for that", path, RUN_VARIABLE)
            return None
        return self._signer.publish(Path(path), name)

    def run_batch(
        self, items: Sequence[T], work: Callable[[T], None], *, noun: str
    ) -> dict[str, int]:
        """Work on every item that nobody else has.

        Args:
            items: What to work on.
            work: Processes one.
            noun: What the log and the metrics call one of them.

        Returns:
            How many were ``completed``, ``skipped`` and ``failed``.

        Raises:
            WorkerFailed: In a job, if there is nothing to process or all failed.
            SystemExit: On a laptop, likewise, with code 1.
        """
        if not items:
            words = f"No {noun}s to process, stopping."
            log.warning("%s", words)
            self._fail(words)
        if not self.store_activity:
            log.info(
                "No worker activity will be stored as it is disabled for this process"
            )
        progress = Progress(
            None if self.is_read_only else self.bridge, noun=noun, total=len(items)
        )
        loop = Loop(
            work,
            claims=self.claims,
            progress=progress,
            log_failure=self._log_failure,
        )
        try:
            loop.run(items)
        finally:
            if self._signer is not None:
                self._signer.close()
        progress.report(now=True)
        if self.bridge is not None and self.bridge.context.worker_run:
            log.info("Worker run %s", self.bridge.context.worker_run)
        if not progress.failed:
            log.info("%s", progress.summary())
        else:
            log.error("%s", progress.summary())
            if progress.failed >= progress.total:
                self._fail(progress.summary())
        return progress.counts()

    def _merge_configurations(self, context: JobContext) -> None:
        """Defaults, then what models bring, then what was chosen."""
        paths = [item.path for item in context.inputs.values()]
        self.model_configuration = _model_config(paths)
        self.user_configuration = differences(context.parameters, context.defaults)
        self.config = {
            **context.defaults,
            **self.model_configuration,
            **self.user_configuration,
        }

    @property
    def worker_run_id(self) -> str | None:
        """The worker run that signs what is made; None where there is none."""
        return None if self.bridge is None else self.bridge.context.worker_run or None

    @property
    def process_information(self) -> dict[str, Any]:
        """The job as the platform knows it; empty where there is none.

        Its experiment stands for the process: ``process_information["experiment"]``.

        Raises:
            StatusCodeError: The API refused.
        """
        if self.bridge is None:
            return {}
        if self._job_record is None:
            self._job_record = self.request("jobs.get_by_id", self.bridge.job_id)
        return self._job_record

    def request(self, operation: str, *args: Any, **kwargs: Any) -> Any:
        """Ask the REST API, again after each of `API_PAUSES` where it fails.

        Args:
            operation: A method of the client by its path, such as
                ``artifacts.get_by_id``; see the reference of plugins.
            *args: What it takes.
            **kwargs: What it takes by name.

        Returns:
            The parsed answer.

        Raises:
            BadBatch: There is no such operation.
            StatusCodeError: The API refused (a status below 500), or failed every time.
        """
        call: Any = self.api_client()
        try:
            for name in operation.split("."):
                call = getattr(call, name)
        except AttributeError:
            raise BadBatch(
                f"{operation!r} is no operation of the client: give one such as"
                " 'artifacts.get_by_id'"
            ) from None
        for pause in API_PAUSES:
            try:
                return call(*args, **kwargs)
            except StatusCodeError as error:
                if error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise
                log.warning("%s failed, again in %g s: %s", operation, pause, error)
                time.sleep(pause)
        return call(*args, **kwargs)

    def api_client(self) -> Any:
        """The client that `request` uses."""
        if self._client is None:
            self._client = get_authenticated_worker_client(log, "json")
        return self._client

    @property
    def use_cache(self) -> bool:
        """Whether what to work on is read from a database."""
        return self.support_cache and getattr(self.args, "database", None) is not None

    def update_activity(self, element_id: object, state: ActivityState) -> bool:
        """Say where an element stands; `run` does that for each by itself.

        Args:
            element_id: The element.
            state: ``Started`` claims it.

        Returns:
            Whether it is so now, or nothing is recorded; False when another has the
            element, or it is processed already.
        """
        if state is ActivityState.Started:
            return self.claims.claim(str(element_id), last=True) == "granted"
        return self.claims.set_state(str(element_id), state)

    @property
    def store_activity(self) -> bool:
        """Whether it is recorded who works on what, and what is done."""
        return not self.is_read_only and not self.args.no_worker_activity

    @property
    def claims(self) -> ElementClaims:
        """The claims of this run."""
        if self._claims is None:
            self._claims = ElementClaims(self.bridge if self.store_activity else None)
        return self._claims

    def _open_signer(self) -> None:
        """Work in the name of the personal worker run.

        Raises:
            BadBatch: Another configuration is given than the run's own.
            WorkerError: It cannot be had, or is not yours.
        """
        # Here and not above: a job has no use for it, and it brings Redis with it.
        from dioptra_worker.tools.lineage.signing import (  # noqa: PLC0415
            open_signer,
        )

        if self.args.config is not None:
            raise BadBatch(
                f"give --config or {RUN_VARIABLE}, not both: the configuration is that"
                " of the worker run, which signs what is made with it"
            )
        self._signer = open_signer(os.environ)
        log.info("Signing as worker run %s", self._signer.context.worker_run)

    def extras_directory(self) -> Path:
        """The folder for what is downloaded; in a job, one that goes with the job."""
        given: Path | None = self.args.extras_dir
        if given is None:
            parent = Path.cwd() if self.in_job else None
            given = Path(tempfile.mkdtemp(prefix="extras-", dir=parent))
            self.args.extras_dir = given
        given.mkdir(parents=True, exist_ok=True)
        return given

    @contextlib.contextmanager
    def preparation(self) -> Iterator[None]:
        """Read the configuration, then what to work on, within this block.

        On a laptop what is wrong with either is one sentence and exit code 2, and what
        is wrong with the personal worker run one with exit code 1.

        Raises:
            BadBatch: In a job.
        """
        try:
            self.configure()
            yield
        except WorkerError as error:
            if self.in_job:
                raise
            if isinstance(error, BadBatch):
                self.parser.error(str(error))
            log.error("%s", error)
            sys.exit(1)

    def _log_failure(self, item: Item, error: Exception) -> str:
        """Log why one item failed, and return it."""
        if isinstance(error, StatusCodeError):
            words = f"An API error occurred while processing {item}: {error}"
        else:
            words = f"Failed running worker on {item}: {error!r}"
        log.warning("%s", words, exc_info=error if self.verbose else None)
        return words

    def _fail(self, words: str) -> NoReturn:
        """End a run that did nothing."""
        if self.in_job:
            raise WorkerFailed(words)
        sys.exit(1)


def _model_config(paths: Iterable[Path]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in paths:
        file = path / MODEL_CONFIGURATION
        if not file.is_file():
            continue
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise BadBatch(
                f"{MODEL_CONFIGURATION} of input artifact {path.name!r} is no JSON:"
                f" {error}"
            ) from None
        if not isinstance(values, dict):
            raise BadBatch(
                f"{MODEL_CONFIGURATION} of input artifact {path.name!r} must be a"
                f" mapping, not {type(values).__name__}"
            )
        log.info("Configuration of the model %r retrieved", path.name)
        found.update(values)
    return found


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        values = plain_yaml.load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadBatch(f"--config {str(file)!r} cannot be read: {error}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise BadBatch(f"--config {str(file)!r} must hold a mapping of names to values")
    return values
