"""Looks at the documentation that was built: every link in it leads somewhere.

``python docs/built.py FOLDER`` says which do not; `make docs` calls it. Only links
within the folder are followed: those to a page, an image, a place in a page, in HTML
and in what language models are given.
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urldefrag, urlsplit

LISTED = re.compile(r"^- \[[^\]]*\]\(([^)]+)\)", re.MULTILINE)


class Dead(NamedTuple):
    """A link that leads nowhere."""

    page: str
    link: str


class _Read(HTMLParser):
    """The links and the places of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what leads somewhere, and what can be led to."""
        for name, value in attrs:
            if value and name in {"href", "src"} and tag != "link":
                self.links.append(value)
            if value and name in {"id", "name"}:
                self.places.add(value)


def dead_links(folder: Path) -> list[Dead]:
    """The links in a folder that lead nowhere.

    Args:
        folder: What Sphinx has written.
    """
    pages = {
        path.resolve(): _Read(path.read_text(encoding="utf-8"))
        for path in sorted(folder.rglob("*.html"))
    }
    found = [
        Dead(str(path.relative_to(folder.resolve())), link)
        for path, page in pages.items()
        for link in page.links
        if not _leads_somewhere(path, link, pages)
    ]
    listed = folder / "llms.txt"
    links = LISTED.findall(listed.read_text(encoding="utf-8"))
    return found + [
        Dead(listed.name, link) for link in links if not (folder / link).is_file()
    ]


def _leads_somewhere(path: Path, link: str, pages: dict[Path, _Read]) -> bool:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return True
    address, place = urldefrag(link)
    target = (path.parent / unquote(urlsplit(address).path)).resolve()
    target = path if not address else target
    if target not in pages:
        return target.exists()
    return not place or unquote(place) in pages[target].places


def main() -> None:
    """Say which links are dead.

    Raises:
        SystemExit: Some are.
    """
    dead = dead_links(Path(sys.argv[1]))
    if dead:
        sys.exit("\n".join(f"{each.page}: {each.link} leads nowhere" for each in dead))


if __name__ == "__main__":
    main()
