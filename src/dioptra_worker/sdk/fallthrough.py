"""Names that a compat module lacks, taken from the module that it hides.

A folder in front on ``sys.path`` hides whole modules. Where ``dioptra-platform`` is
installed too, its other modules import names from those that we hide; they find them
here, so that both can be used in one process.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dioptra_worker.sdk.missing_names import WAY_OUT

if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from types import ModuleType


def hidden(spec: ModuleSpec) -> Callable[[str], Any]:
    """Return a module's ``__getattr__`` that looks in the module it hides.

    Args:
        spec: The ``__spec__`` of the module that lacks the name.
    """
    found: list[ModuleType | None] = []

    def lookup(name: str) -> Any:
        if not found and not name.startswith("__"):
            found.append(_load(spec))
        module = found[0] if found else None
        if module is None or not hasattr(module, name):
            words = f"module {spec.name!r} has no attribute {name!r}"
            hint = "" if found and module is not None else f": {WAY_OUT}"
            raise AttributeError(words + hint)
        return getattr(module, name)

    return lookup


def _load(spec: ModuleSpec) -> ModuleType | None:
    """Run the hidden module's file, without making it the one that is imported."""
    own = Path(spec.origin or "").parent
    package = sys.modules[spec.parent or ""]
    elsewhere = [entry for entry in package.__path__ if Path(entry) != own]
    found = PathFinder.find_spec(spec.name, elsewhere)
    if found is None or found.loader is None:
        return None
    module = module_from_spec(found)
    found.loader.exec_module(module)
    return module
