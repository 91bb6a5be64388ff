"""The interface of artifact tasks: how a value becomes a file, and comes back."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


class ArtifactTaskInterface(abc.ABCMeta):
    """Base of artifact tasks; a subclass overrides the three static methods.

    A subclass is never instantiated: its methods are called on the class. That the base
    is a metaclass is part of the platform's contract, since plugins may ask
    ``issubclass(task, ArtifactTaskInterface)`` or combine it with other bases.
    """

    @staticmethod
    @abc.abstractmethod
    def serialize(working_dir: Path, name: str, contents: Any, **kwargs: Any) -> Path:
        """Write a value below a directory and say where.

        Args:
            working_dir: The directory to write into.
            name: The artifact's name, meant as the stem of the file.
            contents: What the step of the task graph returned.
            **kwargs: The arguments that the task graph gives to this artifact, as
                `validation` allows them.

        Returns:
            The path of the file or directory.
        """
        raise NotImplementedError

    @staticmethod
    @abc.abstractmethod
    def deserialize(working_dir: Path, path: str, **kwargs: Any) -> Any:
        """Read a value back.

        Args:
            working_dir: The directory that holds the artifact; also a place for files
                that come up on the way.
            path: The artifact's path below ``working_dir``.
            **kwargs: For later use; nothing is passed today.

        Returns:
            The value for the steps of the task graph.
        """
        raise NotImplementedError

    @staticmethod
    @abc.abstractmethod
    def validation() -> dict[str, Any] | None:
        """Describe the arguments of `serialize` beyond the first three.

        Returns:
            JSON Schema (2020-12) by argument name, such as
            ``{"type": {"enum": ["txt", "md"]}}``, or None when there are none.
        """
        raise NotImplementedError
