"""Base classes for work on many elements: each once, whatever crashes.

A plugin's task makes a subclass of `ElementsWorker` or `DatasetWorker` and calls its
`run`; on a laptop the same class runs as ``python my_worker.py --element a b``. In a
job, the daemon keeps the record of who works on which element, so that many jobs on
many machines can share one batch. Start reading at `elements`, then `loop`.
"""

from dioptra_worker.batch.base import BaseWorker
from dioptra_worker.batch.claims import ActivityState
from dioptra_worker.batch.datasets import Dataset, DatasetWorker, Set
from dioptra_worker.batch.elements import CachedElement, Element, ElementsWorker
from dioptra_worker.batch.errors import BadBatch, MissingDatasetArchive, WorkerFailed

__all__ = [
    "ActivityState",
    "BadBatch",
    "BaseWorker",
    "CachedElement",
    "Dataset",
    "DatasetWorker",
    "Element",
    "ElementsWorker",
    "MissingDatasetArchive",
    "Set",
    "WorkerFailed",
]
