"""What an MLflow run and the place of its artifacts may be called; asked on both sides.

Whoever answers as MLflow says both, and they go into requests, records and paths: what
is neither is told where it comes in.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

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
