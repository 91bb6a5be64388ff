"""Links the words of the glossary: on each page, where one is first met.

A Sphinx extension. Only running text is looked at: what is a link, a title, code or in
a table stays as it is. The link has the word's meaning as its title, so that one need
not follow it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docs.glossary import Words, definitions
from docutils import nodes
from sphinx import addnodes

PAGE = "reference/glossary"
EXCLUDED = re.compile(rf"{PAGE}|reference/api/.*|reference/commands")
"""Pages without links: the glossary itself, and what is written in the code."""
KEPT = (
    nodes.reference,
    nodes.title,
    nodes.literal,
    nodes.table,
    nodes.term,
    nodes.caption,
    addnodes.pending_xref,
    addnodes.download_reference,
)
"""What is not looked into."""


def link(app: Any, doctree: Any) -> None:
    """Make links in a page that was read."""
    name = app.env.current_document.docname
    if EXCLUDED.fullmatch(name):
        return
    words = Words(_definitions(app))
    for text in list(doctree.findall(nodes.Text)):
        if _in_running_text(text):
            made = list(words.pieces(text.astext()))
            if len(made) > 1:
                new = [_node(piece, word, name) for piece, word in made if piece]
                text.parent.replace(text, new)


def explain(app: Any, doctree: Any, _name: str) -> None:
    """Give each link to the glossary the meaning as its title."""
    meanings = _definitions(app)
    for reference in doctree.findall(nodes.reference):
        word = reference.get("refid", reference.get("refuri", "")).partition("#term-")[
            2
        ]
        meaning = meanings.get(word.replace("-", " "))
        if meaning:
            reference["reftitle"] = meaning


def setup(app: Any) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("doctree-read", link)
    app.connect("doctree-resolved", explain)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def _definitions(app: Any) -> dict[str, str]:
    page = Path(app.srcdir, f"{PAGE}.md")
    return definitions(page.read_text(encoding="utf-8"))


def _in_running_text(text: Any) -> bool:
    node, paragraph = text.parent, False
    while node is not None:
        if isinstance(node, KEPT):
            return False
        paragraph = paragraph or isinstance(node, nodes.paragraph)
        node = node.parent
    return paragraph


def _node(piece: str, word: str | None, page: str) -> Any:
    if word is None:
        return nodes.Text(piece)
    shown = nodes.inline(piece, piece, classes=["xref", "std", "std-term"])
    return addnodes.pending_xref(
        "",
        shown,
        refdomain="std",
        reftype="term",
        reftarget=word,
        refexplicit=True,
        refwarn=True,
        refdoc=page,
    )
