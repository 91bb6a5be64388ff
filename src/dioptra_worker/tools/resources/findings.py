"""What is wrong with a file, and where in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dioptra_worker.engine.issues import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from dioptra_worker.engine import Issue


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or only strange.

    Attributes:
        file: The file that is to blame: one that can be mended.
        issue: What it is, with its line there.
    """

    file: Path
    issue: Issue

    @property
    def refuses(self) -> bool:
        """Whether the entrypoint is refused for it."""
        return self.issue.severity is Severity.ERROR

    def __str__(self) -> str:
        issue = self.issue
        place = f":{issue.line}:{issue.column}" if issue.line else ""
        return f"{self.file}{place}: {issue.severity.value}: {issue.message}"


def refusals(findings: Iterable[Finding]) -> list[Finding]:
    """Those for which an entrypoint is refused."""
    return [finding for finding in findings if finding.refuses]
