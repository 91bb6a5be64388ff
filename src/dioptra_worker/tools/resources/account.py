"""Which Dioptra to talk to, and as whom: the part of the settings that clients need.

The daemon's `Settings` also demand a queue, MLflow and S3, which a client has no use
for; the names, and what a message says, are the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from dioptra_worker.api.client import DioptraApi
from dioptra_worker.errors import SettingsError
from dioptra_worker.settings import api_address, read_secret_file

if TYPE_CHECKING:
    from collections.abc import Mapping

URL = "DIOPTRA_API"
WORKER = "DIOPTRA_WORKER"
PERSON = "DIOPTRA"
"""Beginnings of the variables with user and password; a person's go before."""
USERNAME = f"{WORKER}_USERNAME"
PASSWORD = f"{WORKER}_PASSWORD"


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
    def read(cls, environment: Mapping[str, str], *, whose: str = WORKER) -> Self:
        """Read the account from an environment.

        Args:
            environment: The variables.
            whose: How the names of those with user and password begin.

        Raises:
            SettingsError: Naming every variable that is missing or malformed.
        """
        wanted = _wanted(whose)
        password = f"{whose}_PASSWORD"
        problems: list[str] = []
        values = {name: environment.get(name, "") for name in wanted}
        file = environment.get(f"{password}_FILE")
        try:
            if (content := read_secret_file(password, environment)) is not None:
                values[password] = content
        except SettingsError as error:
            problems += error.problems
        problems += [
            f"{name} is missing: {wanted[name]}"
            for name, value in values.items()
            if not value and not (name == password and file)
        ]
        url = values[URL]
        try:
            url = url and api_address(url)
        except ValueError as error:
            problems.append(f"{URL}: {url!r} is no address ({error}): {wanted[URL]}")
        if problems:
            raise SettingsError(problems)
        return cls(
            url=url, username=values[f"{whose}_USERNAME"], password=values[password]
        )

    @classmethod
    def of_person(cls, environment: Mapping[str, str]) -> Self:
        """Read a person's account, or the worker's where there is none.

        Raises:
            SettingsError: Naming every variable that is missing or malformed.
        """
        own = environment.get(f"{PERSON}_USERNAME")
        return cls.read(environment, whose=PERSON if own else WORKER)

    def session(self) -> DioptraApi:
        """Make a session with the API; nothing is sent yet."""
        return DioptraApi(url=self.url, username=self.username, password=self.password)


def _wanted(whose: str) -> dict[str, str]:
    password = f"{whose}_PASSWORD"
    return {
        URL: "the address of the Dioptra REST API, such as http://localhost:5000",
        f"{whose}_USERNAME": "the user to log in as",
        password: f"that user's password; or set {password}_FILE to the path of a file",
    }
