"""An artifact task for networks of PyTorch."""

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dioptra.sdk.api.artifact import ArtifactTaskInterface

if TYPE_CHECKING:
    import torch


class TorchFile(ArtifactTaskInterface):
    """A network, kept as a program of `torch.export`, which holds no Python code."""

    @staticmethod
    def serialize(
        working_dir: Path, name: str, contents: "torch.nn.Module", **kwargs: Any
    ) -> Path:
        """Write the network.

        Args:
            working_dir: The folder to write into.
            name: The artifact's name in the task graph.
            contents: The network, which takes images of 8 by 8 pixels.
            **kwargs: Nothing today.

        Returns:
            The file.
        """
        import torch

        path = working_dir / f"{name}.pt2"
        images = torch.zeros(2, 1, 8, 8)
        program = torch.export.export(
            copy.deepcopy(contents).cpu().eval(),  # the job goes on with its own
            (images,),
            dynamic_shapes=({0: torch.export.Dim("images")},),
        )
        torch.export.save(program, path)
        return path

    @staticmethod
    def deserialize(working_dir: Path, path: str, **kwargs: Any) -> "torch.nn.Module":
        """Read the network back.

        Args:
            working_dir: The folder with the file.
            path: The file's path in that folder.
            **kwargs: Nothing today.

        Returns:
            The network.
        """
        import torch

        return torch.export.load(working_dir / path).module()

    @staticmethod
    def validation() -> dict[str, Any] | None:
        """Say which ``args`` a task graph may give, in JSON Schema.

        Returns:
            No argument is allowed.
        """
        return {}
