"""The tutorial about plugins, executed as a new user would, on an empty machine."""

from __future__ import annotations

import os
import re
import socket
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.acceptance.live import Live
from tests.acceptance.tutorial_page import blocks, shell
from tests.plugins.stack import cache_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.acceptance.tutorial_page import Block

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/tutorials/write-a-plugin.md"
HASH = "[0-9a-f]{32}"
LOCAL = "pip install '.[local]'"
LOOK = """
import re, sys, time, urllib.request
from pathlib import Path
job = sys.argv[1]
browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
for _ in range(300):
    try:
        told = re.search(r"(http\\S+/)([?]\\S+)", Path("page").read_text())
        address, query = told.groups()
        answer = browser.open(f"{address}jobs/{job}{query}")
        text = answer.read().decode()
        break
    except (OSError, AttributeError):
        time.sleep(0.2)
print("the page has it" if "the top is the and" in text else text)
"""
"""What a browser is for: looks at a job's page as soon as it is served."""


def _environment(folder: Path, programs: Path) -> dict[str, str]:
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        "DIOPTRA_WORKER_CACHE_DIR": str(cache_folder()),
        **{
            name: value for name, value in os.environ.items() if name.startswith("PIP_")
        },
    }


def _shell(script: str, folder: Path, environment: Mapping[str, str]) -> str:
    return shell(script, folder, environment, timeout=300)


def _expect(shown: Block, said: str) -> None:
    """Each line that the page shows is said, whatever numbers are in it."""
    for line in shown.text.splitlines():
        words = re.escape(line.strip())
        words = re.sub(HASH, HASH, words)
        words = re.sub(r"\d+\\\.\d+", r"\\d+[.]?\\d*", words)
        assert re.search(words, said), f"no {line!r} in:\n{said}"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_write_a_plugin(tmp_path: Path) -> None:
    """From an empty machine to a job on a Dioptra, everything on the page works."""
    here = list(blocks(PAGE))
    watch = next(i for i, one in enumerate(here) if "--watch" in one.text)
    local = next(i for i, one in enumerate(here) if LOCAL in one.text)
    tests = next(i for i, one in enumerate(here) if one.file == "test_words.py")
    assert here[0].text.splitlines()[-1] == "pip install ."

    fresh = tmp_path / ".venv"
    venv.create(fresh, with_pip=True)
    bare = _environment(tmp_path, fresh / "bin")
    constraint = ROOT / "constraints.txt"
    _shell(f"pip install -q -c '{constraint}' '{ROOT}'", tmp_path, bare)

    _write_and_run(here[1:watch], tmp_path, bare)
    _break_and_mend(here[watch:tests], tmp_path, bare)
    for block in here[tests:local]:
        if block.language == "sh":
            said = _shell(block.text, tmp_path, bare)
            assert "1 passed" in said or "the top is the and bird" in said
        else:
            block.save(tmp_path)

    # The whole of the local stack is in the environment of the tests already.
    full = _environment(tmp_path, Path(sys.executable).parent)
    _run_on_a_dioptra(here[local + 1 :], tmp_path, full)


def _write_and_run(
    written: list[Block], folder: Path, environment: Mapping[str, str]
) -> None:
    said = ""
    for block in written:
        if block.language == "sh":
            said = _shell(block.text, folder, environment)
        elif block.language == "text":
            _expect(block, said)
        else:
            block.save(folder)
    (kept,) = re.findall(r"top  (mlruns\S+)", said)
    assert (folder / kept).read_text() == "the\nand\n"


def _break_and_mend(
    steps: list[Block], folder: Path, environment: Mapping[str, str]
) -> None:
    command = steps[0].text.split()
    program = str(folder / ".venv/bin" / command[0])
    watching = Live([program, *command[1:]], folder, environment)
    try:
        watching.wait_for("waiting for a change")
        for block in steps[1:]:
            if block.language == "diff":
                heard = len(watching.said)
                block.change(folder)
                watching.wait_for("waiting for a change", after=heard)
            elif block.language == "text":
                _expect(block, watching.said[heard:])
        assert "finished after" in watching.said[heard:]
        watching.interrupt()
        assert watching.end() == 130
    finally:
        watching.close()


def _run_on_a_dioptra(
    steps: list[Block], folder: Path, environment: Mapping[str, str]
) -> None:
    script = "\n".join(block.text for block in steps if block.language == "sh")
    # The reader puts in the number that the list shows.
    script = script.replace(
        "dioptra-worker jobs list",
        "dioptra-worker jobs list\n"
        "job=$(dioptra-worker jobs list --json | tr -dc '0-9,' | cut -d, -f1)",
    )
    script, changed = re.subn(r"(jobs \w+) 24", r'\1 "$job"', script)
    assert changed == 3
    # The reader opens the page in a browser, and ends it.
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    script, changed = re.subn(
        "dioptra-worker jobs serve",
        lambda found: (
            f"{found[0]} --port {port} >page & page=$!\n"
            f"python -c '{LOOK}' \"$job\"\n"
            "kill $page; wait $page"
        ),
        script,
    )
    assert changed == 1
    said = _shell(script, folder, environment)
    saved = "top.txt  8 B\nthe\nand\n"
    for words in ("imported words", "the page has it", saved, "is down"):
        assert words in said, said
