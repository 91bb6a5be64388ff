"""A tutorial's page as what a reader does: commands, files to save, lines to change."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

FENCE = re.compile(r"^```([\w-]+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_NAME = re.compile(r"(?:Save\s+this\s+as|In|in)\s+`([\w/.-]+\.\w+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        language: What is written behind the fence.
        text: What is in it.
        file: The file that was named last before it, for blocks that belong to one.
    """

    language: str
    text: str
    file: str

    def save(self, folder: Path) -> None:
        """Save it as the file that the page names."""
        path = folder / self.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.text, encoding="utf-8")

    def change(self, folder: Path) -> None:
        """Make the change that it shows; the old line must be there."""
        old, new = (
            next(line[1:] for line in self.text.splitlines() if line.startswith(sign))
            for sign in "-+"
        )
        path = folder / self.file
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{self.file} has no line {old!r}"
        path.write_text(text.replace(old, new), encoding="utf-8")


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        names = _NAME.findall(text[: found.start()])
        yield Block(found[1], found[2], names[-1] if names else "")


def shell(
    script: str,
    folder: Path,
    environment: Mapping[str, str],
    *,
    timeout: float,
    prefix: tuple[str, ...] = (),
) -> str:
    """What a shell says that does what a reader types; all of it must succeed.

    Args:
        script: What is typed.
        folder: Where.
        environment: The reader's whole environment.
        timeout: Seconds that it may take.
        prefix: A program to run the shell in, with its arguments.
    """
    answer = subprocess.run(
        [*prefix, "sh", "-euc", script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    said = answer.stdout + answer.stderr
    assert answer.returncode == 0, f"{script}\n{said}"
    return said
