"""A copy of the source tree in which mutants are tried, never the checkout itself.

It has an environment of its own, which finds the copy's package first and all else
where this interpreter has it: also processes that tests start run what is broken.
"""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import time
import venv
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.mutants.mutant import Mutant

LEFT_OUT = shutil.ignore_patterns(
    *(".git", ".venv*", ".cache", ".*_cache", ".hypothesis", "__pycache__"),
    *("_build", "build", "dist", "shared"),
)
PROGRAMS = ("dioptra-worker", "dioptra-worker-v1")


class CopyOfSources:
    """A copy of a source tree; one mutant at a time."""

    def __init__(self, checkout: Path, folder: Path) -> None:
        """Make it.

        Args:
            checkout: What to copy.
            folder: Where to; not there yet.
        """
        self._root = folder / "tree"
        shutil.copytree(checkout, self._root, ignore=LEFT_OUT, symlinks=True)
        environment = folder / "venv"
        venv.create(environment, symlinks=True, with_pip=False)
        self._bin = environment / "bin"
        self._python = self._bin / "python"
        (packages,) = environment.glob("lib/python*/site-packages")
        behind = "".join(
            f"import site; site.addsitedir({found!r})\n"
            for found in site.getsitepackages()
        )
        (packages / "copy.pth").write_text(f"{self._root / 'src'}\n{behind}")
        for name in PROGRAMS:
            self._add_program(name)
        self._changes = 0

    def _add_program(self, name: str) -> None:
        _, _, code = Path(sys.executable).with_name(name).read_text().partition("\n")
        program = self._bin / name
        program.write_text(f"#!{self._python}\n{code}")
        program.chmod(0o755)

    @contextmanager
    def broken_by(self, mutant: Mutant) -> Iterator[None]:
        """Have a mutant in it until the end of the block.

        Raises:
            NotFoundOnce: What it breaks is not where it says.
        """
        path = mutant.path_in(self._root)
        source = path.read_text(encoding="utf-8")
        self._write(path, mutant.applied_to(source))
        try:
            yield
        finally:
            self._write(path, source)

    def _write(self, path: Path, source: str) -> None:
        """Write a module with a time that none of its earlier texts had.

        Python takes compiled code for that of a module with the same size and second.
        """
        path.write_text(source, encoding="utf-8")
        self._changes += 1
        at = time.time() + 10 * self._changes
        os.utime(path, (at, at))

    def test(
        self,
        tests: Sequence[str],
        *,
        timeout: float,
        variables: Mapping[str, str],
        options: Sequence[str] = (),
    ) -> tuple[int | None, str]:
        """Run tests; pytest's exit status, or None after the time-out, and its words.

        Args:
            tests: As pytest names them.
            timeout: Seconds that they may take.
            variables: What their environment has beside ours.
            options: For pytest.
        """
        quiet = ["-q", "--no-header", "--tb=line", "-p", "no:cacheprovider"]
        command = [str(self._python), "-m", "pytest", *quiet, *options, *tests]
        environment = {
            name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"
        }
        try:
            done = subprocess.run(
                command,
                cwd=self._root,
                env={**environment, **variables},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            said = error.stdout or b""
            text = said.decode(errors="replace") if isinstance(said, bytes) else said
            return None, text
        return done.returncode, done.stdout
