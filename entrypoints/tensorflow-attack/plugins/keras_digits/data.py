"""The data: handwritten digits, which come with scikit-learn."""

import numpy as np
import structlog
from dioptra import pyplugs
from sklearn import datasets
from sklearn.model_selection import train_test_split

LOGGER = structlog.get_logger()

Array = np.ndarray

BRIGHTEST = 16


@pyplugs.register
def load_images(test_share: float, seed: int) -> tuple[Array, Array, Array, Array]:
    """Load 1797 images of handwritten digits, split into two parts.

    Args:
        test_share: Which part of them is kept for the test, between 0 and 1.
        seed: Decides which ones.

    Returns:
        Images and digits for the training, then those for the test. An image is
        8 by 8 pixels of one channel, from 0 to 1.
    """
    digits = datasets.load_digits()
    images = (digits.images / BRIGHTEST).astype(np.float32).reshape(-1, 8, 8, 1)
    x_train, x_test, y_train, y_test = train_test_split(
        images,
        digits.target,
        test_size=test_share,
        random_state=seed,
        stratify=digits.target,
    )
    LOGGER.info("loaded digits", train=len(x_train), test=len(x_test))
    return x_train, y_train, x_test, y_test
