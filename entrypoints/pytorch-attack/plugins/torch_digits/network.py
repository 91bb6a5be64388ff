"""The network: trained, and asked how often it is right.

PyTorch is imported in the functions that use it, so that this file can be read, and
checked, where there is none.
"""

from typing import TYPE_CHECKING

import mlflow
import numpy as np
import structlog
from dioptra import pyplugs

if TYPE_CHECKING:
    import torch

LOGGER = structlog.get_logger()

BATCH = 64


@pyplugs.register
def train_network(
    x: np.ndarray, y: np.ndarray, epochs: int, seed: int
) -> "torch.nn.Module":
    """Train a small convolutional network, on a GPU if there is one.

    Args:
        x: Images with one channel, from 0 to 1.
        y: The digit of each.
        epochs: How often every image is looked at.
        seed: The same seed gives the same network, on the same machine.

    Returns:
        The network.
    """
    import torch

    torch.manual_seed(seed)
    device = _device()
    network = _network().to(device)
    batches = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(
            torch.as_tensor(x), torch.as_tensor(y, dtype=torch.long)
        ),
        batch_size=BATCH,
        shuffle=True,
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=0.003)
    LOGGER.info("training", images=len(x), epochs=epochs, device=device)
    for epoch in range(epochs):
        loss = _epoch(network, batches, optimizer, device)
        mlflow.log_metric("training_loss", loss, step=epoch)
        LOGGER.info("trained", epoch=epoch + 1, of=epochs, loss=round(loss, 4))
    return network.eval()


@pyplugs.register
def measure(network: "torch.nn.Module", x: np.ndarray, y: np.ndarray) -> float:
    """Measure how often a network is right.

    Args:
        network: The network.
        x: Images with one channel, from 0 to 1.
        y: The digit of each.

    Returns:
        The share of right answers, between 0 and 1.
    """
    import torch

    with torch.no_grad():
        scores = network.eval()(torch.as_tensor(x, device=_device()))
    return float((scores.argmax(dim=1).cpu().numpy() == y).mean())


def _network() -> "torch.nn.Module":
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(1, 16, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 4 * 4, 10),
    )


def _epoch(
    network: "torch.nn.Module",
    batches: "torch.utils.data.DataLoader",
    optimizer: "torch.optim.Optimizer",
    device: str,
) -> float:
    """Look at every image once; the mean loss."""
    from torch import nn

    network.train()
    losses = []
    for images, digits in batches:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(images.to(device)), digits.to(device))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return float(np.mean(losses))


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
