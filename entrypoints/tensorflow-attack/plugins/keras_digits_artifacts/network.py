"""An artifact task for networks of Keras."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dioptra.sdk.api.artifact import ArtifactTaskInterface

if TYPE_CHECKING:
    import tensorflow as tf


class KerasFile(ArtifactTaskInterface):
    """A network, kept in Keras's own format, which holds no Python code."""

    @staticmethod
    def serialize(
        working_dir: Path, name: str, contents: "tf.keras.Model", **kwargs: Any
    ) -> Path:
        """Write the network.

        Args:
            working_dir: The folder to write into.
            name: The artifact's name in the task graph.
            contents: The network.
            **kwargs: Nothing today.

        Returns:
            The file.
        """
        path = working_dir / f"{name}.keras"
        contents.save(path)
        return path

    @staticmethod
    def deserialize(working_dir: Path, path: str, **kwargs: Any) -> "tf.keras.Model":
        """Read the network back.

        Args:
            working_dir: The folder with the file.
            path: The file's path in that folder.
            **kwargs: Nothing today.

        Returns:
            The network.
        """
        import tensorflow as tf

        return tf.keras.models.load_model(working_dir / path)

    @staticmethod
    def validation() -> dict[str, Any] | None:
        """Say which ``args`` a task graph may give, in JSON Schema.

        Returns:
            No argument is allowed.
        """
        return {}
