"""Checks run side by side, each for its time, and what breaks in one stays in it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from dioptra_worker.tools.doctor.examination import LATE, Check, examine
from dioptra_worker.tools.doctor.finding import Finding, Result, fail, ok, warn

if TYPE_CHECKING:
    from collections.abc import Iterator


def _check(name: str, *findings: Finding) -> Check:
    return Check(name=name, run=lambda: findings)


def test_results_keep_the_order_of_the_checks() -> None:
    """Results come in the order of the chains, however long each takes."""

    def slowly() -> Iterator[Finding]:
        time.sleep(0.2)
        yield ok("slow", "")

    chains = [
        [Check(name="slow", run=slowly)],
        [_check("a", ok("a1", ""), warn("a2", "", "mend")), _check("b", ok("b", ""))],
    ]
    names = [result.name for result in examine(chains, timeout=5)]
    assert names == ["slow", "a1", "a2", "b"]


def test_chains_run_side_by_side() -> None:
    """Two chains that wait for each other both end."""
    meeting = threading.Barrier(2)

    def meet() -> Iterator[Finding]:
        meeting.wait(5)
        yield ok("met", "")

    check = Check(name="meet", run=meet)
    results = list(examine([[check], [check]], timeout=5))
    assert [result.status for result in results] == ["ok", "ok"]


def test_chain_is_in_order() -> None:
    """A check begins when the one before it in its chain has ended."""
    seen: list[str] = []

    def note(name: str) -> Iterator[Finding]:
        time.sleep(0.05)
        seen.append(name)
        yield ok(name, "")

    chain = [Check(name=n, run=lambda n=n: note(n)) for n in ("1", "2", "3")]  # type: ignore[misc]
    list(examine([chain], timeout=5))
    assert seen == ["1", "2", "3"]


def test_hanging_check_is_left_behind() -> None:
    """A check that hangs fails after its time; what it found before is kept."""
    forever = threading.Event()

    def hang() -> Iterator[Finding]:
        yield ok("before", "")
        forever.wait(30)
        yield ok("too late", "")

    chain = [Check(name="hung", run=hang, fix="hurry"), _check("next", ok("next", ""))]
    started = time.monotonic()
    results = list(examine([chain], timeout=0.2))
    forever.set()
    assert time.monotonic() - started < 5
    assert [result.name for result in results] == ["before", "hung", "next"]
    late = results[1]
    assert (late.status, late.fix) == ("fail", "hurry")
    assert late.detail == f"{LATE} 0.2 s"


def test_own_timeout_may_be_longer() -> None:
    """A check that says it needs longer gets it."""

    def slowly() -> Iterator[Finding]:
        time.sleep(0.3)
        yield ok("slow", "")

    [result] = examine([[Check(name="slow", run=slowly, timeout=5)]], timeout=0.05)
    assert result.status == "ok"


def test_broken_check_is_a_finding() -> None:
    """An exception in a check is told as its failure, and the others go on."""

    def broken() -> Iterator[Finding]:
        yield ok("half", "")
        raise ZeroDivisionError("by zero")

    chains = [[Check(name="broken", run=broken)], [_check("other", ok("other", ""))]]
    half, broke, other = examine(chains, timeout=5)
    assert (half.status, broke.status, other.status) == ("ok", "fail", "ok")
    assert broke.detail == "the check broke: ZeroDivisionError: by zero"


def test_missing_module_is_a_finding() -> None:
    """A module that cannot be imported fails its check by name."""
    check = Check(name="needs it", run=list, imports=("no_such_module_here",))
    [result] = examine([[check]], timeout=5)
    assert result.status == "fail"
    assert "no_such_module_here" in result.detail


def test_a_refusal_is_told_before_the_imports() -> None:
    """What refuses at once is told at once, and nothing more is tried."""
    check = Check(
        name="away",
        run=lambda: [ok("away", "")],
        imports=("no_such_module_here",),
        refusal=lambda: fail("away", "nobody is there", "start it"),
    )
    [result] = examine([[check]], timeout=5)
    assert (result.status, result.detail) == ("fail", "nobody is there")


def test_secrets_are_taken_out() -> None:
    """What is hidden is hidden in the detail and in the fix."""
    finding = fail("it", "saw hunter2-hunter2", "unset hunter2-hunter2")
    [result] = examine(
        [[_check("it", finding)]],
        timeout=5,
        mask=lambda text: text.replace("hunter2-hunter2", "***"),
    )
    assert (result.detail, result.fix) == ("saw ***", "unset ***")


def test_each_finding_has_its_own_seconds() -> None:
    """A finding's seconds count from the one before it."""

    def check() -> Iterator[Finding]:
        time.sleep(0.1)
        yield ok("slow", "")
        yield ok("fast", "")

    slow, fast = examine([[Check(name="look", run=check)]], timeout=5)
    assert slow.seconds >= 0.1
    assert fast.seconds < slow.seconds


def test_result_as_a_line() -> None:
    """A result is a line for a log: what was seen, then what to do."""
    result = Result(
        name="Redis", status="warn", detail="forgets", fix="tell it", seconds=0.1
    )
    assert str(result) == "Redis: forgets; tell it"
