"""What a plugin wants below ``dioptra.`` and is not there is told with its package.

`dioptra_worker.sdk.compat` has what plugins use. Of all else there is nothing to see
unless ``dioptra-platform`` is installed beside the worker.
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

WAY_OUT = (
    "the worker brings what plugins use of Dioptra; all else is in the package"
    " dioptra-platform: install it beside the worker"
)


class _Missing(MetaPathFinder):
    """Is asked last, when nobody else has found a module."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - what a finder is given
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> None:
        """Say where it is to be had, if it is one of the platform's."""
        if fullname.startswith("dioptra."):
            message = f"No module named {fullname!r}: {WAY_OUT}"
            raise ModuleNotFoundError(message, name=fullname)


def explain_missing_names() -> None:
    """Say it from now on, in this process."""
    if not any(isinstance(finder, _Missing) for finder in sys.meta_path):
        sys.meta_path.append(_Missing())
