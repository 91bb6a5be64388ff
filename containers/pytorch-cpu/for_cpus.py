"""Ends a build when what was installed is not PyTorch for CPUs."""

import importlib
import sys

import torch

CUDA = (
    "This is PyTorch with CUDA: say with --build-arg TORCH_OPTIONS=… where wheels for"
    " CPUs are."
)
ANOTHER = (
    "This torchvision is not the one for this PyTorch ({}): have both from one place"
    " with --build-arg TORCH_OPTIONS=…, or none with --build-arg TORCHVISION="
)


def complaint(packages: list[str]) -> str | None:
    """What is wrong with the packages, None when nothing is."""
    if torch.version.cuda:
        return CUDA
    try:
        for name in packages:
            importlib.import_module(name)
    except (ImportError, OSError, RuntimeError) as error:
        return ANOTHER.format(error)
    return None


if __name__ == "__main__":
    sys.exit(complaint(sys.argv[1:]))
