"""The environment of dioptra-platform, as others see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class PeerEnvironment:
    """An environment that has dioptra-platform.

    Attributes:
        python: Its interpreter.
        database: An empty, migrated database to copy, if one is kept.
    """

    python: Path
    database: Path | None = None
