"""Whether what a job is given fits its entrypoint, told before it is submitted."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from dioptra_worker.engine.wording import listing, near
from dioptra_worker.tools.resources.errors import Unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dioptra_worker.api.user_client import UserClient


def check_arguments(
    client: UserClient,
    entrypoint: Mapping[str, Any],
    *,
    values: Iterable[str],
    artifacts: Iterable[str],
    swaps: Mapping[str, str],
) -> None:
    """See whether an entrypoint, as it is now, takes what a job is to be given.

    Args:
        client: The API.
        entrypoint: The entrypoint as the API shows it.
        values: The names of the parameters that are given values.
        artifacts: The names of the artifact parameters that are given artifacts.
        swaps: Choices by the swaps' names.

    Raises:
        Unknown: It has no such parameter, swap or choice, or a choice is missing.
        ServiceError: The API refused, or cannot be asked.
    """
    whose = f"entrypoint {entrypoint['name']!r}"
    parameters = [entry["name"] for entry in entrypoint["parameters"]]
    inputs = [entry["name"] for entry in entrypoint.get("artifactParameters") or ()]
    _check_names(whose, "parameter", values, parameters)
    _check_names(whose, "artifact parameter", artifacts, inputs)
    if swaps or "?" in entrypoint["taskGraph"]:
        choices = client.swaps(entrypoint["id"], entrypoint["snapshot"])
        _check_names(whose, "swap", swaps, list(choices))
        for name, aliases in choices.items():
            _check_choice(name, swaps.get(name), aliases)


def _check_names(
    whose: str, what: str, given: Iterable[str], there: Sequence[str]
) -> None:
    for name in given:
        if name not in there:
            close = difflib.get_close_matches(name, there, n=3) or there
            has = f"it has {', '.join(map(repr, close))}" if close else "it has none"
            raise Unknown(f"{whose} has no {what} {name!r}: {has}")


def _check_choice(name: str, chosen: str | None, aliases: Sequence[str]) -> None:
    if chosen is None:
        raise Unknown(
            f"swap {name!r} is open: choose {listing(aliases, 'or')}, such as"
            f" --swap {name}={aliases[0]}"
        )
    if chosen not in aliases:
        meant = near(chosen, aliases)
        choose = repr(meant) if meant is not None else listing(aliases, "or")
        raise Unknown(f"swap {name!r} has no choice {chosen!r}: choose {choose}")
