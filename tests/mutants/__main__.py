"""Break the worker on purpose, one promise at a time, and see whether a test notices.

Each mutant is tried in a copy of the source tree, with only the tests that have to
notice it; the same tests have to pass without it.
"""

from __future__ import annotations

import argparse
import contextlib
import queue
import re
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.mutants.copy_of_sources import CopyOfSources
from tests.mutants.mutant import NotFoundOnce
from tests.mutants.mutants import MUTANTS
from tests.plugins.stack import SHARED_STACKS, shared_stacks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.mutants.mutant import Mutant

CHECKOUT = Path(__file__).parents[2]
TEST_TIMEOUT = 60.0
"""Seconds that one test may take of a mutant which may never end."""
TIMEOUT = 180.0
"""Seconds that the tests of one mutant may take."""
ALL_TIMEOUT = 900.0
"""Seconds that all of them may take without one."""
PASSED, FAILED = 0, 1
"""Exit statuses of pytest; any other means that the tests did not run."""


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant.

    Attributes:
        mutant: The mutant.
        word: ``killed``, ``survived``, or what is wrong with its description.
        seconds: How long it took.
        said: What pytest said.
    """

    mutant: Mutant
    word: str
    seconds: float
    said: str = ""

    @property
    def is_good(self) -> bool:
        """Whether a test noticed it."""
        return self.word == "killed"

    @property
    def by(self) -> str:
        """The test that noticed it."""
        found = re.search(r"^(?:FAILED|ERROR) (?:\S*::)?(\w+)", self.said, re.MULTILINE)
        return f"by {found[1]}" if found else ""


class Trials:
    """Tries mutants, several at a time, each in a copy that nobody else uses."""

    def __init__(self, copies: Sequence[CopyOfSources], stacks: str | None) -> None:
        self._free: queue.SimpleQueue[CopyOfSources] = queue.SimpleQueue()
        for copy in copies:
            self._free.put(copy)
        self._variables = {} if stacks is None else {SHARED_STACKS: stacks}

    @contextlib.contextmanager
    def _copy(self) -> Iterator[CopyOfSources]:
        copy = self._free.get()
        try:
            yield copy
        finally:
            self._free.put(copy)

    def all_pass_unbroken(self, mutants: Sequence[Mutant], jobs: int) -> bool:
        """Whether the tests pass as long as nothing is broken; tells if they do not."""
        tests = sorted({test for mutant in mutants for test in mutant.killers})
        with self._copy() as copy:
            status, said = copy.test(
                tests,
                timeout=ALL_TIMEOUT,
                variables=self._variables,
                options=["-n", str(jobs), "--dist=loadfile"],
            )
        if status != PASSED:
            print(said[-8000:])
        return status == PASSED

    def verdict(self, mutant: Mutant) -> Verdict:
        """Try a mutant."""
        began = time.monotonic()
        with self._copy() as copy:
            try:
                with copy.broken_by(mutant):
                    status, said = copy.test(
                        mutant.killers,
                        timeout=TIMEOUT,
                        variables=self._variables,
                        options=["-x", f"--timeout={TEST_TIMEOUT:g}"],
                    )
            except NotFoundOnce as error:
                return Verdict(mutant, str(error), time.monotonic() - began)
        word = {PASSED: "survived", FAILED: "killed"}.get(
            -1 if status is None else status, f"its tests did not run ({status})"
        )
        return Verdict(mutant, word, time.monotonic() - began, said)


def main() -> int:
    """Try the mutants; 1 if one survives."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("-k", metavar="TEXT", default="", help="those named like this")
    parser.add_argument("-j", type=int, default=2, help="how many at a time")
    given = parser.parse_args()
    mutants = [mutant for mutant in MUTANTS if given.k in mutant.name]
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        made = tempfile.TemporaryDirectory(prefix="dioptra-mutants-")
        folder = Path(stack.enter_context(made))
        folder.chmod(0o755)  # users of jobs have to read what they run
        stacks = None
        if any(mutant.needs_services for mutant in mutants):
            print("Bringing up the services ...", flush=True)
            stacks = stack.enter_context(shared_stacks(folder / "stacks"))
        copies = [CopyOfSources(CHECKOUT, folder / str(n)) for n in range(given.j)]
        trials = Trials(copies, stacks)
        print("Their tests, with nothing broken ...", flush=True)
        if not trials.all_pass_unbroken(mutants, given.j):
            print("Tests fail although nothing is broken; no mutant was tried.")
            return 1
        verdicts = []
        with ThreadPoolExecutor(given.j) as pool:
            for verdict in pool.map(trials.verdict, mutants):
                name, seconds = verdict.mutant.name, verdict.seconds
                words = f"{verdict.word:9} {seconds:5.1f} s  {name}"
                print(words, verdict.by, flush=True)
                verdicts.append(verdict)
    bad = [verdict for verdict in verdicts if not verdict.is_good]
    for verdict in bad:
        print(f"\n{verdict.mutant.name}: {verdict.word}")
        print(f"  promise: {verdict.mutant.promise}")
        print("  tests:", *verdict.mutant.killers)
        print(verdict.said[-2000:])
    count, seconds = len(verdicts), time.monotonic() - began
    print(f"{count - len(bad)} of {count} mutants were killed in {seconds:.0f} s")
    return 1 if bad or not verdicts else 0


if __name__ == "__main__":
    sys.exit(main())
