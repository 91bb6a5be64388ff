"""What can be wrong with a capsule.

.. code-block:: text

    WorkerError
     └─ CapsuleError           it cannot be made or used
         ├─ BadCapsule         a file is none, or none that may be unpacked
         └─ ChangedCapsule     something in it was changed or is missing
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.errors import WorkerError

if TYPE_CHECKING:
    from collections.abc import Sequence


class CapsuleError(WorkerError):
    """A capsule cannot be made or used."""


class BadCapsule(CapsuleError):
    """A file is no capsule, or holds what is not unpacked."""


class ChangedCapsule(CapsuleError):
    """Something in a capsule was changed, or is missing.

    Attributes:
        findings: One sentence for each.
    """

    def __init__(self, findings: Sequence[str]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(self.findings))
