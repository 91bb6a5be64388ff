"""Addresses of services, as they may be shown."""

from __future__ import annotations

from urllib.parse import urlsplit


def shown(url: str) -> str:
    """An address without the user and the password.

    Args:
        url: Any, such as ``http://user:password@host:5000/path`` or ``s3://bucket/key``.
    """
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
