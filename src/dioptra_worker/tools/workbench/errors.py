"""What can be wrong before an entrypoint is run.

.. code-block:: text

    WorkerError
     └─ WorkbenchError
         ├─ InvalidRequest     what is asked for cannot be run: names, values, files
         │   └─ NoPlugins      there is no folder of plugins beside a file on its own
         └─ InvalidEntrypoint  the task graph is wrong
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.errors import WorkerError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from dioptra_worker.engine import Issue


class WorkbenchError(WorkerError):
    """An entrypoint cannot be run here."""


class InvalidRequest(WorkbenchError):
    """What is asked for cannot be run.

    Attributes:
        problems: One sentence for each thing that is wrong.
    """

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class NoPlugins(InvalidRequest):
    """There is no folder of plugins beside a task graph's file on its own."""


class InvalidEntrypoint(WorkbenchError):
    """The task graph is wrong.

    Attributes:
        file: Its file.
        issues: What is wrong with it, and what is only strange.
    """

    def __init__(self, file: Path, issues: Sequence[Issue]) -> None:
        self.file = file
        self.issues = tuple(issues)
        super().__init__("\n".join(f"{file}: {issue}" for issue in issues))
