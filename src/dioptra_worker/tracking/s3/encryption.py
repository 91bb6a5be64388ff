"""Whether an object is encrypted so that its tag (``ETag``) is no checksum.

With a key of KMS, or with one that comes with each request, it is not the MD5 of what
was stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_s3 import S3Client


def hides_checksum(client: S3Client, bucket: str, key: str) -> bool:
    """Whether it is so of an object; S3 is asked."""
    head = client.head_object(Bucket=bucket, Key=key)
    method = head.get("ServerSideEncryption", "")
    return _hides(method, own_key="SSECustomerAlgorithm" in head)


def says_it_hides_checksum(headers: Mapping[str, str]) -> bool:
    """Whether it is so of an object that came with these headers."""
    method = headers.get("x-amz-server-side-encryption", "")
    own_key = "x-amz-server-side-encryption-customer-algorithm" in headers
    return _hides(method, own_key=own_key)


def _hides(method: str, *, own_key: bool) -> bool:
    return method.startswith("aws:kms") or own_key
