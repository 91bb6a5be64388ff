"""Each line in the documentation that calls our commands is one that they take."""

from __future__ import annotations

import itertools
import re
import shlex
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NamedTuple

import click
import pytest

from dioptra_worker.cli.main import main
from dioptra_worker.cli.start import start

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *(path for path in ROOT.glob("*.md") if path.name != "CHANGELOG.md"),
    *(path for path in ROOT.glob("docs/**/*.md") if "_build" not in path.parts),
    *ROOT.glob("entrypoints/**/*.md"),
    *ROOT.glob("containers/*.md"),
    *ROOT.glob("deploy/**/*.md"),
]
COMMANDS: dict[str, click.Command] = {
    "dioptra-worker": main,
    "dioptra-worker-v1": start,
}
BLOCK = re.compile(r"^```(?:sh|bash|console|dockerfile|ini)\n(.*?)^```", re.M | re.S)
CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
ENDS = {"|", "||", "&&", ";", "&", ">", ">>", "<", "2>", ")", "…", "...", "then", "do"}
"""What ends a command in a line of a shell, or stands for more of it."""


class Call(NamedTuple):
    """A call of one of our commands, as a page writes it."""

    page: str
    words: tuple[str, ...]


def _calls(page: Path) -> Iterator[Call]:
    text = page.read_text(encoding="utf-8")
    blocks = BLOCK.findall(text)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    lines = [
        line for block in blocks for line in block.replace("\\\n", " ").splitlines()
    ]
    for line in [*lines, *CODE.findall(prose)]:
        for words in _commands(line):
            yield Call(page.name, words)


def _commands(line: str) -> Iterator[tuple[str, ...]]:
    """The calls of our commands that a line of a shell has."""
    lexer = shlex.shlex(line.replace("$(", " ; "), posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, "#"
    try:
        words = list(lexer)
    except ValueError:  # a quote that ends in another line
        return
    for place, word in enumerate(words):
        before = words[place - 1] if place else ";"
        if PurePath(word).name in COMMANDS and _begins(before):
            rest = itertools.takewhile(
                lambda each: each not in ENDS, words[place + 1 :]
            )
            yield PurePath(word).name, *rest


def _begins(before: str) -> bool:
    """Whether a command can follow on a word."""
    return before in ENDS | {"$", "exec", "sudo", "nohup", "("} or "=" in before


CALLS = sorted({call for page in PAGES for call in _calls(page)})


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.page}: {call.words}")
def test_documented_calls_are_understood(call: Call) -> None:
    """The command that a page calls exists, and has the options that it is given."""
    name, *rest = call.words
    command, context = COMMANDS[name], click.Context(COMMANDS[name], info_name=name)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        word = rest.pop(0)
        if word.isupper():  # stands for any of them
            return
        found = command.get_command(context, word)
        assert found is not None, f"{context.command_path} has no command {word!r}"
        command, context = found, click.Context(found, context, info_name=word)
    command.make_parser(context).parse_args(rest)


def test_calls_are_found() -> None:
    """The pages have many, in blocks and in sentences; a mistake in one is noticed."""
    assert len(CALLS) > 150
    assert list(_commands("A=1 bin/dioptra-worker run x | tee log")) == [
        ("dioptra-worker", "run", "x")
    ]
    with pytest.raises(click.NoSuchOption):
        test_documented_calls_are_understood(
            Call("x", ("dioptra-worker", "jobs", "list", "--quue", "a"))
        )
    with pytest.raises(AssertionError):
        test_documented_calls_are_understood(Call("x", ("dioptra-worker", "jbos")))
