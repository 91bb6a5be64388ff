"""axe-core, which finds what on a page keeps somebody out, fetched once and kept."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
from typing import TYPE_CHECKING, Any

import pytest
from tests.plugins.cached import cached

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

NAME, VERSION = "axe-core", "4.14.1"
DIGEST = (
    "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe"
    "37OgudVGtQ=="
)
"""Of the package's archive, as npm's own lock files have it."""
_GRAVE = ("serious", "critical")
_OPTIONS = {"preload": False, "resultTypes": ["violations"]}
_RUN = """
async (options) => (await axe.run(document, options)).violations.map((found) => ({
  id: found.id, impact: found.impact, help: found.help,
  where: found.nodes.map((node) => node.html.slice(0, 300)),
}))
"""


def grave_findings(page: Page) -> list[dict[str, Any]]:
    """What axe-core finds on a page that is serious or critical.

    Args:
        page: The page, as it is now.
    """
    if page.evaluate("typeof axe") == "undefined":
        page.evaluate(f"() => {{ {_source()} }}")
    found = page.evaluate(_RUN, _OPTIONS)
    return [finding for finding in found if finding["impact"] in _GRAVE]


def _source() -> str:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("there is no npm, which fetches axe-core: install Node.js")

    def fill(folder: Path) -> None:
        subprocess.run(
            [npm, "pack", f"{NAME}@{VERSION}", "--silent", "--ignore-scripts"],
            cwd=folder,
            check=True,
            capture_output=True,
            timeout=200,
        )
        archive = folder / f"{NAME}-{VERSION}.tgz"
        found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest())
        assert f"sha512-{found.decode()}" == DIGEST, "this is another axe-core"
        with tarfile.open(archive) as tar:
            file = tar.extractfile("package/axe.min.js")
            assert file is not None
            (folder / "axe.min.js").write_bytes(file.read())
        archive.unlink()

    return (cached(f"{NAME}=={VERSION}", fill) / "axe.min.js").read_text("utf-8")
