"""Recorded packages are installed once, into an environment of their own."""

from __future__ import annotations

import dataclasses
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from tests.plugins.example_job import ExampleJob

import dioptra_worker
from dioptra_worker.tools.capsule.errors import CapsuleError
from dioptra_worker.tools.capsule.replay.environments import ensure

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.process

UV = f"""#!{sys.executable}
import pathlib, sys, venv
log = pathlib.Path(__file__).with_name("calls")
log.write_text(log.read_text() + " ".join(sys.argv[1:]) + "\\n")
if sys.argv[1] == "venv":
    venv.create(sys.argv[-1], symlinks=True)
if "--fail" in log.read_text():
    sys.exit("no such version")
"""
"""Stands for uv: makes an environment, installs nothing, and keeps what it was told."""


@pytest.fixture(name="calls")
def _calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "uv").write_text(UV)
    (folder / "uv").chmod(0o755)
    (folder / "calls").write_text("")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setitem(sys.modules, "uv", None)  # that of the tests' own environment
    return folder / "calls"


def test_it_is_made_once(calls: Path, tmp_path: Path) -> None:
    """Python's version and the recorded packages are asked for; then it is there."""
    facts = ExampleJob().facts.environment
    lock = f"{facts.lock}dioptra-worker==0.1.0\n"
    facts = dataclasses.replace(facts, lock=lock)
    python = ensure(facts, tmp_path / "cache")
    assert ensure(facts, tmp_path / "cache") == python
    made, installed = calls.read_text().splitlines()
    version = ".".join(platform.python_version_tuple()[:2])
    assert made.startswith(f"venv --quiet --python {version} ")
    assert installed.startswith(f"pip install --quiet --python {python} --no-deps")
    asked = (python.parents[1] / "requirements.txt").read_text()
    assert asked == ExampleJob().facts.environment.lock  # ours is the one that runs
    said = subprocess.run(
        [python, "-P", "-c", "import dioptra_worker as it; print(it.__version__)"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert said.strip() == dioptra_worker.__version__


def test_two_at_once_make_one(calls: Path, tmp_path: Path) -> None:
    """A replay that comes meanwhile waits, and takes what the first has made."""
    facts = ExampleJob().facts.environment
    cache = tmp_path / "cache"
    with ThreadPoolExecutor(2) as both:
        first, second = both.map(ensure, [facts, facts], [cache, cache])
    assert first == second
    assert calls.read_text().count("venv ") == 1


def test_what_cannot_be_made_is_said(calls: Path, tmp_path: Path) -> None:
    """What uv says is told, with the way out; what is half made is not taken."""
    calls.write_text("--fail\n")
    facts = ExampleJob().facts.environment
    for _ in range(2):
        with pytest.raises(CapsuleError, match=r"(?s)--here.*no such version"):
            ensure(facts, tmp_path / "cache")
    assert calls.read_text().count("venv ") == 2


def test_without_uv_the_way_out_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no uv, its extra and --here are."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "uv", None)
    with pytest.raises(CapsuleError, match=r"dioptra-worker\[capsule\].*--here"):
        ensure(ExampleJob().facts.environment, tmp_path / "cache")
