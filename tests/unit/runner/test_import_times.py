"""What a job waited to have imported is told; else nothing of imports changes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.process

BEGIN = """
import importlib, json, sys, threading, traceback, warnings
from pathlib import Path
from dioptra_worker.runner.import_times import ImportTimes
sys.path[:0] = [r"{installed}", r"{own}"]
times = ImportTimes()
if {measured}:
    times.begin([Path(r"{own}")])
"""
TELL = "print(json.dumps([[each.module, each.seconds] for each in times.slowest()]))"


@pytest.fixture(name="folders")
def _folders(tmp_path: Path) -> tuple[Path, Path]:
    """Where an installed package lies, and where a job's code does."""
    installed, own = tmp_path / "installed", tmp_path / "own"
    (installed / "slow").mkdir(parents=True)
    own.mkdir()
    (installed / "slow/__init__.py").write_text("import time; time.sleep(0.05)\n")
    (installed / "slow/part.py").write_text("import slow.depth\n")
    (installed / "slow/depth.py").write_text("import time; time.sleep(0.05)\n")
    (installed / "broken.py").write_text("import slow\nraise ValueError('no')\n")
    (installed / "quick.py").write_text("")
    (own / "plugin.py").write_text("import time, slow.part, quick; time.sleep(0.1)\n")
    (own / "failing.py").write_text("import broken\n")
    (own / "asking.py").write_text("import not_there\n")
    return installed, own


def _run(folders: tuple[Path, Path], program: str, *, measured: bool = True) -> str:
    installed, own = folders
    begin = BEGIN.format(installed=installed, own=own, measured=measured)
    done = subprocess.run(
        [sys.executable, "-c", begin + program],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def _told(folders: tuple[Path, Path], program: str) -> dict[str, float]:
    return dict(json.loads(_run(folders, f"{program}\n{TELL}").splitlines()[-1]))


def test_of_a_plugin_what_it_imports_is_told(folders: tuple[Path, Path]) -> None:
    """The outermost import of a package counts, with all in it, and no plugin does."""
    told = _told(folders, "import plugin")
    assert told.keys() == {"slow.part"}
    assert 0.1 <= told["slow.part"] < 5


def test_what_a_task_imports_is_told(folders: tuple[Path, Path]) -> None:
    """An import inside a function counts, once, also one of another thread."""
    program = (
        "def act(): import slow\n"
        "thread = threading.Thread(target=act); thread.start(); thread.join()\n"
        "act(); import slow.part"
    )
    assert _told(folders, program).keys() == {"slow", "slow.part"}


def test_what_fails_is_not_told(folders: tuple[Path, Path]) -> None:
    """An import that fails is none, and what comes after it is told as ever."""
    program = "try: import failing\nexcept ValueError: pass\nimport slow.part"
    assert _told(folders, program).keys() == {"slow.part"}


OBSERVED = """
def look():
    try:
        import failing
    except ValueError:
        traceback.print_exc(file=sys.stdout)
    try:
        import asking
    except ImportError as error:
        traceback.print_exc(file=sys.stdout)
    print(sys.meta_path, __builtins__.__import__, sys.path_hooks[0])
    print(importlib.import_module("quick"), "plugin" in sys.modules)
look()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import warned
print([(each.filename, each.lineno) for each in caught])
"""


def test_nothing_that_a_plugin_observes_changes(folders: tuple[Path, Path]) -> None:
    """Tracebacks, warnings, finders and `__import__` are as in a cold process."""
    warned = "import warnings; warnings.warn('old', DeprecationWarning, stacklevel=2)\n"
    (folders[0] / "warned.py").write_text(warned)
    cold, warm = (
        re.sub("0x[0-9a-f]+", "0x", _run(folders, OBSERVED, measured=measured))
        for measured in (False, True)
    )
    assert "ValueError: no" in cold
    assert "importlib" not in cold.partition("[<")[0]
    assert warm == cold
