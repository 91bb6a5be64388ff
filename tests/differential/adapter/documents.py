"""Documents of the platform's tests, made whole.

Some of its tests hand the functions under test documents which the platform itself
would refuse before a job runs: types that are only named, tasks without their inputs.
Ours judges before it runs, so these are declared here as the document uses them.
"""

from __future__ import annotations

import copy
import importlib
import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def whole(document: Mapping[str, Any]) -> dict[str, Any]:
    """Declare in a copy of a document what it uses."""
    copied: dict[str, Any] = copy.deepcopy(dict(document))
    types = copied.setdefault("types", {})
    for task in copied["tasks"].values():
        task.setdefault("inputs", _inputs(task["plugin"]))
        outputs = task.get("outputs", [])
        if isinstance(outputs, list):  # a list of names was enough in older documents
            task["outputs"] = [
                {one: "any"} if isinstance(one, str) else one for one in outputs
            ]
        for one in [outputs] if isinstance(outputs, dict) else task["outputs"]:
            types |= {name: None for name in one.values() if name == "sometype"}
    return copied


def _inputs(plugin: str) -> list[dict[str, Any]]:
    """What a function takes, and one argument more, which some of them give."""
    module, _, name = plugin.rpartition(".")
    names = ["first", "second"]
    if module:
        function = getattr(importlib.import_module(module), name)
        names = list(inspect.signature(function).parameters)
    more = {"name": "more", "type": "any", "required": False}
    return [*({name: "any"} for name in names), more]


def around(graph: Mapping[str, Any]) -> dict[str, Any]:
    """Make a document of a graph alone; its tasks are not declared."""
    copied: dict[str, Any] = copy.deepcopy(dict(graph))
    for step in copied.values():
        for key, value in step.items():
            if key.startswith("?"):
                value.setdefault("?outputs", ["value"])
    return {"tasks": {"none": {"plugin": "a.b"}}, "graph": copied}
