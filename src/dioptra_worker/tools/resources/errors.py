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

from dioptra_worker.errors import WorkerError


class ResourceError(WorkerError):
    """Resources cannot be imported, or a job cannot be submitted or awaited."""


class NoResources(ResourceError):
    """A folder has no ``dioptra.toml``, and neither have the folders in it."""


class BadResources(ResourceError):
    """What a ``dioptra.toml`` says cannot be imported.

    Attributes:
        problems: One sentence for each thing that is wrong.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


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
