"""Texts as items."""

from __future__ import annotations

import json


class Words:
    """Texts as lines of JSON."""

    def encode(self, item: str) -> bytes:
        """A text as a line."""
        return json.dumps(item).encode() + b"\n"

    def decode(self, line: bytes) -> str:
        """The text on a line."""
        return str(json.loads(line))

    def weight(self, item: str) -> int:
        """Its length."""
        return len(item)
