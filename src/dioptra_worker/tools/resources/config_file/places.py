"""Where in the text of a TOML file everything is; the reader of Python does not say."""

from __future__ import annotations

import bisect
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dioptra_worker.engine.issues import Location

_TOKEN = re.compile(
    r"""
    (?P<text>\"{3}(?:\\.|[^\\])*?\"{3,5}|'{3}.*?'{3,5}
            |"(?:\\.|[^"\\\n])*"|'[^'\n]*')
    |(?P<comment>\#[^\n]*)
    |(?P<end>\n)
    |(?P<space>[^\S\n]+)
    |(?P<mark>[\[\]{}=,.])
    |(?P<bare>[^\s\[\]{}=,.\#"']+)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPED = re.compile(r'\\(?:(["\\])|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8}))')


class Places:
    """The line and column of each entry of a TOML file.

    Args:
        text: A text that `tomllib` takes.
    """

    def __init__(self, text: str) -> None:
        self._found: dict[Location, tuple[int, int]] = {}
        self._counts: dict[Location, int] = {}
        self._tokens = [
            (match.lastgroup or "", match.group(), match.start())
            for match in _TOKEN.finditer(text)
            if match.lastgroup not in {"space", "comment"}
        ]
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._next = 0
        self.headers: list[int] = []
        """The lines, counted from 1, in which tables begin."""
        self._read()

    def place(self, path: Location) -> tuple[int, int] | None:
        """The line and column of an entry, counted from 1.

        Of one that is not in the text it is the place of what would hold it; None for
        what the whole file would hold.
        """
        while path and path not in self._found:
            path = path[:-1]
        return self._found.get(path)

    def _read(self) -> None:
        table: Location = ()
        while self._next < len(self._tokens):
            kind, text, at = self._tokens[self._next]
            if kind == "end":
                self._next += 1
            elif text == "[" and kind == "mark":
                table = self._header(at)
            else:
                self._entry(table)

    def _header(self, at: int) -> Location:
        """Read ``[a.b]`` or ``[[a.b]]``; the table that it begins."""
        self.headers.append(bisect.bisect_right(self._starts, at))
        several = self._tokens[self._next + 1][1] == "["
        self._next += 2 if several else 1
        *outer, last = self._key("]")
        path: Location = ()
        for part in outer:
            path = (*path, part)
            self._note(path, at)
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
        path = (*path, last)
        self._note(path, at)
        self._next += 2 if several else 1
        if several:
            number = self._counts.get(path, 0)
            self._counts[path] = number + 1
            path = (*path, number)
            self._note(path, at)
        return path

    def _entry(self, table: Location) -> None:
        at = self._tokens[self._next][2]
        path = table
        for part in self._key("="):
            path = (*path, part)
            self._note(path, at)
        self._next += 1
        self._value(path)

    def _key(self, end: str) -> list[str]:
        """Read a dotted key up to a mark that is not read."""
        parts: list[str] = []
        while self._tokens[self._next][1] != end:
            kind, text, _ = self._tokens[self._next]
            if kind == "text":
                parts.append(_unquoted(text))
            elif kind == "bare":
                parts.append(text)
            self._next += 1
        return parts

    def _value(self, path: Location) -> None:
        opening = self._tokens[self._next]
        if opening[0] == "mark" and opening[1] in "[{":
            self._next += 1
            self._inner(path, "]" if opening[1] == "[" else "}")
            return
        while self._next < len(self._tokens):  # a number or a time is several tokens
            kind, text, _ = self._tokens[self._next]
            if kind == "end" or (kind == "mark" and text in ",]}"):
                return
            self._next += 1

    def _inner(self, path: Location, closing: str) -> None:
        number = 0
        while (token := self._tokens[self._next])[1] != closing or token[0] != "mark":
            if token[0] == "end" or (token[0], token[1]) == ("mark", ","):
                self._next += 1
            elif closing == "}":
                self._entry(path)
            else:
                self._note((*path, number), token[2])
                self._value((*path, number))
                number += 1
        self._next += 1

    def _note(self, path: Location, at: int) -> None:
        if path not in self._found:
            line = bisect.bisect_right(self._starts, at)
            self._found[path] = (line, at - self._starts[line - 1] + 1)


def _unquoted(text: str) -> str:
    """The key that a quoted one stands for."""
    if text[0] == "'":
        return text[1:-1]

    def char(match: re.Match[str]) -> str:
        plain, short, long = match.groups()
        return str(plain or chr(int(short or long, 16)))

    return _ESCAPED.sub(char, text[1:-1])
