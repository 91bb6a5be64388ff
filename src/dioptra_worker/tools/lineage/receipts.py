"""What the receipt of a job's run says, where MLflow can be asked for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.errors import WorkerError
from dioptra_worker.provenance.manifest import RECEIPT_TAG
from dioptra_worker.tools.lineage.connections import open_mlflow
from dioptra_worker.tools.lineage.mlflow_api import tags_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

RECEIPT_TIMEOUT = 5.0
"""Seconds that MLflow may take: all else of a job is shown without it."""


def receipt_reader(environment: Mapping[str, str]) -> Callable[[str], str]:
    """What tells the receipt of a run, by its id; empty where there is none, yet.

    Args:
        environment: Names the MLflow server, if there is one to ask.
    """

    def read(run_id: str) -> str:
        if not environment.get("MLFLOW_TRACKING_URI"):
            return ""
        try:
            with open_mlflow(environment, timeout=RECEIPT_TIMEOUT) as mlflow:
                return tags_of(mlflow.run(run_id)).get(RECEIPT_TAG, "")
        except WorkerError:
            return ""

    return read
