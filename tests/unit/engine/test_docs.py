"""The examples in the documentation are right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dioptra_worker import engine

DOCS = Path(__file__).parents[3] / "docs"


def blocks(page: str, language: str) -> list[str]:
    """Find the code blocks of a page."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", blocks("reference/task-graph.md", "yaml"))
def test_every_entrypoint_in_the_reference_is_valid(text: str) -> None:
    """The reference shows whole entrypoints, and validation finds nothing in them."""
    assert engine.validate(engine.load(text)) == []


def test_the_library_example_runs() -> None:
    """The example of using the engine as a library does what it asserts."""
    (program,) = blocks("explanation/engine.md", "python")
    exec(compile(program, "engine.md", "exec"), {})  # noqa: S102 - our own example
