"""How long an artifact waits for a store that is away: its upload is tried again.

Within one try, boto3 repeats single requests (`tracking.s3.client.MAX_RETRIES`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.common.network.backoff import retry_until_available

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dioptra_worker.errors import ServiceUnavailable
    from dioptra_worker.tracking.artifact_store import Store
    from dioptra_worker.tracking.upload_digests import UploadDigests

STORE_RETRY_TIMEOUT = 3600.0
"""Seconds for which a runner tries to store an artifact in a store that is away."""


class RetryingStore:
    """A store whose uploads are begun anew until it is there; each may be repeated."""

    def __init__(
        self,
        store: Store,
        *,
        on_wait: Callable[[ServiceUnavailable], None],
        on_back: Callable[[ServiceUnavailable, float], None],
        retry_timeout: float = STORE_RETRY_TIMEOUT,
    ) -> None:
        """Prepare.

        Args:
            store: Where artifacts go.
            on_wait: Told once when an upload begins to wait.
            on_back: Told once when it need not wait any more, after how long.
            retry_timeout: Seconds that one upload waits at most.
        """
        self._store = store
        self.part_size = store.part_size
        self._on_wait = on_wait
        self._on_back = on_back
        self._retry_timeout = retry_timeout

    def put(
        self, path: Path, folder: str, *, digests: UploadDigests | None = None
    ) -> str:
        """Upload a file or folder; see `Store.put`."""
        return retry_until_available(
            lambda: self._store.put(path, folder, digests=digests),
            seconds=self._retry_timeout,
            on_wait=self._on_wait,
            on_back=self._on_back,
        )
