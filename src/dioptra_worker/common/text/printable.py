"""Text of others in lines for people: no terminal obeys it, no line can be forged.

A log that people read is one line a record: what begins at a line's beginning is ours.
"""

from __future__ import annotations

import re

CONTINUED = "    | "
"""Begins each further line of a record, so that none looks like a record of its own."""

# Sequences that move the cursor, set colours, titles or links, and whatever else a
# terminal obeys (ECMA-48: CSI; OSC, DCS and their like up to their end; two letters).
_SEQUENCES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)"
    r"|\x1b[ -/]*[0-~]",
    re.DOTALL,
)
# The other control characters, those that end lines or turn the direction of writing
# around, what cannot be seen, and halves of characters, which no stream can write.
_UNSEEN = (
    r"\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    r"\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f"
)
_CONTROLS = re.compile(rf"[\x00-\x08\x0b-\x1f{_UNSEEN}]")
_ALL_CONTROLS = re.compile(rf"[\x00-\x1f{_UNSEEN}]")


def harmless(text: str) -> str:
    """Text that no terminal obeys: colours are gone, other controls are spelt out."""
    return _CONTROLS.sub(_spelt, _SEQUENCES.sub("", text))


def one_line(text: str) -> str:
    """Harmless text in one line, for a cell of a table."""
    return " ".join(harmless(text).split())


def spelt_out(text: str) -> str:
    """Text in one line that shows every control character, line ends, too."""
    return _ALL_CONTROLS.sub(_spelt, text)


def record_lines(text: str) -> str:
    """Harmless text of several lines, each but the first marked as a continuation."""
    return harmless(text).rstrip().replace("\n", f"\n{CONTINUED}")


def _spelt(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
