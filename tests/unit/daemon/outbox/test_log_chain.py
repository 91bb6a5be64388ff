"""The log's chain outlives a worker that is killed: the next one goes on with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

from tests.unit.daemon.outbox.simulated_api import SimulatedApi

from dioptra_worker.common.stop import JobStop
from dioptra_worker.common.text.masking import Mask
from dioptra_worker.daemon.outbox.job_log import JobLog
from dioptra_worker.daemon.outbox.journal import Journals
from dioptra_worker.provenance.chain import chained, log_record
from dioptra_worker.supervision.record.chains import LogChain, log_facts

if TYPE_CHECKING:
    from pathlib import Path

    from dioptra_worker.protocol.messages import Log

KILLED = textwrap.dedent("""
    import os, sys, pathlib, signal, time
    from dioptra_worker.daemon.outbox.journal import Journals
    from dioptra_worker.protocol.messages import Log
    from dioptra_worker.supervision.record.chains import LogChain

    journal = Journals(pathlib.Path(sys.argv[1]), api="http://a").open(
        job_id=7, experiment_id=3, attempt=1, worker="first"
    )
    journal.chain = LogChain(worker="first", attempt=1)
    journal.__enter__()
    for number in range(3):
        line = Log(severity="INFO", logger="stdout", message=f"2020-{number}Z said")
        journal.chain.add(line)
        journal.log.put(line)
    journal.flush()
    line = Log(severity="INFO", logger="stdout", message="2020-3Z on disk, not chained")
    journal.log.put(line)
    journal.log.flush()
    os.kill(os.getpid(), signal.SIGKILL)
""")


def _digest(lines: list[Log], start: str = "") -> str:
    records = (log_record(it.severity, it.logger, it.message) for it in lines)
    return chained(records, start)


def test_the_next_worker_goes_on_where_a_killed_one_stopped(tmp_path: Path) -> None:
    """All lines on disk are in the first one's segment, and the second begins there."""
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    killed = subprocess.run(command, env=os.environ, check=False)
    assert killed.returncode == -signal.SIGKILL
    api = SimulatedApi()
    journal = Journals(tmp_path, api="http://a").open(
        job_id=7, experiment_id=3, attempt=2, worker="second"
    )
    assert journal is not None
    chain = LogChain(worker="second", attempt=2, before=journal.left_segments())
    journal.chain = chain
    with (
        journal,
        JobLog(
            api, 7, mask=Mask([]), stop=JobStop(), journal=journal, chain=chain
        ) as job_log,
    ):
        job_log.say("INFO", "I go on")
        line = job_log.end_line("INFO", "the end")
        job_log.put_end("INFO", line, again=False)
        assert job_log.drain(30.0)
    *said, end = api.log
    assert end.message == line
    facts = log_facts(chain.segments())
    first, second = facts.segments
    assert (first.worker, first.lines, second.lines) == ("first", 4, 1)
    assert first.chain == second.previous == _digest(said[:4])
    assert facts.chain == _digest(said)
    assert facts.lines == len(said)


def test_a_worker_that_finds_nothing_says_so(tmp_path: Path) -> None:
    """On another machine the chain begins anew, and names nothing before it."""
    journal = Journals(tmp_path, api="http://a").open(
        job_id=7, experiment_id=3, attempt=2, worker="second"
    )
    assert journal is not None
    with journal:
        assert journal.left_segments() == ()
