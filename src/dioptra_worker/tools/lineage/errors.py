"""What can be wrong with worker runs and configurations.

.. code-block:: text

    WorkerError
     └─ ResourceError
         └─ LineageError
             ├─ NoSuchRun        no worker run has that id, or several do
             ├─ StillInUse       what is to be deleted is being made, or is used
             ├─ BadConfiguration a configuration that is there already, or is archived
             └─ NotYours         a personal worker run of somebody else
"""

from __future__ import annotations

from dioptra_worker.tools.resources.errors import ResourceError


class LineageError(ResourceError):
    """Something about worker runs or configurations cannot be done."""


class NoSuchRun(LineageError):
    """No worker run has that id, or several begin with it."""


class StillInUse(LineageError):
    """What is to be deleted is still being made, or something else uses it."""


class BadConfiguration(LineageError):
    """A configuration cannot be created, used or deleted."""


class NotYours(LineageError):
    """A personal worker run that belongs to somebody else."""
