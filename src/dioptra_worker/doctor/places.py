"""Addresses as they may be shown: without the user and the password."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit


def shown(url: str) -> str:
    """A URL without user and password."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host).geturl()


def passwords(*urls: str) -> set[str]:
    """The passwords in URLs, as they are written there and as they are meant."""
    found = {urlsplit(url).password or "" for url in urls}
    return {text for word in found for text in (word, unquote(word)) if text}
