"""What can be wrong with a request about a job, besides that there is no such job.

.. code-block:: text

    WorkerError
     └─ ResourceError
         └─ NotNow   the job is in no state for that, or somebody runs it
"""

from __future__ import annotations

from dioptra_worker.resources.errors import ResourceError


class NotNow(ResourceError):
    """A job is in no state for what is asked."""
