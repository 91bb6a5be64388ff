"""What batch workers raise.

- `WorkerError`
  - `WorkerFailed`: there was nothing to do, or nothing succeeded
  - `MissingDatasetArchive`: a data set has no contents to be had
  - `BadBatch`: what to work on cannot be made out
"""

from __future__ import annotations

from dioptra_worker.errors import WorkerError


class WorkerFailed(WorkerError):
    """There was nothing to process, or nothing could be."""


class MissingDatasetArchive(WorkerError):
    """A data set has no folder of contents."""


class BadBatch(WorkerError):
    """The elements or sets to process cannot be made out."""
