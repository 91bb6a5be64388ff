"""The log of a job is whole, in order, live, and there when the status says it is."""

from __future__ import annotations

import datetime as dt
import html
import time
from typing import TYPE_CHECKING

import pytest
from tests.plugins.fault_proxy import FaultProxy, fault_proxy
from tests.plugins.outcomes import FINISHED
from tests.plugins.stepwise import StepwiseJob
from tests.plugins.worker_process import worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.plugins.fault_report import FaultReport
    from tests.plugins.outcomes import Witness
    from tests.plugins.testbed import Platform

    from dioptra_worker.tools.local import LocalStack

pytestmark = pytest.mark.timeout(300)

LINES = 5000
PAUSE = 3.0
SOURCE = """
import logging


@pyplugs.register
def talk(lines):
    began = time.monotonic()
    for number in range(lines):
        logging.getLogger("many").warning("line %d", number)
    print("took", time.monotonic() - began)


@pyplugs.register
def wait(seconds):
    print("first", time.time(), flush=True)
    time.sleep(seconds)
    logging.getLogger("late").warning("second %s", time.time())


@pyplugs.register
def speak():
    print("printed")
    print("an error", file=sys.stderr)
    subprocess.run(["echo", "from a child"], check=True)
"""


ODD = r"""
import logging


@pyplugs.register
def shout():
    logging.addLevelName(25, "NOTICE")
    logger = logging.getLogger("odd")
    logger.warning("x" * (1 << 20) + "|")
    logger.warning("y" * (16 << 20) + "|")
    logger.warning("emoji \U0001f600, Hebrew \u05d0\u05d1, \033[31mred\033[0m, tab \t|")
    logger.warning("a\0b")
    logger.warning("one\n\nthree")
    logger.warning("lone surrogate \udcff")
    logger.log(25, "a level of its own")
    logger.warning("in <module> and <b>bold</b> and a << b && c")
    logger.warning("the last one")
"""
"""Lines that a log may choke on."""


@pytest.fixture(scope="module", name="proxy", autouse=True)
def _proxy(
    stack: LocalStack, platform: Platform, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FaultProxy]:
    """Counts the calls of a worker of the module's queue."""
    environment = stack.environment()
    folder = tmp_path_factory.mktemp("worker")
    with (
        fault_proxy(environment["DIOPTRA_API"]) as proxy,
        worker({**environment, "DIOPTRA_API": proxy.url}, folder, platform.queue),
    ):
        yield proxy


def _submit(platform: Platform, task: str, *arguments: object) -> int:
    graph = {"one": {task: list(arguments)}}
    return platform.submit(platform.entrypoint(SOURCE, graph))


def test_many_lines(
    platform: Platform, proxy: FaultProxy, witness: Witness, fault_report: FaultReport
) -> None:
    """Five thousand lines all arrive, in order, once, in few requests."""
    proxy.clear()
    job = _submit(platform, "talk", LINES)
    outcome = witness.outcome(job, says="took ", seconds=200)
    assert outcome.statuses == FINISHED
    said = [line.text for line in platform.log(job) if line.logger == "many"]
    assert said == [f"line {number}" for number in range(LINES)]
    requests = proxy.count("POST", r"/log$")
    assert 1 <= requests <= LINES / 50
    fault_report.job("21", f"5,000 lines: {requests} requests", outcome)


def test_live(
    platform: Platform, witness: Witness, fault_report: FaultReport, tmp_path: Path
) -> None:
    """A single line can be read while its job still runs."""
    stepwise = StepwiseJob(platform, tmp_path / "marks")
    stepwise.wait_at(0)
    said = time.time()
    platform.wait_for_line(stepwise.job, "line 0")
    seen = time.time() - said
    assert platform.status(stepwise.job) == "started"
    stepwise.go_on()
    assert witness.outcome(stepwise.job, says="line 0").statuses == FINISHED
    fault_report.worker(
        "21b",
        "a job that says one line and goes on",
        "the line is there",
        says="line 0",
        seconds=seen,
        after="it was said",
    )


def test_log_before_status(platform: Platform, fault_report: FaultReport) -> None:
    """Whoever reads that a job has finished finds its whole log."""
    for _ in range(5):
        job = _submit(platform, "talk", 20)
        platform.wait(job, every=0.01)
        texts = [line.text for line in platform.log(job)]
        assert "line 19" in texts
        assert texts[-1] == "the job finished"
    fault_report.worker(
        "21c",
        "log against status, five jobs",
        "whole when the status is read",
        says="the job finished",
        seconds=0.0,
        after="the status",
    )


def test_times_of_lines(platform: Platform, fault_report: FaultReport) -> None:
    """A line has the time at which it was said, not that of its delivery."""
    job = _submit(platform, "wait", PAUSE)
    assert platform.wait(job) == "finished"
    entries = platform.api.get(f"/jobs/{job}/log", pageLength=100)["data"]
    worst = 0.0
    for entry in entries:
        stamp, _, text = html.unescape(entry["message"]).partition(" ")
        word, _, said = text.partition(" ")
        if word in {"first", "second"}:
            told = dt.datetime.fromisoformat(stamp).timestamp()
            worst = max(worst, abs(told - float(said)))
    assert 0.0 < worst < PAUSE
    fault_report.worker(
        "21d",
        f"a line, {PAUSE:.0f} s, another line",
        "the time of a line against the time it was said",
        says="first …, second …",
        seconds=worst,
        after="it was said",
    )


def test_every_kind_of_output(
    platform: Platform, witness: Witness, fault_report: FaultReport
) -> None:
    """What a job prints, its errors and its children's output are in its log."""
    job = _submit(platform, "speak")
    outcome = witness.outcome(job, says="from a child")
    assert outcome.statuses == FINISHED
    loggers = {line.text: line.logger for line in platform.log(job)}
    assert loggers["printed"] == loggers["from a child"] == "stdout"
    assert loggers["an error"] == "stderr"
    fault_report.job("21e", "`print`, standard error, a child's output", outcome)


def test_odd_lines(
    platform: Platform, witness: Witness, fault_report: FaultReport
) -> None:
    """Long lines and odd characters are in the log, and cost no other line."""
    job = platform.submit(platform.entrypoint(ODD, {"one": {"shout": []}}))
    outcome = witness.outcome(job, says="the last one", seconds=120)
    assert outcome.statuses == FINISHED
    lines = [line for line in platform.log(job) if line.logger == "odd"]
    whole = "\n".join(line.text for line in lines)
    joined = whole.replace("\n", "")  # a long line is kept in pieces
    assert "x" * (1 << 20) + "|" + "y" * (16 << 20) + "|" in joined
    assert "emoji \U0001f600, Hebrew \u05d0\u05d1, \033[31mred\033[0m, tab" in whole
    assert "a\\x00b" in whole
    assert "one\n\nthree" in whole
    fault_report.job("22a", "1 MB and 16 MB in a line, emoji, ANSI, NUL", outcome)
    assert "lone surrogate \\udcff" in whole
    assert "a level of its own" in whole
    outcome = witness.outcome(job, says="lone surrogate")
    fault_report.job("22b", "a lone surrogate, a level of its own", outcome)
    assert "in <module> and <b>bold</b> and a << b && c" in whole
    outcome = witness.outcome(job, says="<module>")
    fault_report.job("22c", "angle brackets and `&`", outcome)
