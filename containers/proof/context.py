"""What images are built from: a copy of the sources, certificates, wheels."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


ROOT = Path(__file__).resolve().parents[2]
_SOURCES = (
    *(".dockerignore", "LICENSE", "README.md", "constraints.txt", "hatch_build.py"),
    *("containers", "pyproject.toml", "src"),
)
_ADDED = Path("/usr/local/share/ca-certificates")
_INDEXES = ("index-url", "extra-index-url")


def trusted_here() -> list[Path]:
    """The certificates that somebody has added to this machine (Debian's place)."""
    return sorted(_ADDED.glob("*.crt"))


def pip_conf(folder: Path, environment: Mapping[str, str]) -> Path | None:
    """Write down the indexes that pip has in this environment, for the builds.

    Args:
        folder: Where to.
        environment: Has ``PIP_INDEX_URL`` and the like, or not.

    Returns:
        The file, for the builds' secret, since an address may hold a password; None
        when pip has its usual index.
    """
    names = {name: f"PIP_{name.upper().replace('-', '_')}" for name in _INDEXES}
    lines = [
        f"{name} = {environment[variable]}"
        for name, variable in names.items()
        if environment.get(variable)
    ]
    if not lines:
        return None
    file = folder / "pip.conf"
    file.touch(mode=0o600)
    file.write_text("\n".join(["[global]", *lines, ""]), encoding="utf-8")
    return file


def stage(
    folder: Path, *, certificates: Sequence[Path], wheels: Sequence[Path]
) -> None:
    """Copy what images are built from, so that nothing of the work tree changes.

    Args:
        folder: Where to.
        certificates: Files to be trusted in the images.
        wheels: Files that pip is to find.
    """
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in _SOURCES:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=ignore)
        else:
            shutil.copy2(source, target)
    for file in certificates:
        shutil.copy2(file, folder / "containers/ca-certificates")
    for file in wheels:
        shutil.copy2(file, folder / "containers/wheels")
