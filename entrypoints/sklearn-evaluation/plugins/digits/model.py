"""The model: trained, and asked how often it is right."""

import numpy as np
import structlog
from dioptra import pyplugs
from sklearn.linear_model import LogisticRegression

LOGGER = structlog.get_logger()


@pyplugs.register
def train(x: np.ndarray, y: np.ndarray, seed: int) -> LogisticRegression:
    """Train a logistic regression.

    Args:
        x: One sample a row.
        y: The class of each.
        seed: The same seed gives the same model.

    Returns:
        The model.
    """
    model = LogisticRegression(max_iter=500, random_state=seed).fit(x, y)
    LOGGER.info("trained", samples=len(x), iterations=int(model.n_iter_.max()))
    return model


@pyplugs.register
def accuracy(model: LogisticRegression, x: np.ndarray, y: np.ndarray) -> float:
    """Measure how often a model is right.

    Args:
        model: The model.
        x: One sample a row.
        y: The right class of each.

    Returns:
        The share of right answers, between 0 and 1.
    """
    return float(model.score(x, y))
