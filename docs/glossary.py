"""The words of the glossary: what each means, and where a text has one first."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

AMBIGUOUS = {"attempt", "plan", "step"}
"""Words that are verbs as well: linked behind an article only."""
QUALIFIED = {"run": "MLflow run"}
"""Words that mean too much by themselves, and how they are written when they do not."""
UNLINKED = {"activity"}
"""Words that pages use in their everyday sense."""
_VERB = re.compile(
    r"\b(?:an?|another|each|no|the|whose|\w+['\u2019]s)\s+\Z", re.IGNORECASE
)
"""Before "worker runs" this makes a verb of the second word."""
_ARTICLE = r"(?:an?|the|its|each|every|this|of its|MLflow) "


def definitions(page: str) -> dict[str, str]:
    """The meanings of the words that a glossary in MyST has, in one line each."""
    _, _, rest = page.partition("```{glossary}\n")
    found = re.findall(
        r"^(\S.*)\n((?:  .*\n)+)", rest.partition("```")[0], re.MULTILINE
    )
    return {
        word: re.sub(r"[*`]", "", " ".join(textwrap.dedent(lines).split()))
        for word, lines in found
    }


class Words:
    """The words that a page has not had yet."""

    def __init__(self, words: dict[str, str]) -> None:
        self._left = set(words) - UNLINKED

    def pieces(self, text: str) -> Iterator[tuple[str, str | None]]:
        """A text in pieces, each with the word that it is linked with, or None."""
        while found := self._next(text):
            word, match = found
            self._left.remove(word)
            yield text[: match.start("word")], None
            yield match["word"], word
            text = text[match.end("word") :]
        yield text, None

    def _next(self, text: str) -> tuple[str, re.Match[str]] | None:
        """The first word that a text has, the longer one of two."""
        found = [(w, m) for w in self._left if (m := _match(w, text))]
        return min(
            found,
            key=lambda pair: (pair[1].start("word"), -len(pair[1]["word"])),
            default=None,
        )


def _match(word: str, text: str) -> re.Match[str] | None:
    """Where a text has a word first, as a noun."""
    for match in _pattern(word).finditer(text):
        is_plural = match["word"].lower().split() == ["worker", "runs"]
        if not (is_plural and _VERB.search(text, 0, match.start("word"))):
            return match
    return None


def _pattern(word: str) -> re.Pattern[str]:
    shown = re.escape(QUALIFIED.get(word, word)).replace(r"\ ", r"\s+")
    before = rf"(?<![\w/.-]){_ARTICLE if word in AMBIGUOUS else ''}"
    return re.compile(rf"{before}(?P<word>{shown}s?)(?![\w/-]|\.\w)", re.IGNORECASE)
