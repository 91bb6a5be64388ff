"""The network: trained, and asked how often it is right.

TensorFlow is imported in the functions that use it, so that this file can be read, and
checked, where there is none.
"""

from typing import TYPE_CHECKING

import mlflow
import numpy as np
import structlog
from dioptra import pyplugs

if TYPE_CHECKING:
    import tensorflow as tf

LOGGER = structlog.get_logger()

BATCH = 64


@pyplugs.register
def train_network(
    x: np.ndarray, y: np.ndarray, epochs: int, seed: int
) -> "tf.keras.Model":
    """Train a small convolutional network, on a GPU if there is one.

    Args:
        x: Images with one channel, from 0 to 1.
        y: The digit of each.
        epochs: How often every image is looked at.
        seed: The same seed gives the same network, on the same machine.

    Returns:
        The network.
    """
    import tensorflow as tf

    tf.keras.utils.set_random_seed(seed)
    device = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    network = _network()
    network.compile(
        optimizer=tf.keras.optimizers.Adam(0.003),
        loss=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    LOGGER.info("training", images=len(x), epochs=epochs, device=device)
    for epoch in range(epochs):
        history = network.fit(x, y, batch_size=BATCH, verbose=0)
        loss = float(history.history["loss"][0])
        mlflow.log_metric("training_loss", loss, step=epoch)
        LOGGER.info("trained", epoch=epoch + 1, of=epochs, loss=round(loss, 4))
    return network


@pyplugs.register
def measure(network: "tf.keras.Model", x: np.ndarray, y: np.ndarray) -> float:
    """Measure how often a network is right.

    Args:
        network: The network.
        x: Images with one channel, from 0 to 1.
        y: The digit of each.

    Returns:
        The share of right answers, between 0 and 1.
    """
    scores = network.predict(x, batch_size=len(x), verbose=0)
    return float((scores.argmax(axis=1) == y).mean())


def _network() -> "tf.keras.Model":
    from tensorflow.keras import layers, models

    return models.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(16, kernel_size=3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(32, kernel_size=3, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )
