"""What can be wrong before an entrypoint is run.

.. code-block:: text

    WorkerError
     └─ WorkbenchError
         ├─ InvalidRequest     what is asked for cannot be run: names, values, files
         │   └─ NoPlugins      there is no folder of plugins beside a file on its own
         └─ InvalidEntrypoint  its task graph, dioptra.toml or a plugin is wrong
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.errors import WorkerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dioptra_worker.tools.resources.findings import Finding


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
    """The entrypoint is wrong: its task graph, its ``dioptra.toml``, or a plugin.

    Attributes:
        findings: What is wrong with it, and what is only strange, by file and line.
    """

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(map(str, findings)))
