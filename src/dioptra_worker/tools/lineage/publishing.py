"""Publishing under a personal worker run, for scripts."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from dioptra_worker.errors import SettingsError
from dioptra_worker.provenance import RUN_VARIABLE
from dioptra_worker.tools.lineage.connections import open_runs
from dioptra_worker.tools.lineage.personal_runs import PersonalRuns
from dioptra_worker.tools.resources.account import Account

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dioptra_worker.tools.lineage.runs import FoundRun


class PersonalRun:
    """A personal worker run, open to be signed with; see `open`.

    Attributes:
        id: The worker run's id.
    """

    def __init__(self, personal: PersonalRuns, found: FoundRun) -> None:
        self._personal = personal
        self._found = found
        self.id = found.id

    @classmethod
    @contextmanager
    def open(
        cls, environment: Mapping[str, str], name: str | None = None
    ) -> Iterator[Self]:
        """Open the caller's own worker run.

        Args:
            environment: Where ``DIOPTRA_API``, the account, ``MLFLOW_TRACKING_URI`` and
                ``DIOPTRA_WORKER_RUN_ID`` are, such as ``os.environ``.
            name: The worker run's id, instead of that variable.

        Yields:
            What to publish with.

        Raises:
            SettingsError: A variable is missing.
            NoSuchRun: There is no such worker run.
            NotYours: It belongs to somebody else.
            ServiceError: The API or MLflow refused, or does not answer.
        """
        wanted = name or environment.get(RUN_VARIABLE)
        if not wanted:
            raise SettingsError(
                [f"{RUN_VARIABLE} is missing: the id of your personal worker run"]
            )
        runs = open_runs(environment)
        with Account.of_person(environment).session() as api, runs.mlflow:
            personal = PersonalRuns(api, runs)
            yield cls(personal, personal.mine(wanted))

    def publish(self, path: str | Path, name: str | None = None) -> int:
        """Publish a file or folder; to publish the same name again replaces it.

        Args:
            path: The file or folder.
            name: What to call it; by default its own name.

        Returns:
            The artifact's id.

        Raises:
            LineageError: There is nothing at *path*.
            ServiceError: The API or the store refused, or does not answer.
        """
        return self._personal.publish(self._found, Path(path), name=name)

    def metric(self, name: str, value: float, step: int = 0) -> None:
        """Publish a metric; the same name and step again replaces it.

        Args:
            name: Letters, digits and underscores, not beginning with a digit.
            value: The value, in whatever unit you measure.
            step: Where in the series, such as the epoch.

        Raises:
            ServiceError: The API refused, or does not answer.
        """
        self._personal.metric(self._found, name, value, step)
