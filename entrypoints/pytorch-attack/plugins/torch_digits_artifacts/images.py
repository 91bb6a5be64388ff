"""An artifact task for images."""

from pathlib import Path
from typing import Any

import numpy as np
from dioptra.sdk.api.artifact import ArtifactTaskInterface


class NpzFile(ArtifactTaskInterface):
    """Images, kept as NumPy's compressed file, which holds data only."""

    @staticmethod
    def serialize(
        working_dir: Path, name: str, contents: np.ndarray, **kwargs: Any
    ) -> Path:
        """Write the images.

        Args:
            working_dir: The folder to write into.
            name: The artifact's name in the task graph.
            contents: The images.
            **kwargs: Nothing today.

        Returns:
            The file.
        """
        path = working_dir / f"{name}.npz"
        np.savez_compressed(path, images=contents)
        return path

    @staticmethod
    def deserialize(working_dir: Path, path: str, **kwargs: Any) -> np.ndarray:
        """Read the images back.

        Args:
            working_dir: The folder with the file.
            path: The file's path in that folder.
            **kwargs: Nothing today.

        Returns:
            The images.
        """
        with np.load(working_dir / path, allow_pickle=False) as file:
            return file["images"]

    @staticmethod
    def validation() -> dict[str, Any] | None:
        """Say which ``args`` a task graph may give, in JSON Schema.

        Returns:
            No argument is allowed.
        """
        return {}
