"""Pages for newcomers: what they quote is what is measured, and what is said."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest
from docs import recording

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
NOT_OURS = {
    "No module named 'dioptra'",
    "externally-managed-environment",
    "pip finds no dioptra-worker",
}
"""Words of Python's, of pip's, and of people's."""

FOREIGN = re.compile(r"Fatal|Current|  File")
"""How lines begin that Python writes when it crashes."""
VALUES = re.compile(
    r"'[^']*'|\d[\d.]*(?: [MG]iB| s\b)?|SIG[A-Z]+|\bat \S+:\d+|[,;:()→✓✗!…\n]"
    r"|\b(?:in step|once|holds)\b"
)
"""What differs in a line each time, and what parts it."""


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", [ROOT / "README.md", DOCS / "index.md"])
def test_figures_are_those_that_were_measured(page: Path) -> None:
    """Each number with a unit in the table beside the platform's was measured."""
    rows = re.findall(r"^\| .* \| .* \| .* \|$", _text(page), re.MULTILINE)
    cells = [cell.strip() for row in rows for cell in row.strip("|").split("|")[1:3]]
    figures = [m[1] for c in cells if (m := re.fullmatch(r"([\d.]+) (?:s|MiB)", c))]
    measured = _text(DOCS / "reference/benchmarks.md")
    assert len(figures) == 10
    assert [
        f for f in figures if not re.search(rf"(?<![\d.]){f}(?!\d)", measured)
    ] == []


@functools.cache
def _code() -> str:
    """The package's code, with each sentence over several lines in one."""
    code = "".join(_text(path) for path in sorted(ROOT.glob("src/**/*.py")))
    return re.sub(r'"\s*\n\s*f?"', "", code)


def _messages() -> list[str]:
    titles = re.findall(r'^## "(.*)"$', _text(DOCS / "how-to/faq.md"), re.MULTILINE)
    return [title for title in titles if title not in NOT_OURS]


@pytest.mark.parametrize("title", _messages())
def test_messages_that_are_titles_are_said(title: str) -> None:
    """A message that is a title of the questions is one that the code has."""
    for part in filter(None, title.split("…")):
        assert part.strip(" ,:") in _code(), part


def _said(page: Path) -> list[str]:
    """What a page quotes of logs and answers, without what differs each time."""
    text = _text(page)
    lines = "".join(re.findall(r"^```text\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    cells = "\n".join(re.findall(r"^\| `(.*)` \|", text, re.MULTILINE))
    known = [line for line in lines.splitlines() if not FOREIGN.match(line)]
    pieces = VALUES.split("\n".join([*known, cells]))
    return sorted({p.strip() for p in pieces if p.strip().count(" ") >= 2})


@pytest.mark.parametrize("name", ["why-did-my-job-die", "doctor"])
def test_lines_that_pages_quote_are_said(name: str) -> None:
    """The words of a line that a page quotes, between its values, are in the code."""
    said = _said(DOCS / f"how-to/{name}.md")
    assert len(said) >= 4
    assert [piece for piece in said if piece not in _code()] == []


def test_the_four_doors_lead_to_every_kind_of_page() -> None:
    """The first page links tutorials, guides, reference and explanations."""
    links = re.findall(r"\]\(([a-z-]+)/[a-z-]+\.md", _text(DOCS / "index.md"))
    assert set(links) == {"tutorials", "how-to", "reference", "explanation"}


def test_the_recording_shows_what_the_command_is_now() -> None:
    """The picture on the first page is one of the command that the script records."""
    drawn = _text(recording.PICTURE)
    assert "$ " + " ".join(recording.COMMAND) in drawn
    assert "Hello, Ada!" in drawn
    made = recording.picture("x", ["<1> & more"])
    assert "&lt;1&gt; &amp; more" in made
