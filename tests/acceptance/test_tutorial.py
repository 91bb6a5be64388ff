"""The first tutorial, executed: what a reader types works as it is written."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from tests.acceptance.tutorial_page import shell
from tests.plugins.stack import cache_folder

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/tutorials/first-job.md"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def _script() -> str:
    """What a reader types after the installation, as one shell script."""
    page = PAGE.read_text(encoding="utf-8").partition("## Bring up")[2]
    code = [text for language, text in FENCE.findall(page) if language == "sh"]
    script = "\n".join(code).replace("\\\n", " ")  # a command may be of two lines
    # The reader puts in the number that was printed.
    script = re.sub("(?m)^(.* jobs submit .*)$", r"\1 | tee submitted", script)
    return re.sub(r"(jobs \w+) \d+", r'\1 "$(tr -dc 0-9 < submitted)"', script)


@pytest.mark.timeout(300)
def test_first_job(tmp_path: Path) -> None:
    """From `local up` to `local down`, every command of the page succeeds."""
    shutil.copytree(ROOT / "entrypoints", tmp_path / "entrypoints")
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "DIOPTRA_WORKER_CACHE_DIR": str(cache_folder()),
    }
    told = shell(_script(), tmp_path, environment, timeout=250)
    for words in (
        "imported hello-world",
        "submitted job",
        "the queues are empty, ending",
        "no worker listens there",
        "finished",
        "1. Hello, Ada!",
        "2. Hello, Ada!",
        "letter.md",
        "is down",
    ):
        assert words in told, told
