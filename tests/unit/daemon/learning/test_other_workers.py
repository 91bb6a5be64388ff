"""Whether other workers of the same folder have jobs."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.daemon.learning.other_workers import FILE, OtherWorkers

if TYPE_CHECKING:
    from pathlib import Path

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="who learns is there")
_OTHER = """
import sys
from pathlib import Path
from dioptra_worker.daemon.learning.other_workers import OtherWorkers

others = OtherWorkers(Path(sys.argv[1]))
for line in sys.stdin:
    others.have_job() if line == "job\\n" else others.have_no_job()
    print(others.are_idle(), flush=True)
"""


@linux_only
def test_another_has_a_job(tmp_path: Path) -> None:
    """It is seen as long as it has one, and lives; a job of our own is none of it."""
    others = OtherWorkers(tmp_path)
    others.have_job()
    assert others.are_idle()
    with subprocess.Popen(
        [sys.executable, "-c", _OTHER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None

        def has(word: str) -> str:
            print(word, file=other.stdin, flush=True)
            return str(other.stdout.readline().strip())  # type: ignore[union-attr]

        assert has("job") == "False"  # it sees ours
        assert not others.are_idle()
        others.have_no_job()
        assert has("none") == "True"
        assert others.are_idle()
        has("job")
        assert not others.are_idle()
        other.kill()
    assert others.are_idle()


def test_a_file_that_cannot_be_had(tmp_path: Path) -> None:
    """Then nobody is known to have a job, and no job of ours fails for it."""
    (tmp_path / FILE).mkdir()
    others = OtherWorkers(tmp_path)
    others.have_job()
    others.have_no_job()
    assert others.are_idle()
