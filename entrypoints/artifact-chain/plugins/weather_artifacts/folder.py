"""An artifact task that keeps a whole folder: `serialize` returns its path."""

import csv
from itertools import groupby
from pathlib import Path
from typing import Any

from dioptra.sdk.api.artifact import ArtifactTaskInterface


class FolderOfTables(ArtifactTaskInterface):
    """Rows, kept as a folder with one CSV file for each value of one column."""

    @staticmethod
    def serialize(
        working_dir: Path,
        name: str,
        contents: list[dict[str, Any]],
        column: str = "day",
        **kwargs: Any,
    ) -> Path:
        """Write the tables.

        Args:
            working_dir: The folder to write into.
            name: The artifact's name in the task graph.
            contents: The rows, sorted by that column.
            column: The column that decides into which table a row goes.
            **kwargs: Nothing today.

        Returns:
            The folder.
        """
        folder = working_dir / name
        folder.mkdir()
        for value, rows in groupby(contents, key=lambda row: row[column]):
            path = folder / f"{column}-{value:03}.csv"
            with path.open("w", encoding="utf-8", newline="") as file:
                table = csv.DictWriter(file, fieldnames=list(contents[0]))
                table.writeheader()
                table.writerows(rows)
        return folder

    @staticmethod
    def deserialize(
        working_dir: Path, path: str, **kwargs: Any
    ) -> list[dict[str, Any]]:
        """Read all the tables back.

        Args:
            working_dir: The folder with the artifact.
            path: The artifact's path in that folder.
            **kwargs: Nothing today.

        Returns:
            The rows of all tables in their order, with numbers as numbers.
        """
        rows = []
        for file in sorted((working_dir / path).rglob("*.csv")):
            with file.open(encoding="utf-8", newline="") as table:
                for row in csv.DictReader(table):
                    rows.append({key: _number(text) for key, text in row.items()})
        return rows

    @staticmethod
    def validation() -> dict[str, Any] | None:
        """Say which ``args`` a task graph may give, in JSON Schema.

        Returns:
            A schema for each argument.
        """
        return {"column": {"type": "string", "minLength": 1}}


def _number(text: str) -> int | float:
    return float(text) if "." in text else int(text)
