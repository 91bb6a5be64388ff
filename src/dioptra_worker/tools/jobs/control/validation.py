"""Whether what a job is given fits its entrypoint, told before it is submitted."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from dioptra_worker.engine.wording import listing, near
from dioptra_worker.errors import NotFound, PathUnknown
from dioptra_worker.tools.resources.errors import Unknown
from dioptra_worker.tools.resources.names import instead
from dioptra_worker.tools.resources.parameters import NotOfType, misfits, parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from dioptra_worker.api.user_client import UserClient


def check_arguments(
    client: UserClient,
    entrypoint: Mapping[str, Any],
    *,
    values: Mapping[str, Any],
    artifacts: Mapping[str, int],
    swaps: Mapping[str, str],
) -> None:
    """See whether an entrypoint, as it is now, takes what a job is to be given.

    Args:
        client: The API.
        entrypoint: The entrypoint as the API shows it.
        values: The values of parameters, as texts or as JSON has them.
        artifacts: The ids of artifacts by the names of artifact parameters.
        swaps: Choices by the swaps' names.

    Raises:
        Unknown: It has no such parameter, swap or choice, something is missing or of
            another type; all that is wrong, a sentence in each line.
        ServiceError: The API refused, or cannot be asked.
    """
    whose = f"entrypoint {entrypoint['name']!r}"
    inputs = entrypoint.get("artifactParameters") or ()
    problems = [
        *_unknown(whose, "parameter", values, _names(entrypoint["parameters"])),
        *_unknown(whose, "artifact parameter", artifacts, _names(inputs)),
        *_misfits_of_values(client, entrypoint, values),
        *_misfits_of_artifacts(client, inputs, artifacts),
    ]
    if swaps or "?" in entrypoint["taskGraph"]:
        choices = client.swaps(entrypoint["id"], entrypoint["snapshot"])
        problems += _unknown(whose, "swap", swaps, list(choices))
        strays = [name for name in swaps if name not in choices]
        for name, aliases in choices.items():
            if any(near(stray, [name]) for stray in strays):
                continue  # it is meant by what was mistyped
            problems += _misfits_of_swap(name, swaps.get(name), aliases)
    if problems:
        raise Unknown("\n".join(problems))


def check_values(
    client: UserClient, entrypoint: Mapping[str, Any], values: Mapping[str, Any]
) -> None:
    """See whether a state of an entrypoint takes other values than a job had.

    Args:
        client: The API.
        entrypoint: Its ``id``, ``name``, ``snapshot`` and ``parameters``, as the API
            shows them.
        values: All values that the job is to have.

    Raises:
        Unknown: There is no such parameter, or a value is of another type; all that is
            wrong, a sentence in each line.
        ServiceError: The API refused, or cannot be asked.
    """
    whose = f"entrypoint {entrypoint['name']!r}"
    problems = [
        *_unknown(whose, "parameter", values, _names(entrypoint["parameters"])),
        *_misfits_of_values(client, entrypoint, values),
    ]
    if problems:
        raise Unknown("\n".join(problems))


def _names(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    return [entry["name"] for entry in entries]


def _unknown(
    whose: str, what: str, given: Iterable[str], there: Sequence[str]
) -> Iterator[str]:
    for name in given:
        if name not in there:
            has = instead(name, there)
            yield f"{whose} has no {what} {name!r}: it has {has or 'none'}"


def _misfits_of_values(
    client: UserClient, entrypoint: Mapping[str, Any], values: Mapping[str, Any]
) -> list[str]:
    problems = []
    read: dict[str, Any] = {}
    for declared in entrypoint["parameters"]:
        name, kind = declared["name"], declared.get("parameterType", "any")
        if name in values:
            value = values[name]
            try:
                read[name] = parse(value, kind) if isinstance(value, str) else value
            except NotOfType as error:
                problems.append(f"parameter {name!r}: {error}")
        elif declared.get("defaultValue") is None and "defaultValue" in declared:
            problems.append(
                f"parameter {name!r} has no default: give it a value, such as"
                f" -P {name}=..."
            )
    if problems or not any(isinstance(value, list | dict) for value in read.values()):
        return problems
    with contextlib.suppress(NotFound, PathUnknown):  # of an older platform
        config = client.entrypoint_config(entrypoint["id"], entrypoint["snapshot"])
        problems += misfits(config, read)
    return problems


def _misfits_of_artifacts(
    client: UserClient,
    inputs: Iterable[Mapping[str, Any]],
    given: Mapping[str, int],
) -> Iterator[str]:
    wanted = {
        entry["name"]: [
            output["parameterType"]["name"] for output in entry["outputParams"]
        ]
        for entry in inputs
        if "outputParams" in entry
    }
    for entry in inputs:
        name = entry["name"]
        if name not in given:
            yield f"artifact parameter {name!r} is not given: --artifact {name}=ID"
        elif name in wanted:
            has = client.types_of_artifact(given[name])
            if has is not None and has != wanted[name]:
                others = [one for one, types in wanted.items() if types == has]
                fits = f"; it fits {listing(others, 'or')}" if others else ""
                yield (
                    f"artifact parameter {name!r} takes {_shown(wanted[name])}, and"
                    f" artifact {given[name]} holds {_shown(has)}{fits}"
                )


def _shown(types: Sequence[str]) -> str:
    return f"a value of type {listing(types)}" if types else "no value"


def _misfits_of_swap(
    name: str, chosen: str | None, aliases: Sequence[str]
) -> Iterator[str]:
    if chosen is None:
        yield (
            f"swap {name!r} is open: choose {listing(aliases, 'or')}, such as"
            f" --swap {name}={aliases[0]}"
        )
    elif chosen not in aliases:
        meant = near(chosen, aliases)
        choose = repr(meant) if meant is not None else listing(aliases, "or")
        yield f"swap {name!r} has no choice {chosen!r}: choose {choose}"
