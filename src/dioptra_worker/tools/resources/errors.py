"""What can be wrong with resources before the API is asked, or after it answered.

.. code-block:: text

    WorkerError
     └─ ResourceError
         ├─ NoResources       a folder has no dioptra.toml
         ├─ BadResources      what a dioptra.toml says cannot be imported
         ├─ Unknown           the API has nothing of that name
         └─ StillRunning      a job did not end in the time that was given
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.errors import WorkerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dioptra_worker.tools.resources.findings import Finding


class ResourceError(WorkerError):
    """Resources cannot be imported, or a job cannot be submitted or awaited."""


class NoResources(ResourceError):
    """A folder has no ``dioptra.toml``, and neither have the folders in it."""


class BadResources(ResourceError):
    """What a folder has cannot be imported, or run.

    Attributes:
        findings: Each thing that is wrong, with its file and line.
    """

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(map(str, findings)))


class Unknown(ResourceError):
    """The API has nothing of that name that the user can see."""


class StillRunning(ResourceError):
    """A job did not end in the time that was given.

    Attributes:
        status: The status that it has.
    """

    def __init__(self, message: str, *, status: str) -> None:
        self.status = status
        super().__init__(message)
