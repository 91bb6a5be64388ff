"""An artifact task that keeps one file."""

import json
from pathlib import Path
from typing import Any

from dioptra.sdk.api.artifact import ArtifactTaskInterface


class TableFile(ArtifactTaskInterface):
    """Rows, kept as a JSON file."""

    @staticmethod
    def serialize(
        working_dir: Path,
        name: str,
        contents: list[dict[str, Any]],
        indent: int | None = None,
        **kwargs: Any,
    ) -> Path:
        """Write the rows.

        Args:
            working_dir: The folder to write into.
            name: The artifact's name in the task graph.
            contents: The rows.
            indent: How far to indent each level; without it, all is on one line.
            **kwargs: Nothing today.

        Returns:
            The file.
        """
        path = working_dir / f"{name}.json"
        path.write_text(json.dumps(contents, indent=indent) + "\n", encoding="utf-8")
        return path

    @staticmethod
    def deserialize(
        working_dir: Path, path: str, **kwargs: Any
    ) -> list[dict[str, Any]]:
        """Read the rows back.

        Args:
            working_dir: The folder with the file.
            path: The file's path in that folder.
            **kwargs: Nothing today.

        Returns:
            The rows.
        """
        rows: list[dict[str, Any]] = json.loads(
            (working_dir / path).read_text(encoding="utf-8")
        )
        return rows

    @staticmethod
    def validation() -> dict[str, Any] | None:
        """Say which ``args`` a task graph may give, in JSON Schema.

        Returns:
            A schema for each argument.
        """
        return {"indent": {"type": "integer", "minimum": 0, "maximum": 8}}
