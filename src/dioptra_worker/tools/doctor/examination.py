"""Runs checks side by side, each in a thread of its own and for a limited time.

A thread that is stuck in a call cannot be ended. It is left behind as a daemon thread,
which ends with the process, and what it would have found does not count.
"""

from __future__ import annotations

import importlib
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dioptra_worker.engine.wording import format_exception
from dioptra_worker.tools.doctor.finding import Finding, Result, fail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

LATE = "no answer within"
"""How the detail of a check that took too long begins."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """Something to try out.

    Attributes:
        name: What it is called when it gives no answer.
        run: Makes the findings; each is timed from the one before.
        fix: What to do when it gives no answer.
        imports: Modules to import first; that takes its time, and does not count.
        timeout: Seconds that it may take if the usual ones are too few.
        refusal: Sees, before the imports, whether there is anything to try out: what
            it finds is all that is found then.
    """

    name: str
    run: Callable[[], Iterable[Finding]]
    fix: str = ""
    imports: tuple[str, ...] = ()
    timeout: float = 0.0
    refusal: Callable[[], Finding | None] = lambda: None


def examine(
    chains: Sequence[Sequence[Check]],
    *,
    timeout: float,
    mask: Callable[[str], str] = str,
) -> Iterator[Result]:
    """Run checks.

    Args:
        chains: Checks that build on each other, one after the other; chains run side by
            side. One that fails does not keep the next from being tried.
        timeout: Seconds that each check may take.
        mask: Takes secrets out of what is shown.

    Yields:
        The results in the order of the checks, each as soon as it is there.
    """
    running = [_Chain(chain, timeout) for chain in chains]
    for chain in running:
        for result in chain.results():
            yield Result(
                name=result.name,
                status=result.status,
                detail=mask(result.detail),
                fix=mask(result.fix),
                seconds=round(result.seconds, 3),
            )


class _Chain:
    def __init__(self, checks: Sequence[Check], timeout: float) -> None:
        self._results: list[Result] = []
        self._thread = threading.Thread(
            target=self._work, args=[checks, timeout], daemon=True
        )
        self._thread.start()

    def results(self) -> list[Result]:
        self._thread.join()
        return self._results

    def _work(self, checks: Sequence[Check], timeout: float) -> None:
        for check in checks:
            self._results += _Run(check).results(max(timeout, check.timeout))


@dataclass
class _Run:
    """One check under way."""

    check: Check
    _results: list[Result] = field(default_factory=list)
    _ready: threading.Event = field(default_factory=threading.Event)
    _done: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def results(self, timeout: float) -> list[Result]:
        threading.Thread(target=self._work, daemon=True).start()
        self._ready.wait()
        if self._done.wait(timeout):
            return self._results
        with self._lock:  # what comes later comes too late
            results = list(self._results)
        late = fail(self.check.name, f"{LATE} {timeout:g} s", self.check.fix)
        return [*results, _timed(late, timeout)]

    def _work(self) -> None:
        try:
            since = time.monotonic()
            refusal = self.check.refusal()
            if refusal is not None:
                self._results.append(_timed(refusal, time.monotonic() - since))
                return
            for module in self.check.imports:
                importlib.import_module(module)
            since = time.monotonic()
            self._ready.set()
            for finding in self.check.run():
                with self._lock:
                    self._results.append(_timed(finding, time.monotonic() - since))
                since = time.monotonic()
        except Exception as error:  # noqa: BLE001 - a check that breaks is a finding
            words = f"the check broke: {format_exception(error)}"
            finding = fail(self.check.name, words, self.check.fix)
            with self._lock:
                self._results.append(_timed(finding, 0.0))
        finally:
            self._ready.set()
            self._done.set()


def _timed(finding: Finding, seconds: float) -> Result:
    return Result(
        name=finding.name,
        status=finding.status,
        detail=finding.detail,
        fix=finding.fix,
        seconds=seconds,
    )
