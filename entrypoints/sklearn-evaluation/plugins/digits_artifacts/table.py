"""An artifact task for tables."""

from pathlib import Path
from typing import Any

import pandas as pd
from dioptra.sdk.api.artifact import ArtifactTaskInterface


class CsvFile(ArtifactTaskInterface):
    """A DataFrame, kept as CSV without its index."""

    @staticmethod
    def serialize(
        working_dir: Path,
        name: str,
        contents: pd.DataFrame,
        decimals: int = 6,
        **kwargs: Any,
    ) -> Path:
        """Write the table.

        Args:
            working_dir: The folder to write into.
            name: The artifact's name in the task graph.
            contents: The table.
            decimals: How many decimals to write.
            **kwargs: Nothing today.

        Returns:
            The file.
        """
        path = working_dir / f"{name}.csv"
        contents.to_csv(path, index=False, float_format=f"%.{decimals}f")
        return path

    @staticmethod
    def deserialize(working_dir: Path, path: str, **kwargs: Any) -> pd.DataFrame:
        """Read the table back.

        Args:
            working_dir: The folder with the file.
            path: The file's path in that folder.
            **kwargs: Nothing today.

        Returns:
            The table.
        """
        return pd.read_csv(working_dir / path)

    @staticmethod
    def validation() -> dict[str, Any] | None:
        """Say which ``args`` a task graph may give, in JSON Schema.

        Returns:
            A schema for each argument.
        """
        return {"decimals": {"type": "integer", "minimum": 0, "maximum": 17}}
