"""An artifact task for models of scikit-learn."""

from pathlib import Path
from typing import Any

import joblib
from dioptra.sdk.api.artifact import ArtifactTaskInterface


class JoblibFile(ArtifactTaskInterface):
    """A model, kept as joblib's file. Read only files that you trust."""

    @staticmethod
    def serialize(
        working_dir: Path, name: str, contents: Any, compress: int = 0, **kwargs: Any
    ) -> Path:
        """Write the model.

        Args:
            working_dir: The folder to write into.
            name: The artifact's name in the task graph.
            contents: The model.
            compress: From 0, not at all, to 9, small and slow.
            **kwargs: Nothing today.

        Returns:
            The file.
        """
        path = working_dir / f"{name}.joblib"
        joblib.dump(contents, path, compress=compress)
        return path

    @staticmethod
    def deserialize(working_dir: Path, path: str, **kwargs: Any) -> Any:
        """Read the model back.

        Args:
            working_dir: The folder with the file.
            path: The file's path in that folder.
            **kwargs: Nothing today.

        Returns:
            The model.
        """
        return joblib.load(working_dir / path)

    @staticmethod
    def validation() -> dict[str, Any] | None:
        """Say which ``args`` a task graph may give, in JSON Schema.

        Returns:
            A schema for each argument.
        """
        return {"compress": {"type": "integer", "minimum": 0, "maximum": 9}}
