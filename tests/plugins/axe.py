"""axe-core, which finds what on a page keeps somebody out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.plugins.npm_package import npm_package

if TYPE_CHECKING:
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
    package = npm_package(NAME, VERSION, DIGEST)
    return (package / "axe.min.js").read_text(encoding="utf-8")
