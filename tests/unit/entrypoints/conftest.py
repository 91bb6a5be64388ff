"""The examples' plugins are imported here as runners import them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.sdk import compat

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def plugin_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let plugins import ``dioptra``, as in a runner, and nobody else afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(compat.path()))
    yield
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "dioptra":
            del sys.modules[name]
