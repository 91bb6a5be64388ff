"""What travels from a job to the REST API, and how it is written down."""

from __future__ import annotations

from typing import Generic, TypeVar, get_args

from dioptra_worker.protocol.codec import decode, encode
from dioptra_worker.protocol.messages import ArtifactStored, Log, Metric, RunStarted

Result = Metric | ArtifactStored | RunStarted
"""Everything but the log."""
RESULTS: tuple[type[Result], ...] = get_args(Result)

P = TypeVar("P", bound=Log | Result)

ITEM_WEIGHT = 200
"""About how many bytes an item takes beside its text."""


class ItemCodec(Generic[P]):
    """Items as lines, as the runner says them."""

    def __init__(self, *kinds: type[P]) -> None:
        """Prepare.

        Args:
            kinds: What items may be.
        """
        self._kinds = kinds

    def encode(self, item: P) -> bytes:
        """An item as a line."""
        return encode(item)

    def decode(self, line: bytes) -> P:
        """The item on a line; `ValueError` when there is none."""
        found = decode(line)
        if not isinstance(found, self._kinds):
            raise ValueError(f"no item: {found}")  # noqa: TRY004 - as `decode`
        return found

    def weight(self, item: P) -> int:
        """About how many bytes it takes."""
        return weight(item)


def weight(item: Log | Result) -> int:
    """About how many bytes an item takes; of text, its characters."""
    match item:
        case Log(logger=logger, message=message):
            return ITEM_WEIGHT + len(logger) + len(message)
        case ArtifactStored(name=name, uri=uri):
            return ITEM_WEIGHT + len(name) + len(uri)
    return ITEM_WEIGHT


def describe(item: Result) -> str:
    """A result as people call it."""
    match item:
        case Metric(name=name, step=step):
            where = "" if step is None else f" at step {step}"
            return f"the metric {name!r}{where}"
        case ArtifactStored(name=name):
            return f"the artifact {name!r}"
        case RunStarted(run_id=run_id):
            return f"the MLflow run {run_id}"
