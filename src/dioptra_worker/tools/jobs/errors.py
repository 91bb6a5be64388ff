"""What can be wrong with a request about a job, besides that there is no such job.

.. code-block:: text

    WorkerError
     └─ ResourceError
         ├─ NotNow       the job is in no state for that, or somebody runs it
         ├─ NoContents   an artifact was deleted, or the API cannot read it
         └─ CannotSave   an artifact cannot be saved here, or something is in its place
"""

from __future__ import annotations

from dioptra_worker.tools.resources.errors import ResourceError


class NotNow(ResourceError):
    """A job is in no state for what is asked."""


class NoContents(ResourceError):
    """An artifact's contents are no longer there, or are not to be had."""


class CannotSave(ResourceError):
    """An artifact cannot be saved on this machine."""
