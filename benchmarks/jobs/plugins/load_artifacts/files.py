"""Artifacts of any size.

Each task tells MLflow the moment at which the artifact's transfer can begin (writing)
or has ended (reading), in seconds since the epoch.
"""

import os
import random
import time
from pathlib import Path
from typing import Any

import mlflow
from dioptra.sdk.api.artifact import ArtifactTaskInterface

CHUNK = 1 << 20


def write(path: Path, size: int, seed: int) -> None:
    """Write a file of bytes that do not compress; the same chunk again and again."""
    chunk = random.Random(seed).randbytes(min(size, CHUNK))
    with path.open("wb") as file:
        while size > 0:
            size -= file.write(chunk[:size])


class OneFile(ArtifactTaskInterface):
    """A file."""

    @staticmethod
    def serialize(
        working_dir: Path, name: str, contents: dict[str, int], **kwargs: Any
    ) -> Path:
        """Write it.

        Args:
            working_dir: The folder to write into.
            name: The artifact's name.
            contents: The size of the file, under ``size``.
            **kwargs: Nothing.

        Returns:
            The file.
        """
        path = Path(working_dir) / f"{name}.bin"
        write(path, contents["size"], seed=1)
        os.sync()  # or the transfer would wait for the disk, too
        mlflow.log_metric("written", time.time())
        return path

    @staticmethod
    def deserialize(working_dir: Path, path: str, **kwargs: Any) -> int:
        """Look at it.

        Args:
            working_dir: The folder with the file.
            path: The file's path in that folder.
            **kwargs: Nothing.

        Returns:
            Its size.
        """
        arrived = time.time()
        size = (Path(working_dir) / path).stat().st_size
        mlflow.log_metric("arrived", arrived)
        mlflow.log_metric("size", size)
        return size

    @staticmethod
    def validation() -> dict[str, Any] | None:
        """Say which ``args`` there are: none."""
        return None


class Folder(ArtifactTaskInterface):
    """A folder with files of the same size."""

    @staticmethod
    def serialize(
        working_dir: Path, name: str, contents: dict[str, int], **kwargs: Any
    ) -> Path:
        """Write it.

        Args:
            working_dir: The folder to write into.
            name: The artifact's name.
            contents: How many files (``files``) of how many bytes each (``size``).
            **kwargs: Nothing.

        Returns:
            The folder.
        """
        folder = Path(working_dir) / name
        folder.mkdir()
        for number in range(contents["files"]):
            write(folder / f"{number:05}.bin", contents["size"], seed=number)
        os.sync()  # or the transfer would wait for the disk, too
        mlflow.log_metric("written", time.time())
        return folder

    @staticmethod
    def deserialize(working_dir: Path, path: str, **kwargs: Any) -> int:
        """Look at it.

        Args:
            working_dir: The folder with the artifact.
            path: The artifact's path in that folder.
            **kwargs: Nothing.

        Returns:
            The size of all its files.
        """
        arrived = time.time()
        files = [file for file in Path(working_dir, path).rglob("*") if file.is_file()]
        size = sum(file.stat().st_size for file in files)
        mlflow.log_metric("arrived", arrived)
        mlflow.log_metric("size", size)
        return size

    @staticmethod
    def validation() -> dict[str, Any] | None:
        """Say which ``args`` there are: none."""
        return None
