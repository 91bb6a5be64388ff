"""What an MLflow run, the place of its artifacts and these may be called.

Whoever answers as MLflow says both, and they go into requests, records and paths: what
is neither is told where it comes in.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal
from urllib.parse import unquote, urlsplit

RunStatus = Literal["FINISHED", "FAILED", "KILLED"]
"""How a run ended, in MLflow's words."""
MAX_URI = 8000
"""Characters of an artifact's address."""

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,255}")


def run_id_problem(run_id: str) -> str | None:
    """What is wrong with the id of a run; None if nothing is."""
    if not _RUN_ID.fullmatch(run_id):
        return f"{run_id!r:.80} is no MLflow run"
    return None


def artifacts_problem(uri: str) -> str | None:
    """What is wrong with the address of a run's artifacts; None if nothing is.

    Args:
        uri: Such as ``s3://bucket/0/abc/artifacts`` or ``/shared/0/abc/artifacts``. One
            that begins nowhere would depend on where a process happens to be.
    """
    shown = f"{uri[:80]!r} is no place for a run's artifacts"
    if len(uri) > MAX_URI:
        return f"{shown}: it has more than {MAX_URI:,} characters"
    if not uri.isprintable():
        return f"{shown}: there are control characters in it"
    try:
        parts = urlsplit(uri)
    except ValueError:
        return f"{shown}: it cannot be read as an address"
    if ".." in unquote(parts.path).split("/"):
        return f"{shown}: there is '..' in it"
    if parts.scheme in {"", "file"} and not parts.path.startswith("/"):
        return f"{shown}: it is neither an address nor an absolute path"
    return None


def artifact_name_problem(name: str) -> str | None:
    """What is wrong with the name of an artifact's file or folder; None if nothing is.

    It is the end of the artifact's address, which the platform reads as a URL.
    """
    what = "the platform does not find an artifact whose name"
    if set("?#") & set(name):
        return f"{what} has '?' or '#' in it"
    categories = {unicodedata.category(letter) for letter in name}
    if "Cs" in categories:  # what Python makes of bytes that are none of UTF-8
        return f"{what} is not UTF-8"
    if "Cc" in categories:
        return f"{what} has control characters in it"
    return None
