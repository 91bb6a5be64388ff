"""What the files around the package say of its release, they say alike."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from dioptra_worker import __version__

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RELEASED = re.compile(r"^## (\d+\.\d+\.\d+) - (\d{4}-\d{2}-\d{2})$", re.MULTILINE)


def test_the_changelog_has_the_release() -> None:
    """Its sections are "Unreleased", then the releases, this one first."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    titles = re.findall(r"^## (.*)$", text, re.MULTILINE)
    releases = RELEASED.findall(text)
    assert titles == ["Unreleased", *(f"{name} - {date}" for name, date in releases)]
    assert releases[0][0] == __version__
    assert releases == sorted(releases, key=_order, reverse=True)


def _order(release: tuple[str, str]) -> tuple[list[int], str]:
    version, date = release
    return [int(part) for part in version.split(".")], date


def test_no_address_is_made_up() -> None:
    """Until the project has addresses, the package's metadata names only others'."""
    assert PROJECT["project"]["urls"].keys() == {"Dioptra, the testbed"}


def test_whose_it_is() -> None:
    """It is said that the project is not NIST's, and no name is taken from NIST's."""
    for page in ("README.md", "docs/index.md"):
        text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
        assert "not affiliated with NIST" in text
    for folder in ("containers", "deploy", "src"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and path.suffix not in {".pyc", ".crt", ".whl"}:
                assert b"gov.nist" not in path.read_bytes(), path
