"""How large files travel to and from S3: in parts, side by side."""

from __future__ import annotations

from boto3.s3.transfer import TransferConfig

MULTIPART_THRESHOLD = 8 << 20
"""Bytes from which a file is transferred in parts."""
CHUNK_SIZE = 8 << 20
"""Bytes of a part; S3 takes 5 MiB at least."""
MAX_PARTS = 10_000
TRANSFER = TransferConfig(
    multipart_threshold=MULTIPART_THRESHOLD, multipart_chunksize=CHUNK_SIZE
)


def transfer_of(size: int) -> TransferConfig:
    """How a file of so many bytes is sent by who does not look at its size."""
    chunk = CHUNK_SIZE
    while size > chunk * MAX_PARTS:
        chunk *= 2
    return TransferConfig(
        multipart_threshold=MULTIPART_THRESHOLD, multipart_chunksize=chunk
    )
