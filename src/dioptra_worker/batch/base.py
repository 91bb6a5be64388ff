"""What all batch workers share: arguments, configuration, and how a run ends."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import yaml

from dioptra_worker.batch.claims import ElementClaims
from dioptra_worker.batch.errors import BadBatch, WorkerFailed
from dioptra_worker.batch.loop import Loop, T
from dioptra_worker.batch.progress import Progress
from dioptra_worker.provenance import differences
from dioptra_worker.sdk import bridge
from dioptra_worker.sdk.client.errors import StatusCodeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from dioptra_worker.batch.loop import Item

log = logging.getLogger("dioptra_worker.batch")

MODEL_CONFIGURATION = "configuration.json"
"""A file at the root of an input artifact that configures what works with it."""


class BaseWorker:
    """One run of a batch worker, in a job or on a laptop.

    Attributes:
        description: What the worker does, for ``--help``.
        support_cache: Whether elements may be read from a database (``--database``).
        parser: The command line of the laptop; subclasses may add to it.
        args: What was given there.
        config: The configuration: the entrypoint's defaults, then a model's
            ``configuration.json``, then the job's own values; on a laptop, the file
            given with ``--config``.
    """

    def __init__(self, description: str, support_cache: bool = False) -> None:
        self.description = description
        self.support_cache = support_cache
        self.config: dict[str, Any] = {}
        self.args = argparse.Namespace()
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
            help="publish nothing and record nothing; always so outside a job",
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
        """The way to the daemon; None outside a job."""
        return bridge.installed()

    @property
    def is_read_only(self) -> bool:
        """Whether nothing may be published: outside a job, and with ``--dev``."""
        return self.bridge is None or bool(getattr(self.args, "dev", False))

    @property
    def verbose(self) -> bool:
        """Whether tracebacks are shown."""
        return bool(getattr(self.args, "verbose", False) or self.config.get("debug"))

    def configure(self) -> None:
        """Read the arguments and the configuration.

        In a job there are no arguments: ``sys.argv`` is the daemon's.

        Raises:
            BadBatch: If the configuration cannot be read.
        """
        running = self.bridge
        self.args = self.parser.parse_args([] if running is not None else None)
        if running is None:
            logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
            self.config = _read_yaml(self.args.config) if self.args.config else {}
        else:
            self.config = _merged_config(running.context)
        if self.verbose:
            log.setLevel(logging.DEBUG)

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
        recorded = not self.is_read_only and not self.args.no_worker_activity
        if not recorded:
            log.info("No activity is recorded.")
        progress = Progress(
            None if self.is_read_only else self.bridge, noun=noun, total=len(items)
        )
        loop = Loop(
            work,
            claims=ElementClaims(self.bridge if recorded else None),
            progress=progress,
            log_failure=self._log_failure,
        )
        loop.run(items)
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

    def extras_directory(self) -> Path:
        """The folder for what is downloaded; in a job, one that goes with the job."""
        given: Path | None = self.args.extras_dir
        if given is None:
            parent = Path.cwd() if self.bridge is not None else None
            given = Path(tempfile.mkdtemp(prefix="extras-", dir=parent))
            self.args.extras_dir = given
        given.mkdir(parents=True, exist_ok=True)
        return given

    @contextlib.contextmanager
    def preparation(self) -> Iterator[None]:
        """Read the configuration, then what to work on, within this block.

        On a laptop what is wrong with either is one sentence and exit code 2.

        Raises:
            BadBatch: In a job.
        """
        try:
            self.configure()
            yield
        except BadBatch as error:
            if self.bridge is not None:
                raise
            self.parser.error(str(error))

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
        if self.bridge is not None:
            raise WorkerFailed(words)
        sys.exit(1)


def _merged_config(context: bridge.JobContext) -> dict[str, Any]:
    """Defaults, then what models bring, then what the job was given."""
    return {
        **context.defaults,
        **_model_config(item.path for item in context.inputs.values()),
        **differences(context.parameters, context.defaults),
    }


def _model_config(paths: Iterable[Path]) -> Mapping[str, Any]:
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
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadBatch(f"--config {str(file)!r} cannot be read: {error}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise BadBatch(f"--config {str(file)!r} must hold a mapping of names to values")
    return values
