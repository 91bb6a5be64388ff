"""Which environment variables hold secrets, and which of their values must not be seen.

Everything that shows text asks here: see `dioptra_worker.common.text.masking`.
"""

from __future__ import annotations

import base64
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_plus

if TYPE_CHECKING:
    from collections.abc import Mapping

EVIDENCE_KEY = "DIOPTRA_WORKER_EVIDENCE_KEY"
"""Has the private keys that a worker signs with."""

SECRET_NAMES = (
    "DIOPTRA_WORKER_PASSWORD",
    EVIDENCE_KEY,
    "RQ_REDIS_URI",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
)
"""Variables that may also be given as ``NAME_FILE``."""

PERSONAL_NAMES = ("DIOPTRA_PASSWORD",)
"""The same for people's commands: no setting of the daemon's."""

IDENTIFIERS: dict[str, float] = {
    "AWS_ACCESS_KEY_ID": 16,  # the shortest that AWS gives
    "MLFLOW_TRACKING_USERNAME": math.inf,
}
"""Those of them that say who, and from how many characters on logs hide them."""

WITHHELD_NAMES = (
    *("DIOPTRA_WORKER_PASSWORD", "DIOPTRA_PASSWORD"),
    *("RQ_REDIS_URI", "RQ_REDIS_URL"),
    EVIDENCE_KEY,
)
"""Variables that a runner, and so user code, never sees (also as ``NAME_FILE``)."""

PAIRS = (
    ("DIOPTRA_WORKER_USERNAME", "DIOPTRA_WORKER_PASSWORD"),
    ("DIOPTRA_USERNAME", "DIOPTRA_PASSWORD"),
    ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"),
)
"""Names and passwords that HTTP sends together."""

SHORTEST_TOKEN = 16
"""Characters from which on a URL's user without a password counts as a token."""

_SECRET_WORDS = {"PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "APIKEY"}
_KEYS = {"API", "ACCESS", "PRIVATE", "SECRET", "SIGNING", "ENCRYPTION"}
_PLACES = {"FILE", "PATH", "DIR", "URL", "URI", "NAME", "ID"}
_USERINFO = re.compile(r"[A-Za-z][\w+.-]*://([^/?#\s]+)@")
_IN_QUERY = re.compile(
    r"[?&;](?:password|passwd|token|access_token|api_?key|secret|sig|signature)"
    r"=([^&;#\s]+)",
    re.IGNORECASE,
)


def secrets_in(environment: Mapping[str, str]) -> set[str]:
    """The values that must never be shown; names of users may.

    That is the value of every variable that is a secret by its name, ours or not, the
    passwords in all URLs, and what HTTP makes of names and passwords. Files that
    ``NAME_FILE`` names are read.

    Args:
        environment: Variables.
    """
    values = dict(environment)
    for name in (*SECRET_NAMES, *PERSONAL_NAMES):
        if not values.get(name) and (text := _from_file(values.get(f"{name}_FILE"))):
            values[name] = text
    found: set[str] = set()
    for name, value in values.items():
        if _is_secret(name, value):
            found.add(value)
        found |= secrets_in_text(value)
    for user, password in PAIRS:
        if values.get(user) and values.get(password):
            found |= _basic(values[user], values[password])
    return {value for value in found if value}


def secrets_in_text(text: str) -> set[str]:
    """The passwords and tokens in all URLs of a text, as written and as meant."""
    found: set[str] = set()
    for userinfo in _USERINFO.findall(text):
        user, colon, password = userinfo.partition(":")
        if colon:
            found |= {password, unquote(password), *_basic(unquote(user), password)}
        elif len(user) >= SHORTEST_TOKEN:
            found |= {user, unquote(user), *_basic(user, "")}
    for value in _IN_QUERY.findall(text):
        found |= {value, unquote_plus(value)}
    return found


def _is_secret(name: str, value: str) -> bool:
    if name in IDENTIFIERS:
        return len(value) >= IDENTIFIERS[name]
    if name in SECRET_NAMES or name in PERSONAL_NAMES:
        return True
    *others, last = name.upper().split("_")
    if last in _PLACES or value.isdigit() or value.startswith(("/", "~")):
        return False
    words = {*others, last}
    return bool(words & _SECRET_WORDS) or (last == "KEY" and bool(words & _KEYS))


def _basic(user: str, password: str) -> set[str]:
    """What HTTP's basic authentication sends, and the same without encoding."""
    pairs = {f"{user}:{password}", f"{user}:{unquote(password)}"}
    return {
        text.rstrip("=")
        for pair in pairs
        for encode in (base64.b64encode, base64.urlsafe_b64encode)
        for text in (encode(pair.encode("utf-8", "replace")).decode(),)
    }


def _from_file(path: str | None) -> str | None:
    """What a secret's file holds; a file that cannot be read is for others to tell."""
    if not path:
        return None
    try:
        return Path(path).read_text(encoding="utf-8").strip("\r\n")
    except (OSError, ValueError):
        return None
