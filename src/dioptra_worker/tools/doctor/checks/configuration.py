"""Are the settings usable? Every problem is a finding."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from dioptra_worker import settings as settings_module
from dioptra_worker.errors import SettingsError
from dioptra_worker.tools.doctor.finding import Finding, fail, ok, warn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from dioptra_worker.settings import Settings

NAME = "settings"
_EXAMPLE = " Example: "
_PREFIX = "DIOPTRA_WORKER_"
_NOT_THE_DAEMONS = {"LOCAL_DIR", "PEER_PYTHON", "RUN_ID"}
_ALIKE = 0.75
FORK_SAFETY = "OBJC_DISABLE_INITIALIZE_FORK_SAFETY"
"""Lets macOS fork a process that has imported much, which this worker does not do."""


def read_settings(
    stand_ins: Mapping[str, str] | None = None,
) -> tuple[Settings | None, list[Finding]]:
    """Read the settings from the environment.

    Args:
        stand_ins: Values for variables that nobody has set yet.

    Returns:
        The settings, None when they are not usable, and the findings.
    """
    try:
        settings = settings_module.load(stand_ins)
    except SettingsError as error:
        return None, [_problem(text) for text in error.problems]
    if stand_ins:
        return settings, [ok(NAME, f"still to be set: {', '.join(stand_ins)}")]
    return settings, [ok(NAME, "complete and well-formed")]


def examples(environment: Mapping[str, str]) -> dict[str, str]:
    """An example for each required variable that is not set, neither as a file."""
    return {
        str(field.alias): str(field.examples[0])
        for field in settings_module.Settings.model_fields.values()
        if field.is_required()
        and field.examples
        and not environment.get(str(field.alias))
        and not environment.get(f"{field.alias}_FILE")
    }


def misspelt(variables: Iterable[str]) -> Iterator[Finding]:
    """Variables that are no setting, but whose names are close to one's.

    Args:
        variables: The names of all that are set.
    """
    fields = settings_module.Settings.model_fields.values()
    known = {str(field.alias).removeprefix(_PREFIX) for field in fields}
    known |= {f"{name}_FILE" for name in known} | _NOT_THE_DAEMONS
    for variable in sorted(variables):
        name = variable.removeprefix(_PREFIX)
        if name == variable or name in known:
            continue
        for meant in get_close_matches(name, known, n=1, cutoff=_ALIKE):
            yield warn(
                NAME,
                f"{variable} is none, and has no effect",
                f"did you mean {_PREFIX}{meant}?",
            )


def unneeded(variables: Iterable[str]) -> Iterator[Finding]:
    """Variables that the platform's worker wants and this one does not.

    Args:
        variables: The names of all that are set.
    """
    if FORK_SAFETY in variables:
        yield ok(NAME, f"{FORK_SAFETY} is set: not needed, and harmless")


def _problem(text: str) -> Finding:
    detail, _, example = text.partition(_EXAMPLE)
    name = text.partition(":")[0]
    return fail(NAME, detail, f"set {example or name}")
