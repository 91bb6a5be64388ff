"""The images that are proven, and what each is to run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

DAEMON = "dioptra-worker-v1"


@dataclass(frozen=True, kw_only=True)
class Image:
    """One image.

    Attributes:
        name: Its folder in ``containers/``.
        queue: The queue that its first job comes by; a second one is ``QUEUE-b``.
        entrypoint: What it is to run.
        folder: Where that entrypoint is, from the repository's root.
        long: Values with which the entrypoint takes long enough to be stopped in it.
        under_way: What the job's log says when it is well under way.
        attacks: Whether its metrics tell how accurate a network is, before and after.
        alone: Whether its context is its own folder, as for an image of one's own.
        bare: Whether it has the worker and a command, but neither a user nor a health
            check, and is built on an image that is none of ours.
    """

    name: str
    queue: str
    entrypoint: str
    folder: str
    long: Mapping[str, str] = field(default_factory=dict)
    under_way: str = ""
    attacks: bool = False
    alone: bool = False
    bare: bool = False

    @property
    def tag(self) -> str:
        """What it is called once it is built."""
        return f"dioptra-worker-{self.name}"

    @property
    def queues(self) -> tuple[str, str]:
        """The queues that its container serves."""
        return self.queue, f"{self.queue}-b"

    def command(self, *arguments: str) -> tuple[str, ...]:
        """What stands behind the image when a container is started, for its queues.

        Args:
            arguments: The daemon's; without, a container serves the image's queues.
        """
        if not self.bare:
            return arguments or self.queues
        return (DAEMON, *arguments) if arguments else ()


def _framework(name: str, entrypoint: str, epochs: int) -> Image:
    return Image(
        name=name,
        queue=name,
        entrypoint=entrypoint,
        folder=f"entrypoints/{entrypoint}",
        long={"epochs": str(epochs)},
        under_way="trained epoch=3 ",
        attacks=True,
    )


IMAGES = {
    image.name: image
    for image in (
        Image(
            name="base",
            queue="plain",
            entrypoint="hello-world",
            folder="entrypoints/hello-world",
        ),
        _framework("tensorflow-cpu", "tensorflow-attack", 200),
        _framework("pytorch-cpu", "pytorch-attack", 300),
        _framework("tensorflow-gpu", "tensorflow-attack", 200),
        _framework("pytorch-gpu", "pytorch-attack", 300),
        Image(
            name="custom",
            queue="tabular",
            entrypoint="table-of-squares",
            folder="containers/custom/entrypoint",
            long={"rows": "20", "seconds": "1.0"},
            under_way="squared number=3 ",
            alone=True,
        ),
        Image(
            name="two-lines",
            queue="squares",
            entrypoint="table-of-squares",
            folder="containers/custom/entrypoint",
            long={"rows": "20", "seconds": "1.0"},
            under_way="squared number=3 ",
            bare=True,
        ),
    )
}
"""All images by name; ``base`` comes first, since the others are built on it."""
ROUTINE = ("base", "tensorflow-cpu", "pytorch-cpu", "custom", "two-lines")
"""What is proven unless something else is asked for."""
