"""The attack: pixels are changed a little, so that the network is wrong.

PyTorch is imported in the function that uses it, so that this file can be read, and
checked, where there is none.
"""

import warnings
from typing import TYPE_CHECKING

import numpy as np
import structlog
from dioptra import pyplugs

with warnings.catch_warnings():
    # It warns of the frameworks that are not installed.
    warnings.simplefilter("ignore")
    from art.attacks.evasion import FastGradientMethod

if TYPE_CHECKING:
    import torch

LOGGER = structlog.get_logger()


@pyplugs.register
def fast_gradient(
    network: "torch.nn.Module", x: np.ndarray, y: np.ndarray, strength: float
) -> np.ndarray:
    """Change images in one step so that a network takes them for something else.

    Args:
        network: The network under attack.
        x: Images with one channel, from 0 to 1.
        y: The digit of each.
        strength: By how much each pixel may change.

    Returns:
        The changed images, from 0 to 1.
    """
    import torch
    from art.estimators.classification import PyTorchClassifier

    classifier = PyTorchClassifier(
        model=network,
        loss=torch.nn.CrossEntropyLoss(),
        input_shape=x.shape[1:],
        nb_classes=10,
        clip_values=(0.0, 1.0),
        device_type="gpu" if torch.cuda.is_available() else "cpu",
    )
    changed = FastGradientMethod(classifier, eps=strength).generate(x, y)
    LOGGER.info("attacked", strength=strength, images=len(x))
    return changed
