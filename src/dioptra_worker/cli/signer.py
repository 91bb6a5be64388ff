"""The keys that a worker signs with, read once when it starts."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker.credentials import EVIDENCE_KEY
from dioptra_worker.evidence import keys
from dioptra_worker.evidence.errors import KeyUnusable
from dioptra_worker.evidence.signing import Signer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.settings import Settings


def open_signer(settings: Settings, environment: Mapping[str, str]) -> Signer:
    """What signs with the keys of the settings.

    Args:
        settings: The daemon's settings, with a key.
        environment: The daemon's environment.

    Raises:
        KeyUnusable: They are no keys, or everybody may read their file.
    """
    file = environment.get(f"{EVIDENCE_KEY}_FILE")
    if file and _is_open(Path(file)):
        raise KeyUnusable(
            f"{EVIDENCE_KEY}_FILE: everybody on this machine, jobs included, may read"
            f" {file!r}: run chmod o-r {file}, or have it mounted with mode 0400"
        )
    try:
        return Signer(keys.read_private(settings.evidence_key.get_secret_value()))
    except KeyUnusable as error:
        raise KeyUnusable(f"{EVIDENCE_KEY} cannot be used: {error}") from error


def _is_open(file: Path) -> bool:
    try:
        return bool(file.stat().st_mode & stat.S_IROTH)
    except OSError:  # the variable itself has the key, and the file is not looked at
        return False
