"""Named configurations of an entrypoint, kept in MLflow.

One MLflow run per configuration, in an experiment of their own: durable, shared by all
users, and searchable. A configuration belongs to the entrypoint in all its versions; it
holds only what differs from the defaults, so that equal ones are one.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dioptra_worker.provenance import (
    canonical_text,
    coerce,
    configuration_id,
    deviations,
)
from dioptra_worker.provenance.run_tags import (
    CONFIGURATION_ID,
    RESULTS_DELETED,
    WORKER_RUN_ID,
)
from dioptra_worker.tools.lineage.errors import BadConfiguration
from dioptra_worker.tools.lineage.mlflow_api import tags_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from dioptra_worker.provenance import Parameter
    from dioptra_worker.tools.lineage.mlflow_api import MlflowApi

EXPERIMENT = "dioptra-worker-configurations"
_RECORD = "dioptra.record"
_ENTRYPOINT = "dioptra.entrypointId"
_VALUES = "dioptra.configuration"
_ARCHIVED = "dioptra.archived"
_USER = "dioptra.user"
_NAME = "dioptra.configurationName"


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """A named configuration.

    Attributes:
        id: Computed from the entrypoint and the values.
        name: What people call it.
        entrypoint_id: The entrypoint that it configures.
        values: What differs from the defaults, typed, by the parameter's name.
        archived: Whether it may no longer be used.
        user: Who created it.
        run_id: The MLflow run that keeps it.
    """

    id: str
    name: str
    entrypoint_id: int
    values: Mapping[str, Any]
    archived: bool
    user: str
    run_id: str

    @classmethod
    def read(cls, run: Mapping[str, Any]) -> Configuration:
        """Read a record as MLflow shows it."""
        tags = tags_of(run)
        return cls(
            id=tags[CONFIGURATION_ID],
            name=tags[_NAME],
            entrypoint_id=int(tags[_ENTRYPOINT]),
            values=json.loads(tags[_VALUES]),
            archived=tags.get(_ARCHIVED) == "true",
            user=tags.get(_USER, ""),
            run_id=run["info"]["run_id"],
        )


class Configurations:
    """The configurations of one entrypoint.

    Every method raises `ServiceUnavailable` or `ServiceRefused` when MLflow does not
    answer or refuses.
    """

    def __init__(
        self,
        mlflow: MlflowApi,
        *,
        entrypoint_id: int,
        parameters: Iterable[Parameter],
        data_parameters: Collection[str],
    ) -> None:
        """Prepare.

        Args:
            mlflow: Where they are kept.
            entrypoint_id: The entrypoint.
            parameters: Its parameters, as they are now.
            data_parameters: Those that say what to work on: no part of any
                configuration.
        """
        self._mlflow = mlflow
        self._entrypoint_id = entrypoint_id
        self._parameters = tuple(parameters)
        self._data_parameters = data_parameters

    def all(self) -> list[Configuration]:
        """Every configuration, by name; the archived among them."""
        experiment = self._mlflow.experiment(EXPERIMENT)
        if experiment is None:
            return []
        runs = self._mlflow.runs(
            [experiment],
            f"tags.`{_RECORD}` = 'configuration'"
            f" AND tags.`{_ENTRYPOINT}` = '{self._entrypoint_id}'",
        )
        return sorted(map(Configuration.read, runs), key=lambda found: found.name)

    def defaults(self) -> dict[str, Any]:
        """The default configuration: typed values, by name."""
        return {
            parameter.name: coerce(parameter, parameter.default)
            for parameter in self._parameters
            if parameter.name not in self._data_parameters
        }

    def find(self, name: str) -> Configuration:
        """A configuration by its name or id.

        Raises:
            BadConfiguration: There is none.
        """
        found = self.all()
        for configuration in found:
            if name in {configuration.name, configuration.id}:
                return configuration
        there = ", ".join(repr(entry.name) for entry in found) or "none"
        raise BadConfiguration(
            f"there is no configuration {name!r}: this entrypoint has {there}"
        )

    def usable(self, name: str) -> Configuration:
        """A configuration that may be used in new jobs.

        Raises:
            BadConfiguration: There is none, or it is archived.
        """
        found = self.find(name)
        if found.archived:
            raise _archived(found)
        return found

    def refuse_archived(self, values: Mapping[str, object]) -> None:
        """Refuse values that are those of an archived configuration.

        Raises:
            BadConfiguration: They are.
            BadValue: A value is not of its parameter's type.
        """
        id_ = configuration_id(self._entrypoint_id, self._canonical(values))
        for configuration in self.all():
            if configuration.id == id_ and configuration.archived:
                raise _archived(configuration)

    def create(
        self, name: str, values: Mapping[str, object], *, user: str
    ) -> Configuration:
        """Create a configuration.

        Args:
            name: What to call it.
            values: Values by parameter, typed or as text.
            user: Who creates it.

        Raises:
            BadConfiguration: It is the default, exists, or its name is taken.
            BadValue: A name is no parameter's, or a value not of its type.
        """
        for parameter in values:
            if parameter in self._data_parameters:
                raise BadConfiguration(
                    f"parameter {parameter!r} says what to work on, which is no part of"
                    " a configuration: give it when you submit a job"
                )
        canonical = self._canonical(values)
        if not canonical:
            raise BadConfiguration(
                "these values are the defaults: that configuration needs no name"
            )
        id_ = configuration_id(self._entrypoint_id, canonical)
        for other in self.all():
            if other.id == id_:
                state = ", which is archived" if other.archived else ""
                raise BadConfiguration(
                    f"configuration {other.name!r} has the same values{state}"
                )
            if other.name == name:
                raise BadConfiguration(f"there is a configuration {name!r} already")
        tags = {
            _RECORD: "configuration",
            _NAME: name,
            _ENTRYPOINT: str(self._entrypoint_id),
            CONFIGURATION_ID: id_,
            _VALUES: canonical_text(canonical),
            _ARCHIVED: "false",
            _USER: user,
        }
        experiment = self._mlflow.experiment(EXPERIMENT, create=True)
        assert experiment is not None
        now = int(time.time() * 1000)
        run = self._mlflow.create_run(experiment, name=name, tags=tags, now=now)
        return Configuration.read(run)

    def archive(self, name: str, *, archived: bool = True) -> Configuration:
        """Archive a configuration, or have it used again.

        Raises:
            BadConfiguration: There is none.
        """
        found = self.find(name)
        self._mlflow.set_tag(found.run_id, _ARCHIVED, str(archived).lower())
        return found

    def delete(self, name: str) -> None:
        """Delete a configuration that no result was made with.

        Raises:
            BadConfiguration: There is none, or results made with it exist.
        """
        found = self.find(name)
        used = self._mlflow.runs(
            self._mlflow.experiments(),
            f"tags.`{CONFIGURATION_ID}` = '{found.id}'"
            f" AND tags.`{WORKER_RUN_ID}` LIKE '%'",
        )
        left = [run for run in used if RESULTS_DELETED not in tags_of(run)]
        if left:
            raise BadConfiguration(
                f"{len(left)} runs were made with configuration {found.name!r}: delete"
                " their results first, or archive it"
            )
        self._mlflow.delete_run(found.run_id)

    def _canonical(self, values: Mapping[str, object]) -> dict[str, Any]:
        kept = {
            name: value
            for name, value in values.items()
            if name not in self._data_parameters
        }
        return deviations(self._parameters, kept)


def _archived(configuration: Configuration) -> BadConfiguration:
    return BadConfiguration(
        f"configuration {configuration.name!r} is archived and cannot be used in new"
        " jobs"
    )
