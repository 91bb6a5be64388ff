"""What the worker asks of Redis, asked of the oldest that it serves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.plugins import stack

ROOT = Path(__file__).parents[2]
FILES = ["leases", "queue", "redis_servers"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def test_the_oldest_redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases, parking, queues, rights and a failover are as with the newest."""
    monkeypatch.delenv(stack.SHARED_STACKS, raising=False)
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    files = [f"tests/integration/test_{name}.py" for name in FILES]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["-p", "tests.plugins.oldest_redis", f"--basetemp={tmp_path / 'inner'}"]
    run = subprocess.run(
        [*command, *files], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
