"""Text as the API keeps it, escaped for HTML: made of it what was written.

`html.unescape` needs seconds for a MiB that is full of ``&``, and breaks at a number
of more than 4300 digits. A log is a job's to write, and pages of 8 MB are asked for.
"""

from __future__ import annotations

import functools
import html
import re
from html.entities import html5

_WITHOUT_END = sorted((name for name in html5 if name[-1] != ";"), reverse=True)
"""Names that are known without a semicolon, of two the longer first."""


def _alternatives() -> str:
    """The same as a pattern; by first letters, since most that is tried is none."""
    tails: dict[str, list[str]] = {}
    for name in _WITHOUT_END:
        tails.setdefault(name[0], []).append(name[1:])
    return "|".join(f"{first}(?:{'|'.join(rest)})" for first, rest in tails.items())


_REFERENCE = re.compile(
    rf"&(?:#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[A-Za-z][A-Za-z0-9]{{1,31}};|{_alternatives()})"
)
_UNUSUAL = re.compile("&(?!(?:amp|lt|gt);)")
_REPLACEMENT = "\ufffd"
_MAX_DIGITS = 10
"""Of a number; those of letters have fewer."""
_MAX_LETTERS = 16
"""Of a number that is converted as it is: another has zeros before it, or is none."""


def unescaped(text: str) -> str:
    """The same as `html.unescape`, in time for texts of any kind."""
    if "&" not in text:
        return text
    if not _UNUSUAL.search(text):  # as the worker sends it, and the API keeps it
        plain = text.replace("&lt;", "<").replace("&gt;", ">")
        return plain.replace("&amp;", "&")  # last, as `&amp;lt;` is none of the others
    return _REFERENCE.sub(_letter, text)


def _letter(found: re.Match[str]) -> str:
    reference = found[0]
    if reference[1] == "#" and len(reference) > _MAX_LETTERS:
        base = reference[:3] if reference[2] in "xX" else reference[:2]
        digits = reference[len(base) :].rstrip(";").lstrip("0")
        if len(digits) > _MAX_DIGITS:
            return _REPLACEMENT
        reference = f"{base}{digits or '0'};"
    return _known(reference)


@functools.lru_cache(maxsize=1024)
def _known(reference: str) -> str:
    return html.unescape(reference)
