"""The attack: pixels are changed a little, so that the network is wrong.

TensorFlow is imported in the function that uses it, so that this file can be read, and
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
    import tensorflow as tf

LOGGER = structlog.get_logger()


@pyplugs.register
def fast_gradient(
    network: "tf.keras.Model", x: np.ndarray, y: np.ndarray, strength: float
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
    import tensorflow as tf
    from art.estimators.classification import TensorFlowV2Classifier

    classifier = TensorFlowV2Classifier(
        model=network,
        loss_object=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        input_shape=x.shape[1:],
        nb_classes=10,
        clip_values=(0.0, 1.0),
    )
    changed = FastGradientMethod(classifier, eps=strength).generate(x, y)
    LOGGER.info("attacked", strength=strength, images=len(x))
    return changed
