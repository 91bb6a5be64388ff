"""Packages of the npm registry that tests use, fetched once and kept."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest
from tests.plugins.cached import cached

if TYPE_CHECKING:
    from pathlib import Path


def npm_package(name: str, version: str, digest: str) -> Path:
    """The folder of a package's files.

    Args:
        name: The package.
        version: Its version.
        digest: That of its archive, as npm's own lock files have it.
    """
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip(f"there is no npm, which fetches {name}: install Node.js")

    def fill(folder: Path) -> None:
        subprocess.run(
            [npm, "pack", f"{name}@{version}", "--silent", "--ignore-scripts"],
            cwd=folder,
            check=True,
            capture_output=True,
            timeout=200,
        )
        archive = folder / f"{name}-{version}.tgz"
        found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest())
        assert f"sha512-{found.decode()}" == digest, f"this is another {name}"
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        archive.unlink()

    return cached(f"npm-{name}=={version}", fill) / "package"
