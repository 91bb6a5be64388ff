"""What the documentation is given when it is built: words linked, pages for models."""

from __future__ import annotations

from pathlib import Path

import pytest
from docs import built, glossary, llms
from docs.extensions import docstrings

DOCS = Path(__file__).resolve().parents[2] / "docs"
MEANINGS = glossary.definitions(
    (DOCS / "reference/glossary.md").read_text(encoding="utf-8")
)


def _linked(*texts: str) -> list[str]:
    words = glossary.Words(MEANINGS)
    return [
        f"{piece} -> {word}"
        for text in texts
        for piece, word in words.pieces(text)
        if word is not None
    ]


def test_every_word_of_the_glossary_has_its_meaning() -> None:
    """All words are read, each with what it means in one line."""
    assert len(MEANINGS) > 35
    assert MEANINGS["attempt"] == "One try of one worker at one job."
    assert all("\n" not in meaning for meaning in MEANINGS.values())
    known = glossary.AMBIGUOUS | glossary.QUALIFIED.keys() | glossary.UNLINKED
    assert known <= MEANINGS.keys()


def test_a_word_is_linked_where_it_is_first_met() -> None:
    """The first mention on a page is linked, of two words the longer one."""
    assert _linked("Fork servers hand out a runner.", "The fork server, a runner") == [
        "Fork servers -> fork server",
        "runner -> runner",
    ]
    assert _linked("A task graph has tasks.") == [
        "task graph -> task graph",
        "tasks -> task",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "`dioptra-worker start`: dioptra-worker, my.plugin.file, a/queue/b",
        "Run it. You plan to attempt it, and step back.",
        "Queueing, jobless, subtask, co-worker",
    ],
)
def test_what_only_looks_like_a_word_is_not_linked(text: str) -> None:
    """Names of programs, paths and modules, verbs, and parts of words are no words."""
    assert _linked(text) == []


def test_an_ambiguous_word_needs_its_article() -> None:
    """What is a verb as well is linked as a noun only."""
    assert _linked("Each step of the plan; an MLflow run.") == [
        "step -> step",
        "plan -> plan",
        "MLflow run -> run",
    ]


@pytest.mark.parametrize(
    "text", ["No worker runs it.", "A worker\nruns jobs.", "whoever's worker runs jobs"]
)
def test_a_worker_that_runs_is_no_worker_run(text: str) -> None:
    """The plural of one word is another with a verb: what is before it tells."""
    assert [word.partition(" -> ")[2] for word in _linked(text)][:1] == ["worker"]
    assert _linked("Several worker runs are listed.") == ["worker runs -> worker run"]


def test_a_constants_sentence_keeps_its_beginning() -> None:
    """What is before a colon in a constant's docstring is not its type."""
    lines = ["severity and message.", "", ":type: A record a line"]
    docstrings.shorten(None, "data", "LOG", None, None, lines)
    assert lines == ["A record a line: severity and message.", ""]


def test_pieces_are_the_whole_text() -> None:
    """Nothing is lost or doubled between the links."""
    text = "A job of a queue, jobs and queues: the worker's."
    pieces = glossary.Words(MEANINGS).pieces(text)
    assert "".join(piece for piece, _ in pieces) == text


def test_models_get_a_list_with_relative_links() -> None:
    """Each section lists its pages, with what each is about; no link is absolute."""
    page = llms.Page("how-to/faq", "Questions", "What others asked.")
    text = llms.listing("it", "What it is.", [("How-to guides", [page])])
    assert text.startswith("# it\n\n> What it is.\n")
    assert (
        "## How-to guides\n\n- [Questions](how-to/faq.md): What others asked.\n" in text
    )
    assert "://" not in text


def test_summaries_are_a_sentence() -> None:
    """A page's summary is the first sentence of its first paragraph, in one line."""
    assert llms.first_sentence("One thing:\nthis. Another.") == "One thing: this."


def test_included_files_are_in_the_text(tmp_path: Path) -> None:
    """Where a page is another file, models get that file, with links that fit."""
    (tmp_path / "docs/explanation").mkdir(parents=True)
    (tmp_path / "IT.md").write_text("[a](docs/reference/a.md)\n")
    page = "# T\n\n```{include} ../../IT.md\n:relative-docs: docs/\n```\nend\n"
    text = llms.expanded(page, tmp_path / "docs/explanation")
    assert text == "# T\n\n[a](../reference/a.md)\nend\n"


def test_dead_links_are_found(tmp_path: Path) -> None:
    """A page, a place in a page, an image and a listed page must be there."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b.html").write_text(
        '<p id="here"></p><a href="../index.html#top">x</a><a href="#here">x</a>'
        '<a href="https://example.org/">x</a><img src="no.png">'
        '<a href="../index.html#no">x</a><a href="no.html">x</a>'
    )
    (tmp_path / "index.html").write_text('<p id="top"></p><a href="a/b.html">x</a>')
    (tmp_path / "llms.txt").write_text("- [b](a/b.html): x\n- [c](c.md): x\n")
    assert built.dead_links(tmp_path) == [
        ("a/b.html", "no.png"),
        ("a/b.html", "../index.html#no"),
        ("a/b.html", "no.html"),
        ("llms.txt", "c.md"),
    ]
