"""What language models are given to read: the pages in Markdown, and a list of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

INCLUDE = re.compile(r"^```\{include\} (\S+)\n(?::.*\n)*```\n", re.MULTILINE)
SENTENCE = re.compile(r"(?<=[.!?])\s")


class Page(NamedTuple):
    """A page: where it is without its suffix, what it is called and about."""

    name: str
    title: str
    summary: str


def listing(title: str, about: str, sections: Iterable[tuple[str, list[Page]]]) -> str:
    """The text of ``llms.txt``.

    Args:
        title: What the documentation is of.
        about: What that is, in a paragraph.
        sections: Pages, by the caption that they stand under.
    """
    parts = [f"# {title}\n\n> {about}\n"]
    for caption, pages in sections:
        lines = [f"- [{p.title}]({p.name}.md): {p.summary}\n" for p in pages]
        parts.append(f"## {caption}\n\n{''.join(lines)}")
    return "\n".join(parts)


def first_sentence(text: str) -> str:
    """The first sentence of a paragraph, in one line."""
    return SENTENCE.split(" ".join(text.split()), maxsplit=1)[0]


def expanded(source: str, folder: Path) -> str:
    """A page's source with the files that it includes in their places.

    Args:
        source: The Markdown.
        folder: Where the page is; links of what is included lead from ``docs``' parent.
    """
    return INCLUDE.sub(
        lambda match: _relative((folder / match[1]).read_text(encoding="utf-8")), source
    )


def _relative(text: str) -> str:
    """Links of a file beside ``docs``, from a page one folder below that."""
    return text.replace("](docs/", "](../")
