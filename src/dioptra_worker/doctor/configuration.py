"""Are the settings usable? Every problem is a finding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker import settings as settings_module
from dioptra_worker.doctor.finding import Finding, fail, ok
from dioptra_worker.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.settings import Settings

NAME = "settings"
_EXAMPLE = " Example: "


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


def _problem(text: str) -> Finding:
    detail, _, example = text.partition(_EXAMPLE)
    name = text.partition(":")[0]
    return fail(NAME, detail, f"set {example or name}")
