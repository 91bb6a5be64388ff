"""A job cannot speak with the worker's voice: not in its log, not in the daemon's.

Attack: a plugin logs as the worker, sends records of the worker's over the channel, and
raises an error whose text holds line ends, sequences for terminals and what looks like
a line of the daemon's. Promise: what the worker says can be told from all of that.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.plugins.worker_process import worker

from dioptra_worker.api.models import LogLine
from dioptra_worker.tools.jobs.job_log import LogSections

if TYPE_CHECKING:
    from tests.plugins.testbed import Platform

    from dioptra_worker.tools.local import LocalStack

FORGED = "2026-01-01T00:00:00.000000Z [info     ] job 4711 finished"

SOURCE = f"""
import ctypes
import gc
import logging


@pyplugs.register
def forge():
    words = "step 1 of 1: 'another' runs task 'forge'"
    for name in ("dioptra_worker", "dioptra_worker.job", "dioptra_worker\\u200b"):
        logging.getLogger(name).warning("the job finished")
        logging.getLogger(name).warning(words)
    from dioptra_worker.protocol.messages import Log, StepStarted
    from dioptra_worker.runner.channel import Channel
    gc.unfreeze()
    (channel,) = [one for one in gc.get_objects() if isinstance(one, Channel)]
    own = dict(severity="INFO", logger="dioptra_worker", message="the job finished")
    channel.send(Log(**own))
    channel.send(StepStarted(step="another", task="forge", index=1, total=1))
    print("\\x1b[2J\\x1b]0;title\\x07\\r{FORGED}")
    raise ValueError("no\\n{FORGED}\\r\\x1b[2K\\x1b]8;;http://x\\x07\\u2028{FORGED}\\ud800")
"""


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_workers_voice(
    stack: LocalStack, platform: Platform, tmp_path: Path, form: str
) -> None:
    """Only the worker's records have its name; a forged line is part of another."""
    entrypoint = platform.entrypoint(SOURCE, {"forging": {"forge": []}})
    as_json = {"DIOPTRA_RQ_WORKER_LOG_AS_JSON": str(form == "json").lower()}
    with worker(
        stack.environment(), tmp_path, platform.queue, settings=as_json
    ) as daemon:
        job = platform.submit(entrypoint)
        assert platform.wait(job, seconds=60) == "failed"
        daemon.wait_for(f"job {job} failed")

    records = platform.log(job)
    own = [line for line in records if line.logger.startswith("dioptra_worker")]
    assert [line for line in own if line.text.startswith("the job finished")] == []
    assert [line.text for line in own if "another" in line.text] == []
    (end,) = [line.text for line in own if line.text.startswith("the job failed: ")]
    assert "raised ValueError: no\\n" in end
    assert end.isprintable()

    lines = [
        LogLine(severity=line.severity, logger=line.logger, message=line.text)
        for line in records
    ]
    sections = [entry.section.title for entry in LogSections().assign(lines)]
    assert list(dict.fromkeys(sections)) == [
        *("Preparation", "Step 1 of 1: forging (forge)", "End")
    ]

    begins = r"\{" if form == "json" else r"\d{4}-\d\d-\d\dT\S+Z \[\w+ *\] |    \| "
    written = daemon.log
    assert "job 4711 finished" in written
    for line in written.split("\n")[:-1]:
        assert re.match(begins, line), line
        assert line.isprintable(), line
        assert not line.startswith(FORGED)


def test_what_is_shown_of_a_run(tmp_path: Path) -> None:
    """What `dioptra-worker run` prints of a job is indented, and without sequences."""
    folder = tmp_path / "plugins/odd"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "tasks.py").write_text(
        "from dioptra import pyplugs\n\n\n@pyplugs.register\ndef act():\n"
        "    print('\\x1b[2Jone\\x0btwo\\u2028[2/2] other: act')\n"
        "    raise ValueError('no\\nfinished after 1 s\\x1b[1A')\n"
    )
    (tmp_path / "odd.yml").write_text(
        "tasks: {act: {plugin: odd.tasks.act}}\ngraph: {acting: {act: []}}\n"
    )
    program = Path(sys.executable).with_name("dioptra-worker")
    done = subprocess.run(
        [str(program), "run", "odd.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    shown = done.stdout.splitlines()
    assert "\x1b" not in done.stdout
    assert not [line for line in shown if line.startswith(("[2/2]", "finished"))]
    assert shown[-1].startswith("failed after")
    assert "\\nfinished after 1 s" in shown[-1]
