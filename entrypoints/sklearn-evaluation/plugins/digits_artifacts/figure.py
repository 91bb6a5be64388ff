"""An artifact task for figures."""

from pathlib import Path
from typing import Any

from dioptra.sdk.api.artifact import ArtifactTaskInterface
from matplotlib.figure import Figure


class PngFile(ArtifactTaskInterface):
    """A figure of Matplotlib, kept as a picture."""

    @staticmethod
    def serialize(
        working_dir: Path, name: str, contents: Figure, dpi: int = 100, **kwargs: Any
    ) -> Path:
        """Draw the figure.

        Args:
            working_dir: The folder to write into.
            name: The artifact's name in the task graph.
            contents: The figure.
            dpi: How many pixels an inch of the figure has.
            **kwargs: Nothing today.

        Returns:
            The file.
        """
        path = working_dir / f"{name}.png"
        contents.savefig(path, dpi=dpi)
        return path

    @staticmethod
    def deserialize(working_dir: Path, path: str, **kwargs: Any) -> str:
        """Say where the picture is: a figure cannot be had back from it.

        Args:
            working_dir: The folder with the file.
            path: The file's path in that folder.
            **kwargs: Nothing today.

        Returns:
            The path of the picture.
        """
        return str(working_dir / path)

    @staticmethod
    def validation() -> dict[str, Any] | None:
        """Say which ``args`` a task graph may give, in JSON Schema.

        Returns:
            A schema for each argument.
        """
        return {"dpi": {"type": "integer", "minimum": 20, "maximum": 600}}
