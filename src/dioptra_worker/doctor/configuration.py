"""Are the settings usable? Every problem is a finding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker import settings as settings_module
from dioptra_worker.doctor.finding import Finding, fail, ok
from dioptra_worker.errors import SettingsError

if TYPE_CHECKING:
    from dioptra_worker.settings import Settings

NAME = "settings"
_EXAMPLE = " Example: "


def read_settings() -> tuple[Settings | None, list[Finding]]:
    """Read the settings from the environment.

    Returns:
        The settings, None when they are not usable, and the findings.
    """
    try:
        return settings_module.load(), [ok(NAME, "complete and well-formed")]
    except SettingsError as error:
        return None, [_problem(text) for text in error.problems]


def _problem(text: str) -> Finding:
    detail, _, example = text.partition(_EXAMPLE)
    name = text.partition(":")[0]
    return fail(NAME, detail, f"set {example or name}")
