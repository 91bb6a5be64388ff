"""The first tutorial, executed: what a reader types works as it is written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.plugins.stack import cache_folder

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/tutorials/first-job.md"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NAME = re.compile(r"Save this\s+as `(\w+\.py)`")


def _script() -> str:
    """What a reader types after the installation, as one shell script."""
    page = PAGE.read_text(encoding="utf-8").partition("## Bring up")[2]
    commands = ["set -eu"]
    before = 0
    for block in FENCE.finditer(page):
        language, code = block.groups()
        if language == "sh":
            commands.append(code)
        if language == "python":
            name = NAME.findall(page[before : block.start()])[-1]
            commands.append(f"cat > {name} <<'END'\n{code}END\n")
        before = block.end()
    script = "\n".join(commands)
    # The reader puts in the number that was printed.
    script = script.replace("python submit.py", "python submit.py | tee submitted")
    return re.sub(r"read\.py \d+", 'read.py "$(tr -dc 0-9 < submitted)"', script)


@pytest.mark.timeout(300)
def test_first_job(tmp_path: Path) -> None:
    """From `local up` to `local down`, every command of the page succeeds."""
    shutil.copytree(ROOT / "entrypoints", tmp_path / "entrypoints")
    answer = subprocess.run(
        ["sh", "-c", _script()],
        cwd=tmp_path,
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "DIOPTRA_WORKER_CACHE_DIR": str(cache_folder()),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    told = answer.stdout + answer.stderr
    assert answer.returncode == 0, told
    for words in (
        "imported hello-world",
        "submitted job",
        "the queues are empty, ending",
        "finished after",
        "1. Hello, Ada!",
        "2. Hello, Ada!",
        "letter.md s3://",
        "is down",
    ):
        assert words in told, told
