"""What validation finds: frozen issues, each with a place in the document."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Location = tuple[str | int, ...]
"""Keys and indices that lead from the root of a document to one of its nodes."""


class Severity(Enum):
    """How bad an issue is: an error refuses the entrypoint, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing that is wrong with an entrypoint.

    Attributes:
        severity: Whether the entrypoint is refused for it.
        message: A whole sentence: the thing, what is wrong, and the way out.
        path: Where in the document, as keys and indices from its root.
        line: The line in the file, counted from 1, when there is a file.
        column: The column in that line, counted from 1.
    """

    severity: Severity
    message: str
    path: Location = ()
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return f"{self.severity.value}{self._where()}: {self.message}"

    def _where(self) -> str:
        if self.line is not None:
            return f" in line {self.line}, column {self.column}"
        return f" at {show_path(self.path)}" if self.path else ""


def show_path(path: Location) -> str:
    """Write a location as people write it: ``graph.train.fit[0]``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else str(part)
    return text


class Report:
    """Collects issues and adds the line and column that a document knows.

    Args:
        locate: Finds the line and column of a place.
        declared_in: The file that declares types, tasks and parameters, if it is
            another one.
    """

    def __init__(
        self,
        locate: Callable[[Location], tuple[int, int] | None] | None = None,
        *,
        declared_in: str = "",
    ) -> None:
        self._locate = locate
        self._declared_in = declared_in
        self._issues: list[Issue] = []

    def where(self, section: str) -> str:
        """Say where things of a section are declared: ``under 'tasks'``."""
        if self._declared_in:
            return f"in {self._declared_in}"
        return f"under {section!r}"

    def error(self, message: str, path: Location) -> None:
        """Note something for which the entrypoint must be refused."""
        self._add(Severity.ERROR, message, path)

    def warning(self, message: str, path: Location) -> None:
        """Note something that is allowed but is probably not meant."""
        self._add(Severity.WARNING, message, path)

    def extend(self, issues: Iterable[Issue]) -> None:
        """Take over issues that were found, and placed, elsewhere."""
        self._issues.extend(issues)

    @property
    def issues(self) -> list[Issue]:
        """Everything noted so far, in the order of the document where it is known."""
        return sorted(
            self._issues, key=lambda issue: (issue.line or 0, issue.column or 0)
        )

    @property
    def failed(self) -> bool:
        """Whether there is at least one error."""
        return any(issue.severity is Severity.ERROR for issue in self._issues)

    def _add(self, severity: Severity, message: str, path: Location) -> None:
        place = self._locate(path) if self._locate else None
        line, column = place or (None, None)
        self._issues.append(Issue(severity, message, path, line, column))
