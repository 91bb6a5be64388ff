"""What images are built from: a copy of the sources, certificates, wheels, a base."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ProofError
from .tools import call

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .tools import Tools

ROOT = Path(__file__).resolve().parents[2]
PUBLIC_BASE = "docker.io/library/debian:bookworm-slim"
OWN_BASE = "localhost/debian:bookworm-slim"
_SOURCES = (
    *(".dockerignore", "LICENSE", "README.md", "constraints.txt", "pyproject.toml"),
    *("containers", "src"),
)
_BOOTSTRAP_SECONDS = 900.0
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


def base_image(tools: Tools, wanted: str | None, log: Path) -> str:
    """The image that the base is built on: pulled, or made where nothing can be.

    Args:
        tools: What pulls.
        wanted: The one that was asked for.
        log: Where debootstrap writes.

    Raises:
        ProofError: There is none and debootstrap cannot make one.
    """
    if wanted or not tools.runner:
        return wanted or PUBLIC_BASE
    for image in (PUBLIC_BASE, OWN_BASE):
        if tools.has(image):
            return image
    try:
        call([*tools.runner, "pull", PUBLIC_BASE])
    except (ProofError, subprocess.TimeoutExpired):
        _bootstrap(tools, log)
        return OWN_BASE
    return PUBLIC_BASE


def _bootstrap(tools: Tools, log: Path) -> None:
    if shutil.which("debootstrap") is None:
        raise ProofError(
            f"{PUBLIC_BASE} cannot be pulled, and there is no debootstrap to make it:"
            " name another image with --base-image."
        )
    with tempfile.TemporaryDirectory(prefix="debian-") as name, log.open("wb") as file:
        root, archive = Path(name, "root"), Path(name, "root.tar")
        for command in (
            ["debootstrap", "--variant=minbase", "bookworm", str(root)],
            ["tar", "--directory", str(root), "--create", "--file", str(archive), "."],
            [*tools.runner, "import", str(archive), OWN_BASE],
        ):
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                timeout=_BOOTSTRAP_SECONDS,
                check=False,
            )
            if done.returncode:
                raise ProofError(f"{command[0]} failed; see {log}")
