"""Hide secret values in text, and cut text without cutting one in two."""

from __future__ import annotations

import base64
import dataclasses
import html
import json
import re
from typing import TYPE_CHECKING, Any, AnyStr, TypeVar
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable

R = TypeVar("R", bound=Any)


SHORTEST_SECRET = 6
"""Values shorter than this are not hidden: they would hide innocent text."""


SHORTEST_BASE64 = 8
"""Characters of base64 that are not there by chance."""

_UNQUOTED = ("", "/", "!#$%&'()*+,/:;=?@[]~")
"""What programs leave as it is in a URL; the last is `requests`'s."""
_CODE = re.compile("%[0-9A-F]{2}")

HIDDEN = "***"
"""What stands in a secret's place."""


MAX_WORD = 1 << 12
"""Characters; how far before a cut a blank is looked for; see `cut_position`."""


class Mask:
    """Replaces secret values in text by ``***``; it may learn more of them."""

    def __init__(self, secrets: Iterable[str]) -> None:
        """Remember what to hide."""
        self._known: dict[str, set[str]] = {}
        self._secrets: list[str] = []
        self.learn(*secrets)

    def learn(self, *secrets: str, source: str = "") -> None:
        """Hide values from now on, the longest first.

        A secret is hidden as it is, and as JSON, `repr`, URLs, HTML, base64 write it.

        Args:
            *secrets: The values.
            source: Where they come from: they replace what came from there before.
        """
        kept = {secret for secret in secrets if len(secret) >= SHORTEST_SECRET}
        self._known[source] = {text for secret in kept for text in _spellings(secret)}
        found = set().union(*self._known.values()) - {""}
        self._secrets = sorted(found, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """The text without the secrets."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text

    def record(self, record: R) -> R:
        """A frozen record without the secrets in its texts."""
        changed = {
            field.name: masked
            for field in dataclasses.fields(record)
            if isinstance(value := getattr(record, field.name), str)
            and (masked := self(value)) != value
        }
        return dataclasses.replace(record, **changed) if changed else record


def _spellings(secret: str) -> set[str]:
    return _in_urls(secret) | _quoted(secret) | _in_base64(secret)


def _in_urls(secret: str) -> set[str]:
    found = set()
    for text in (secret, quote(secret, safe="", errors="replace")):  # once, or twice
        found |= {quote(text, safe=safe, errors="replace") for safe in _UNQUOTED}
        found.add(quote_plus(text, errors="replace"))
    return found | {_CODE.sub(lambda code: code[0].lower(), text) for text in found}


def _quoted(secret: str) -> set[str]:
    found = {secret, html.escape(secret), html.escape(secret, quote=False)}
    found |= {json.dumps(text, ensure_ascii=False)[1:-1] for text in found} | {
        repr(text)[1:-1] for text in found
    }
    for _ in range(2):  # JSON, and JSON in JSON
        found |= {json.dumps(text)[1:-1] for text in found}
    return found


def _in_base64(secret: str) -> set[str]:
    """What base64 makes of it wherever it begins in what is encoded, but for its ends.

    So it is hidden behind a user's name, too, as basic authentication has it.
    """
    found = set()
    for before in range(3):
        content = b"\0" * before + secret.encode("utf-8", "replace")
        # Whole groups of three bytes, of nothing but the secret.
        begin, end = -(-before // 3) * 4, len(content) // 3 * 4
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            core = encode(content).decode()[begin:end]
            if len(core) >= SHORTEST_BASE64:
                found.add(core)
    return found


def cut_position(text: AnyStr, blank: AnyStr, limit: int) -> int:
    """Where to cut text, so that no secret is cut in two: no mask would know it.

    Args:
        text: What is too long.
        blank: A blank of its kind.
        limit: How much of it there may be before the cut.

    Returns:
        The place behind the last blank before that; *limit* if there is none nearby.
    """
    first = max(0, limit - MAX_WORD)
    return text.rfind(blank, first, limit) + 1 or limit
