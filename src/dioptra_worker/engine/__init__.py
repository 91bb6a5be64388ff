"""The entrypoint engine: is a task graph right, and if so, run it.

It is pure: it imports nothing of the rest of the package and does no I/O but reading
a document that it is told to read. `load` reads a YAML file, `validate` finds what is
wrong with it, `compile` puts its steps in order and `run` runs them::

    graph = engine.compile(engine.load(Path("entrypoint.yml")))
    engine.run(graph, parameters={}, artifacts={}, call=..., save=..., observer=...)

Start reading at `compiler`, then `validation` and `execution`. What an entrypoint
declares is in `model`; the rules about types are in `types`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dioptra_worker.engine.compiler import compile  # noqa: A004 - our own verb
    from dioptra_worker.engine.errors import (
        ArtifactError,
        EngineError,
        InvalidGraph,
        MissingInput,
        OutputError,
        StepError,
    )
    from dioptra_worker.engine.execution import Observer, run
    from dioptra_worker.engine.graph import CompiledStep, Graph
    from dioptra_worker.engine.issues import Issue, Severity
    from dioptra_worker.engine.model import ArtifactInput, ArtifactOutput, Parameter
    from dioptra_worker.engine.reading.document import Document, load
    from dioptra_worker.engine.reading.sources import Sources
    from dioptra_worker.engine.validation import validate

__all__ = [
    "ArtifactError",
    "ArtifactInput",
    "ArtifactOutput",
    "CompiledStep",
    "Document",
    "EngineError",
    "Graph",
    "InvalidGraph",
    "Issue",
    "MissingInput",
    "Observer",
    "OutputError",
    "Parameter",
    "Severity",
    "Sources",
    "StepError",
    "compile",
    "load",
    "run",
    "validate",
]

_MODULES = {
    "compiler": ["compile"],
    "errors": [
        *("ArtifactError", "EngineError", "InvalidGraph", "MissingInput"),
        *("OutputError", "StepError"),
    ],
    "execution": ["Observer", "run"],
    "graph": ["CompiledStep", "Graph"],
    "issues": ["Issue", "Severity"],
    "model": ["ArtifactInput", "ArtifactOutput", "Parameter"],
    "reading.document": ["Document", "load"],
    "reading.sources": ["Sources"],
    "validation": ["validate"],
}
_PLACES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import what is asked for: the daemon, which is to be small, only words errors."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_PLACES[name]}")
    value = globals()[name] = getattr(module, name)
    return value
