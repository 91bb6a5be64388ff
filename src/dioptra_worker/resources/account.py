"""Which Dioptra to talk to, and as whom: the part of the settings that clients need.

The daemon's `Settings` also demand a queue, MLflow and S3, which a client has no use
for; the names, and what a message says, are the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from dioptra_worker.api.client import DioptraApi
from dioptra_worker.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

URL = "DIOPTRA_API"
USERNAME = "DIOPTRA_WORKER_USERNAME"
PASSWORD = "DIOPTRA_WORKER_PASSWORD"  # noqa: S105 - a variable's name

_WANTED = {
    URL: "the address of the Dioptra REST API, such as http://localhost:5000",
    USERNAME: "the user to log in as",
    PASSWORD: f"that user's password; or set {PASSWORD}_FILE to the path of a file",
}


@dataclass(frozen=True, kw_only=True)
class Account:
    """An address, a user and a password.

    Attributes:
        url: The base URL of the REST API.
        username: The user.
        password: That user's password.
    """

    url: str
    username: str
    password: str = field(repr=False)

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Self:
        """Read the account from an environment.

        Raises:
            SettingsError: Naming every variable that is missing or malformed.
        """
        problems: list[str] = []
        values = {name: environment.get(name, "") for name in _WANTED}
        file = environment.get(f"{PASSWORD}_FILE")
        if file:
            try:
                values[PASSWORD] = Path(file).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                problems.append(f"{PASSWORD}_FILE: {file!r} cannot be read: {error}")
        problems += [
            f"{name} is missing: {_WANTED[name]}"
            for name, value in values.items()
            if not value and not (name == PASSWORD and file)
        ]
        url = values[URL].rstrip("/")
        if url and not _is_address(url):
            problems.append(f"{URL}: {values[URL]!r} is no address: {_WANTED[URL]}")
        if problems:
            raise SettingsError(problems)
        return cls(url=url, username=values[USERNAME], password=values[PASSWORD])

    def session(self) -> DioptraApi:
        """Make a session with the API; nothing is sent yet."""
        return DioptraApi(url=self.url, username=self.username, password=self.password)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)
