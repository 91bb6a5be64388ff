"""The README as a package index shows it: there, no link can be relative.

`hatch_build.py` calls it. Where the project's files can be seen is said once, as
``Source`` among the addresses in pyproject.toml; as long as there is none, what was a
link to a file is its words, and what was a picture is left out.
"""

from __future__ import annotations

import re

LINK = re.compile(
    r"(?P<picture>!?)\[(?P<words>[^\]]*)\]\((?P<path>[^)\s:#]+)(?P<at>#[^)]*)?\)"
)
BLOCK = re.compile(r"^(```.*?^```$|<!--.*?-->\n?)", re.MULTILINE | re.DOTALL)


def for_an_index(readme: str, *, source: str | None, version: str) -> str:
    """The README with absolute links, or without links to files.

    Args:
        readme: The README, in Markdown.
        source: The address of the repository, such as ``https://example.org/a/b``; None
            while it has none.
        version: The version that is released, whose tag the links lead to.
    """
    pieces = BLOCK.split(readme)
    for place in range(0, len(pieces), 2):  # between the blocks
        pieces[place] = LINK.sub(
            lambda match: _absolute(match, source, version), pieces[place]
        )
    return re.sub(r"\n{3,}", "\n\n", "".join(pieces))


def _absolute(match: re.Match[str], source: str | None, version: str) -> str:
    words, path, at = match["words"], match["path"], match["at"] or ""
    if source is None:
        return "" if match["picture"] else words
    kind = "raw" if match["picture"] else "blob"
    return f"{match['picture']}[{words}]({source}/{kind}/v{version}/{path}{at})"
