"""The README as a package index shows it."""

from __future__ import annotations

import re
from pathlib import Path

from docs.package_readme import for_an_index

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
LINKS = re.compile(r"\]\(([^)]+)\)")


def test_without_an_address_no_link_is_dead() -> None:
    """As long as the project has none, only links to others are left, and the words."""
    text = for_an_index(README, source=None, version="1.0.0")
    assert LINKS.findall(text) == ["https://pages.nist.gov/dioptra/"]
    assert "Benchmarks beside the platform's own worker" in text
    assert "![" not in text


def test_with_an_address_every_link_is_absolute() -> None:
    """Each leads to the file as it was released; pictures are taken as they are."""
    text = for_an_index(README, source="https://example.org/a", version="1.0.0")
    links = LINKS.findall(text)
    assert len(links) == len(LINKS.findall(README))
    assert all(link.startswith("https://") for link in links)
    assert "(https://example.org/a/blob/v1.0.0/docs/how-to/faq.md)" in text
    assert "(https://example.org/a/raw/v1.0.0/docs/images/run.svg)" in text


def test_code_and_places_stay() -> None:
    """What is in a block is no link, and a place in a file stays in its address."""
    text = "[a](b.md#c)\n\n```sh\n[d](e.md)\n```\n\n[f](#here)\n"
    assert for_an_index(text, source="https://x.org", version="2") == (
        "[a](https://x.org/blob/v2/b.md#c)\n\n```sh\n[d](e.md)\n```\n\n[f](#here)\n"
    )
