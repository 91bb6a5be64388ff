"""Writes the documentation for language models beside the one for people.

A Sphinx extension, which follows the proposal of llmstxt.org: ``llms.txt`` lists the
pages with what each is about, each page stands beside its HTML in Markdown, and
``llms-full.txt`` has all of them, one behind the other. All links are relative, so the
folder can be served from anywhere, or read from a disk.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from docs.llms import Page, expanded, first_sentence, listing
from docutils import nodes
from docutils.io import StringOutput
from sphinx import addnodes
from sphinx.builders.text import TextBuilder
from sphinx.writers.text import TextWriter

if TYPE_CHECKING:
    from collections.abc import Iterator

DESCRIBED = "```{eval-rst}"
"""What pages have that are made from docstrings."""


def write(app: Any, failed: Exception | None) -> None:
    """Write it all, once the HTML is there."""
    if failed is not None or app.builder.format != "html":
        return
    out = Path(app.outdir)
    texts = {}
    for name in sorted(app.env.found_docs):
        texts[name] = _markdown(app, name)
        out.joinpath(f"{name}.md").write_text(texts[name], encoding="utf-8")
    sections = list(_sections(app.env))
    about = " ".join(_paragraph(app.env.get_doctree("index")).split())
    listed = listing(app.config.project, about, sections)
    (out / "llms.txt").write_text(listed, encoding="utf-8")
    order = ["index", *(page.name for _, pages in sections for page in pages)]
    whole = "\n\n".join(f"<!-- {name}.md -->\n\n{texts[name]}" for name in order)
    (out / "llms-full.txt").write_text(whole, encoding="utf-8")


def setup(app: Any) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("build-finished", write)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def _markdown(app: Any, name: str) -> str:
    file = Path(app.srcdir, f"{name}.md")
    source = file.read_text(encoding="utf-8")
    if DESCRIBED not in source:
        return expanded(source, file.parent)
    builder = TextBuilder(app, app.env)
    builder.init()
    writer = TextWriter(builder)
    writer.write(
        app.env.get_and_resolve_doctree(name, builder), StringOutput(encoding="utf-8")
    )
    return str(writer.output)


def _sections(env: Any) -> Iterator[tuple[str, list[Page]]]:
    for toctree in env.get_doctree("index").findall(addnodes.toctree):
        pages = [
            Page(
                name,
                env.titles[name].astext(),
                first_sentence(_paragraph(env.get_doctree(name))),
            )
            for entry in toctree["includefiles"]
            for name in (entry, *env.toctree_includes.get(entry, ()))
        ]
        yield toctree["caption"], pages


def _paragraph(doctree: Any) -> str:
    """The first paragraph of a page."""
    return next((node.astext() for node in doctree.findall(nodes.paragraph)), "")
