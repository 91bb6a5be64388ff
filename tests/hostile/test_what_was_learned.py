"""A job that gets what was imported beforehand sees what any other job sees.

Each kind of job runs twice from one worker: in a runner that imports by itself, and in
one of the fork server that has learned. The packages do at their import what packages
do: they set variables, change how Python warns, log, print, seed generators, leave
something for the end.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from tests.acceptance.both_ways import assert_same, both_ways, record, said
from tests.acceptance.observed import CASES, VALUES, observed

from dioptra_worker.tools.workbench.planning.run_request import RunRequest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.acceptance.both_ways import BothWays

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="runners are forked on Linux"),
]

REMARKABLE = """
import atexit, logging, os, random, sys, tempfile, warnings, weakref
import remarkable_part
from concurrent.futures import ThreadPoolExecutor

os.environ["REMARKABLE"] = "yes"
os.environ.setdefault("TZ_OF_REMARKABLE", "UTC")
sys.path.append("/remarkable")
warnings.filterwarnings("ignore", message="remarkable")
warnings.warn("remarkable is noticed")
warnings.warn("this is old", DeprecationWarning)
logging.getLogger("remarkable").warning("remarkable logs")
logging.getLogger("remarkable").setLevel(logging.DEBUG)
print("remarkable prints")
print("remarkable complains", file=sys.stderr)
os.write(2, b"remarkable writes\\n")
atexit.register(print, "remarkable says good-bye")

class Thing: pass
thing = Thing()
finalizer = weakref.finalize(thing, print, "the thing is gone")
generator = random.Random()
drawn_at_import = [random.random(), generator.random()]

def draw():
    import numpy
    return [random.random(), generator.random(), float(numpy.random.rand())]

def late():
    import remarkable_late
    return remarkable_late.value
"""
PART = "import decimal, xml.etree.ElementTree\nvalue = 'part'\n"
LATE = "value = 'late'\n"
QUIET = "import warnings\nfor _ in 'ab': warnings.warn('not to be heard')\n"
SPEAKING = "import warnings\nprint('heard')\nfor _ in 'ab': warnings.warn('once')\n"
USES = """
import warnings
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import quiet
import needy
import remarkable, remarkable_part
from remarkable import late as _late
_DRAWN = remarkable.draw()
assert _late() == "late" and remarkable_part.value == "part"
"""


@pytest.fixture(name="folder", scope="module")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The entrypoint that tells what it observes, which uses the packages."""
    folder = observed(tmp_path_factory.mktemp("observed"))
    tasks = folder / "plugins/observed/tasks.py"
    tasks.write_text(USES + tasks.read_text())
    site = folder.parent / "site-packages"
    site.mkdir(exist_ok=True)
    for name, source in (
        ("remarkable", REMARKABLE),
        ("remarkable_part", PART),
        ("remarkable_late", LATE),
        ("quiet", QUIET),
        ("speaking", SPEAKING),
        ("needy", "import speaking"),
    ):
        (site / f"{name}.py").write_text(source)
    return folder


@pytest.fixture(name="both", scope="module")
def _both(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BothWays]:
    home = tmp_path_factory.mktemp("home")
    with both_ways(home, folder.parent / "site-packages", preload="numpy") as both:
        both.learn(["remarkable", "quiet", "speaking", "needy", "sklearn.ensemble"])
        assert not both.refused
        yield both


def _request(folder: Path, case: str) -> RunRequest:
    values = {"case": case, **VALUES.get(case, {})}
    return RunRequest(path=folder / "observed.yml", parameters=values)


def test_what_can_be_observed(folder: Path, both: BothWays) -> None:
    """Environment, path, modules, signals, hooks, log and all else agree."""
    cold, learned = both.run(_request(folder, ""))
    assert learned.status == cold.status == "finished", cold.log + learned.log
    seen, as_learned = record(cold), record(learned)
    assert "remarkable_late" in seen["modules"]
    assert "sklearn" not in as_learned["modules"]
    assert "REMARKABLE" in as_learned["environment"]
    more = set(as_learned.pop("modules")) ^ set(seen.pop("modules"))
    # What of Python's library came with one of its modules comes with it as a whole.
    known = {*sys.stdlib_module_names, "dioptra_worker"}
    assert {name.partition(".")[0] for name in more} <= known
    assert as_learned == seen
    # What an import prints and what it logs are kept apart.
    assert sorted(said(learned)) == sorted(said(cold))


@pytest.mark.parametrize("case", [case for case in CASES if case != "metrics"])
def test_what_comes_of_a_task(case: str, folder: Path, both: BothWays) -> None:
    """Status, reason, log, metrics and artifact are the same, whatever a task does."""
    assert_same(*both.run(_request(folder, case)))
