"""Runs a task as a job, without a server, in a runner under the daemon's supervisor."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

GRAPH = """
tasks:
  act:
    plugin: odd.tasks.act
    outputs: {value: any}
graph:
  acting: {act: []}
"""

_PR_CAPBSET_DROP = 24

HEADER = """
import logging, logging.config, multiprocessing, os, signal, subprocess, sys, time
from dioptra import pyplugs
"""


@dataclass(frozen=True)
class Ran:
    """What came of a job.

    Attributes:
        status: ``finished`` or ``failed``.
        text: All that its log says.
        code: The exit code of the command.
        metrics: Its metrics' last values, by name.
    """

    status: str
    text: str
    code: int
    metrics: dict[str, Any]


def _drop_capabilities() -> None:
    """Let a program that root starts have the rights of any user of the machine."""
    if sys.platform == "linux":
        for capability in range(64):
            ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


@pytest.fixture(name="run_task")
def _run_task(tmp_path: Path) -> Callable[..., Ran]:
    """Run the source of a plugin that has a task `act`, with options of the command."""

    def run(source: str, *options: str) -> Ran:
        folder = tmp_path / "entrypoint"
        (folder / "plugins/odd").mkdir(parents=True)
        (folder / "odd.yml").write_text(GRAPH)
        (folder / "plugins/odd/__init__.py").write_text("")
        (folder / "plugins/odd/tasks.py").write_text(HEADER + dedent(source))
        program = Path(sys.executable).with_name("dioptra-worker")
        done = subprocess.run(
            [str(program), "run", str(folder / "odd.yml"), "--json", *options],
            cwd=tmp_path,
            preexec_fn=_drop_capabilities,
            capture_output=True,
            text=True,
            check=False,
            timeout=110,
        )
        found = json.loads(done.stdout)
        return Ran(
            status=found["status"],
            text=done.stderr + json.dumps(found),
            code=done.returncode,
            metrics=found.get("metrics", {}),
        )

    return run
