"""Help text that is made from the settings, so that it cannot lie."""

from __future__ import annotations

from dioptra_worker.credentials import SECRET_NAMES
from dioptra_worker.settings import Settings


def settings_epilog() -> str:
    """The environment variables, as the end of a command's ``--help``."""
    lines = ["\b", "Environment (required):"]
    required = {k: f for k, f in Settings.model_fields.items() if f.is_required()}
    optional = {k: f for k, f in Settings.model_fields.items() if not f.is_required()}
    lines += [f"  {field.alias}" for field in required.values()]
    lines += ["", "\b", "Environment (optional):"]
    lines += [f"  {field.alias} [{shown(key)}]" for key, field in optional.items()]
    secret = ", ".join(SECRET_NAMES[:2])
    lines += [
        "",
        f"Secrets ({secret}, AWS and MLflow credentials) may be given as NAME_FILE,",
        "the path of a file. docs/reference/settings.md explains every variable.",
    ]
    return "\n" + "\n".join(lines)


def shown(key: str) -> str:
    """A setting's default for people."""
    field = Settings.model_fields[key]
    if field.default_factory is not None:
        return "a folder in the system's temporary folder"
    value = field.default
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return ",".join(value) or "none"
    return str(value)
