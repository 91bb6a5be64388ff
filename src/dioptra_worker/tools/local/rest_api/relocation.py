"""Environments that were moved: their programs name the interpreter by its old place.

Everything else in a virtual environment is found from where its interpreter lies. So
with its programs repaired one that was moved is whole again, without a package index.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD = re.compile(
    rb"""#!(?:/bin/sh\n'''exec' )?"?(/[^"\n]*?/python[^/"\s]*)[^\n]*\n(?:' '''\n)?"""
)
"""What pip lets programs begin with, and in it the interpreter: one line or, where that
would be too long for systems or has blanks in it, three for a shell."""
_MAX_HEAD_BYTES = 127


def was_moved(python: Path) -> bool:
    """Whether a program beside an interpreter names one that lies elsewhere."""
    return any(_programs_elsewhere(python))


def repair(python: Path) -> None:
    """Have the programs beside an interpreter be run by it."""
    head = _head(python.parent.resolve() / python.name)
    for program, rest in _programs_elsewhere(python):
        draft = program.with_name(f".{program.name}")
        draft.write_bytes(head + rest)
        draft.chmod(program.stat().st_mode)
        draft.replace(program)


def _programs_elsewhere(python: Path) -> Iterator[tuple[Path, bytes]]:
    """Programs that name another interpreter, and what they have behind that."""
    folder = python.parent.resolve()
    for program in list(python.parent.iterdir()):
        if program.is_symlink() or not program.is_file():
            continue
        text = program.read_bytes()
        found = _HEAD.match(text)
        if found and Path(os.fsdecode(found[1])).parent.resolve() != folder:
            yield program, text[found.end() :]


def _head(python: Path) -> bytes:
    line = b"#!%b\n" % os.fsencode(python)
    if b" " not in line and len(line) <= _MAX_HEAD_BYTES:
        return line
    return b"#!/bin/sh\n'''exec' \"%b\" \"$0\" \"$@\"\n' '''\n" % os.fsencode(python)
