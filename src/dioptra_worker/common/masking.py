"""Hide secret values in text, and cut text without cutting one in two."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, AnyStr
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable


SHORTEST_SECRET = 6
"""Values shorter than this are not hidden: they would hide innocent text."""


MAX_WORD = 1 << 12
"""Characters; how far before a cut a blank is looked for; see `cut_position`."""


class Mask:
    """Replaces secret values in text by ``***``."""

    def __init__(self, secrets: Iterable[str]) -> None:
        """Remember what to hide, the longest first.

        A secret is hidden as it is and as JSON, `repr` and URLs write it.
        """
        kept = {secret for secret in secrets if len(secret) >= SHORTEST_SECRET}
        spellings = {spelling for secret in kept for spelling in _spellings(secret)}
        self._secrets = sorted(spellings, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """The text without the secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def _spellings(secret: str) -> set[str]:
    as_json = json.dumps(secret)[1:-1]
    as_utf8_json = json.dumps(secret, ensure_ascii=False)[1:-1]
    in_url = {quote(secret, safe="", errors="replace"), quote(secret, errors="replace")}
    return {secret, as_json, as_utf8_json, repr(secret)[1:-1], *in_url}


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
