"""The identity of a worker run: which code, inputs and settings, in which process.

Neither the API's address, nor the queue, nor the image or the machine is part of it: it
must be computable before anything runs, and be the same wherever it is computed. Those
are recorded beside it (see `run_tags`).
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dioptra_worker.provenance.configuration import NAMESPACE, canonical_text

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

RUN_VARIABLE = "DIOPTRA_WORKER_RUN_ID"
"""Names the personal worker run that signs what a person makes without a queue."""


@dataclass(frozen=True, kw_only=True)
class WorkerRun:
    """One combination of process, worker version, inputs, swaps and configuration.

    Attributes:
        experiment_id: The process.
        entrypoint_id: The worker.
        entrypoint_snapshot_id: The worker's version.
        inputs: Artifact and snapshot id of each input, a model among them, by name.
        swaps: The chosen task alias by the swap's name.
        configuration: The typed values of all parameters but the data parameters.
        user: Whose personal worker run it is; None for that of a queue's jobs.
    """

    experiment_id: int
    entrypoint_id: int
    entrypoint_snapshot_id: int
    inputs: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    swaps: Mapping[str, str] = field(default_factory=dict)
    configuration: Mapping[str, Any] = field(default_factory=dict)
    user: str | None = None

    def without(self, data_parameters: Collection[str]) -> WorkerRun:
        """The same without the parameters and inputs that say what to work on.

        Jobs that process other elements with the same code and settings share one
        worker run, and with it the record of which elements are done.
        """
        return replace(
            self,
            inputs=_without(self.inputs, data_parameters),
            configuration=_without(self.configuration, data_parameters),
        )

    def document(self) -> dict[str, Any]:
        """What the id is computed from, ready for JSON."""
        process: dict[str, Any] = {"experiment": self.experiment_id}
        if self.user is not None:
            process["user"] = self.user
        return {
            "process": process,
            "workerVersion": {
                "entrypoint": self.entrypoint_id,
                "snapshot": self.entrypoint_snapshot_id,
            },
            "inputs": {name: list(ids) for name, ids in self.inputs.items()},
            "swaps": dict(self.swaps),
            "configuration": dict(self.configuration),
        }

    @property
    def id(self) -> str:
        """The worker run's UUID: version 5, of the canonical JSON of `document`."""
        return str(uuid.uuid5(NAMESPACE, canonical_text(self.document())))


def _without(values: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}
