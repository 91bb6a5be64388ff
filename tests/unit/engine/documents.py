"""Small documents, and what validation says about them."""

from __future__ import annotations

import re
from typing import Any

import yaml

from dioptra_worker import engine

TASKS: dict[str, Any] = {
    "make": {"plugin": "pkg.mod.make", "outputs": {"it": "any"}},
    "pair": {
        "plugin": "pkg.mod.pair",
        "outputs": [{"left": "string"}, {"right": "integer"}],
    },
    "take": {"plugin": "pkg.mod.take", "inputs": [{"it": "any"}]},
    "add": {
        "plugin": "pkg.mod.add",
        "inputs": [
            {"first": "number"},
            {"second": "number"},
            {"name": "third", "type": "number", "required": False},
        ],
        "outputs": {"sum": "number"},
    },
}
"""Tasks for graphs that are not about tasks."""


def document(text: str = "", **sections: Any) -> dict[str, Any]:
    """Build a right document, with some sections written in YAML or given.

    Inside braces YAML takes a bare question mark for its own, so it is quoted here.
    """
    given = yaml.safe_load(re.sub(r"\?\w+(?=:)", r"'\g<0>'", text)) or {}
    return {"tasks": TASKS, "graph": {"one": {"make": []}}} | given | sections


def errors(config: Any, **known: Any) -> list[str]:
    """Find the errors in a document, each with its place."""
    return _found(config, engine.Severity.ERROR, **known)


def warnings(config: Any, **known: Any) -> list[str]:
    """Find the warnings about a document, each with its place."""
    return _found(config, engine.Severity.WARNING, **known)


def _found(config: Any, severity: engine.Severity, **known: Any) -> list[str]:
    return [
        str(issue).partition(" at ")[2]
        for issue in engine.validate(config, **known)
        if issue.severity is severity
    ]
