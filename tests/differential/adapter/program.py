"""Runs tests of the platform with our engine and client in place of its own.

A program for the interpreter of the peer's environment, where nothing of ours is
installed, in the folder of the peer's source distribution::

    python -I program.py CHECKOUT PYTEST REPORT engine|client TEST ...

CHECKOUT is that of this project, PYTEST the folder from which pytest is imported when
the environment has none, REPORT a file that gets the verdict on each test as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest


class Recorder:
    """A pytest plugin that notes how each test ended, and if it has met ours."""

    def __init__(self) -> None:
        self.verdicts: dict[str, dict[str, Any]] = {}

    def pytest_runtest_setup(self) -> None:
        """Begin a test."""
        from tests.differential.adapter import meeting  # noqa: PLC0415 - see `main`

        meeting.forget()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note one phase of a test; what fails first counts."""
        from tests.differential.adapter import meeting  # noqa: PLC0415 - see `main`

        verdict = self.verdicts.setdefault(
            report.nodeid, {"outcome": "passed", "met": False, "why": ""}
        )
        verdict["met"] = meeting.happened()
        if report.outcome != "passed" and verdict["outcome"] == "passed":
            verdict["outcome"] = report.outcome
            verdict["why"] = _last_line(report.longreprtext)


def _last_line(text: str) -> str:
    marked = [line for line in text.splitlines() if line.startswith("E  ")]
    return (marked or text.splitlines() or [""])[0][:300]


def main() -> int:
    """Run the tests; the exit status is pytest's."""
    checkout, others, report, part, *tests = sys.argv[1:]
    compat = Path(checkout, "src/dioptra_worker/sdk/compat")
    # The platform's tests before ours, which have the same name; our names for plugins
    # before the platform's, as in a job; and what is in both environments from here.
    sys.path[:0] = [str(Path.cwd()), str(compat)]
    sys.path += [str(Path(checkout, "src")), checkout, others]
    os.environ.update(
        AWS_ACCESS_KEY_ID="unused",
        AWS_SECRET_ACCESS_KEY="unused",
        AWS_DEFAULT_REGION="us-east-1",
    )
    # Only now is what these import where it can be found.
    import pytest  # noqa: PLC0415
    from tests.differential.adapter import client, engine, stand_ins  # noqa: PLC0415

    stand_ins.install()
    {"engine": engine, "client": client}[part].install()
    recorder = Recorder()
    status = pytest.main(
        [
            *("-q", "-p", "no:cacheprovider", "-p", "no:dioptra_worker"),
            *("-p", "no:xdist", "--rootdir", "."),
            # Modules have the names by which documents in them call their functions.
            *("-o", "consider_namespace_packages=true", *tests),
        ],
        plugins=[recorder],
    )
    Path(report).write_text(json.dumps(recorder.verdicts))
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
