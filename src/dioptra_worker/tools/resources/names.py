"""What people call things by, names or ids, and what they probably meant."""

from __future__ import annotations

import contextlib
import difflib
import re
from typing import TYPE_CHECKING

from dioptra_worker.errors import ServiceRefused
from dioptra_worker.tools.resources.errors import Unknown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dioptra_worker.api.user_client import UserClient

_MAX_NAMES = 10
_FIT = re.compile(r"(?! +\Z)[A-Za-z0-9_. -]+", re.ASCII)
FITTING = "the platform takes ASCII letters, digits, spaces and any of '_.-'"


def fits(name: str) -> bool:
    """Whether the platform takes it as a name; `FITTING` says in words what it does."""
    return _FIT.fullmatch(name) is not None


def known(client: UserClient, kind: str, name: str) -> int:
    """The id of a resource by its name.

    Args:
        client: The API.
        kind: Such as ``entrypoints``.
        name: The name.

    Raises:
        Unknown: There is none; with names that are near.
        ServiceError: The API refused, or cannot be asked.
    """
    found = client.find(kind, name)
    if found is None:
        raise _unknown(kind[:-1], name, client.names(kind))
    return found


def id_of(client: UserClient, kind: str, given: str) -> int:
    """The id of a resource by its name; or what is given is the id.

    Raises:
        Unknown: There is none of that name; of an id, nothing is asked.
        ServiceError: The API refused, or cannot be asked.
    """
    if _is_id(given) and client.find(kind, given) is None:
        return int(given)
    return known(client, kind, given)


def refuse_unknown(client: UserClient, kind: str, given: str | None) -> None:
    """Refuse a name, or an id, that nothing has.

    Args:
        client: The API.
        kind: Such as ``queues``, or ``users``.
        given: What was given; None is nothing.

    Raises:
        Unknown: There is none of that name; with names that are near.
        ServiceError: The API refused, or cannot be asked.
    """
    if given is None:
        return
    names: list[str] | None = None
    if kind != "users":
        if _is_id(given) or client.find(kind, given) is not None:
            return
        names = client.names(kind)
    else:
        with contextlib.suppress(ServiceRefused):  # who may not see them all
            names = client.user_names()
    if names is not None and given not in names:
        raise _unknown(kind[:-1], given, names)


def instead(given: str, names: Iterable[str]) -> str:
    """What there is in place of a name that nothing has, the near ones if any is.

    Returns:
        Such as ``'a', 'b'``; empty if there is nothing.
    """
    there = sorted(names)
    close = difflib.get_close_matches(given, there, n=3)
    shown = close or there[:_MAX_NAMES]
    more = len(there) - len(shown)
    rest = f" and {more} more" if more and not close else ""
    return f"{', '.join(map(repr, shown))}{rest}"


def _unknown(noun: str, given: str, names: Iterable[str]) -> Unknown:
    there = instead(given, names)
    return Unknown(
        f"the API has no {noun} {given!r}: there is {there or 'none at all'}"
    )


def _is_id(given: str) -> bool:
    return given.isascii() and given.isdigit()
