"""Sends a large file to S3 in parts, read once from its begin to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from boto3.s3.transfer import ProgressCallbackInvoker, create_transfer_manager

from dioptra_worker.tracking.s3.part_size import transfer_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import BinaryIO

    from botocore.client import BaseClient


def send(
    client: Any,
    body: BinaryIO,
    *,
    bucket: str,
    key: str,
    size: int,
    extra: Mapping[str, Any],
    on_sent: Callable[[int], None],
) -> str:
    """Send a file.

    A few parts are in memory at a time. boto3 would read each part twice where the file
    can be sought in, and again whoever takes its digest.

    Args:
        client: Connected to the store.
        body: The file; it need not be one that can be sought in.
        bucket: Where to.
        key: Its name there.
        size: Its bytes.
        extra: What is told of it.
        on_sent: Told of bytes that were sent.

    Returns:
        The object's ``ETag`` as the store has told it; empty if it was not.
    """
    noting = _NotingClient(client)
    with create_transfer_manager(
        cast("BaseClient", noting), transfer_of(size)
    ) as manager:
        manager.upload(
            fileobj=body,
            bucket=bucket,
            key=key,
            extra_args=dict(extra),
            subscribers=[ProgressCallbackInvoker(on_sent)],
        ).result()
    return noting.etag.strip('"')


class _NotingClient:
    """A client that notes what the store says of an object once it has it."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.etag = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def complete_multipart_upload(self, **arguments: Any) -> Any:
        return self._noted(self._client.complete_multipart_upload(**arguments))

    def put_object(self, **arguments: Any) -> Any:
        return self._noted(self._client.put_object(**arguments))

    def _noted(self, answer: Any) -> Any:
        self.etag = answer.get("ETag", "")
        return answer
