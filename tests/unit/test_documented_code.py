"""Blocks of code in the documentation are code, and import what is there."""

from __future__ import annotations

import ast
import configparser
import importlib
import json
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *(path for path in ROOT.glob("*.md") if path.name != "CHANGELOG.md"),
    *(path for path in ROOT.glob("docs/**/*.md") if "_build" not in path.parts),
    *ROOT.glob("entrypoints/**/*.md"),
    *ROOT.glob("deploy/**/*.md"),
]
BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
ANCHORED = re.compile(r"\]\(([^)\s:]*)#([\w-]+)\)")


def _ini(text: str) -> None:
    configparser.ConfigParser(interpolation=None, strict=False).read_string(text)


READ: dict[str, Callable[[str], Any]] = {
    "ini": _ini,
    "json": json.loads,
    "python": ast.parse,
    "toml": tomllib.loads,
    "yaml": lambda text: list(yaml.safe_load_all(text)),
}
"""What reads a block, by its language."""


class Block(NamedTuple):
    """A block of code: which page's, in which language."""

    page: str
    number: int
    language: str
    text: str


def _blocks() -> list[Block]:
    return [
        Block(page.name, number, match[2], match[3])
        for page in PAGES
        for number, match in enumerate(BLOCK.finditer(page.read_text(encoding="utf-8")))
        if match[2] in READ
    ]


@pytest.mark.parametrize("block", _blocks(), ids=lambda b: f"{b.page}-{b.number}")
def test_blocks_are_in_their_language(block: Block) -> None:
    """Python, YAML, TOML, JSON and INI can be read as such; what is ours is there."""
    READ[block.language](block.text)
    if block.language == "python":
        for node in ast.walk(ast.parse(block.text)):
            module = getattr(node, "module", None) or ""
            if isinstance(node, ast.ImportFrom) and module.startswith("dioptra_worker"):
                there = importlib.import_module(module)
                assert [n.name for n in node.names if not hasattr(there, n.name)] == []


def _places(page: Path) -> set[str]:
    """The places of a page that can be led to: its headings, as GitHub names them."""
    text = re.sub(
        r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S
    )
    titles = re.findall(r"^#+ +(.*)$", text, re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in titles]
    return {
        re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")
        for title in plain
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_headings(page: Path) -> None:
    """A link into a page of the repository names a heading that it has."""
    text = page.read_text(encoding="utf-8")
    dead = [
        f"{path}#{place}"
        for path, place in ANCHORED.findall(text)
        if place not in _places(page.parent / path if path else page)
    ]
    assert dead == []
