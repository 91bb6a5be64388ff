"""An upload to a store that is away is begun anew until the store is there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.errors import ServiceRefused, ServiceUnavailable
from dioptra_worker.tracking.upload_retry import RetryingStore

if TYPE_CHECKING:
    from dioptra_worker.tracking.upload_digests import UploadDigests

AWAY = ServiceUnavailable("it is away", service="S3")


class FlakyStore:
    """Fails with what it is given, one after the other; then it works."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.puts: list[tuple[Path, str]] = []

    part_size = 0

    def put(
        self, path: Path, folder: str, *, digests: UploadDigests | None = None
    ) -> str:
        """Upload."""
        del digests
        self.puts.append((path, folder))
        if self.errors:
            raise self.errors.pop(0)
        return f"s3://bucket/{folder}/{path.name}"


def _retrying(store: FlakyStore, said: list[object], seconds: float) -> RetryingStore:
    return RetryingStore(
        store,
        on_wait=said.append,
        on_back=lambda error, _: said.append(error),
        retry_timeout=seconds,
    )


def test_an_upload_is_tried_until_the_store_is_there() -> None:
    """That it waits, and that it need not any more, is told once."""
    store, said = FlakyStore(AWAY, AWAY), list[object]()
    uri = _retrying(store, said, 60.0).put(Path("model.bin"), "model")
    assert uri == "s3://bucket/model/model.bin"
    assert store.puts == [(Path("model.bin"), "model")] * 3
    assert said == [AWAY, AWAY]


def test_it_is_given_up_in_the_end() -> None:
    """A store that stays away fails the job with the reason."""
    store = FlakyStore(*[AWAY] * 100)
    with pytest.raises(ServiceUnavailable, match="it is away"):
        _retrying(store, [], 0.1).put(Path("model.bin"), "model")


def test_a_refusal_is_final() -> None:
    """What the store will never take is not tried again."""
    store = FlakyStore(ServiceRefused("no such bucket", service="S3", status=404))
    with pytest.raises(ServiceRefused):
        _retrying(store, [], 60.0).put(Path("model.bin"), "model")
    assert len(store.puts) == 1
