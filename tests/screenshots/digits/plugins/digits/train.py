"""Numbers as a training has them, and nothing that is trained."""

import math

import structlog
from dioptra import pyplugs

from dioptra_worker.sdk.metrics import log_metric

LOG = structlog.get_logger()


@pyplugs.register
def train(epochs: int, rate: float) -> list[list[float]]:
    """Report loss and accuracy of each epoch.

    Args:
        epochs: How many there are.
        rate: How fast they fall and rise.

    Returns:
        How often which digit was taken for which.
    """
    for epoch in range(epochs):
        noise = 0.03 * math.sin(7 * epoch * rate + epoch)
        loss = 2.3 * math.exp(-rate * epoch) + 0.05
        log_metric("train_loss", loss + noise, step=epoch)
        log_metric("test_loss", loss * 1.15 + 0.06 + 2 * noise, step=epoch)
        log_metric("accuracy", 0.97 - 0.87 * math.exp(-rate * epoch), step=epoch)
        if epoch % 10 == 0:
            LOG.info("epoch done", epoch=epoch, loss=round(loss, 3))
    LOG.warning("test loss rises", since=epochs - 2)
    return [
        [round(90 * math.exp(-abs(a - b) * 9 * rate ** (1 / 3))) for b in range(10)]
        for a in range(10)
    ]
