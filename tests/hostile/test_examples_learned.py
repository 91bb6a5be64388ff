"""Each ready-made entrypoint sees the same in a job that has what was learned.

Each runs twice from one worker: in a runner that imports by itself, and in one that has
all that the worker can learn of the examples. At the beginning and at the end of each
module of its plugins, and around each of its functions, what a plugin can see of its
process is noted.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.acceptance.both_ways import assert_same, both_ways, elsewhere

from dioptra_worker.tools.workbench.planning.run_request import RunRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.both_ways import BothWays

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="runners are forked on Linux"),
]

EXAMPLES = Path(__file__).resolve().parents[2] / "entrypoints"
WAITED_FOR = (
    "art.attacks.evasion",
    "sklearn.linear_model",
    "sklearn.neighbors",
    "sklearn.datasets",
    "pandas",
    "joblib",
    "matplotlib.figure",
)
"""What jobs of the examples wait for, in the order in which a worker learns it."""
FRAMEWORKS = {"pytorch-attack": "torch", "tensorflow-attack": "tensorflow"}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "hello-world": ("hello-world", {"name": "Ada"}),
    "chain-produce": ("artifact-chain/produce.yml", {"days": 2}),
    "chain-consume": ("artifact-chain/consume.yml", {}),
    "sklearn-evaluation": ("sklearn-evaluation", {"attack": "projected-gradient"}),
    "batch-evaluation": ("batch-evaluation", {"first": 20}),
    "pytorch-attack": ("pytorch-attack", {"epochs": 1}),
    "tensorflow-attack": ("tensorflow-attack", {"epochs": 1}),
    "failing-job": ("failing-job", {"how": "exception"}),
    "exiting-job": ("failing-job", {"how": "exit"}),
    "killed-job": ("failing-job", {"how": "killed"}),
}
NOTING = """
import atexit, decimal, gc, json, locale, logging, multiprocessing, os, pathlib
import signal, sys, threading, warnings

_FILE = pathlib.Path(__file__).with_name("noted")

def note(place):
    root = logging.getLogger()
    mask = os.umask(0o22)
    os.umask(mask)
    seen = {
        "place": place,
        "modules": sorted(sys.modules),
        "environment": dict(os.environ),
        "sys.path": sys.path,
        "finders": [str(type(each)) for each in sys.meta_path + sys.path_hooks],
        "filters": [str(each) for each in warnings.filters],
        "at the end": atexit._ncallbacks(),
        "signals": [str(signal.getsignal(one)) for one in signal.valid_signals()],
        "threads": sorted(
            one.name
            for one in threading.enumerate()
            if not one.name.startswith("dioptra-")  # as much as there is to do
        ),
        "levels": {
            name: one.level
            for name, one in logging.root.manager.loggerDict.items()
            if isinstance(one, logging.Logger)
        },
        "log": [root.level, [str(type(one)) for one in root.handlers]],
        "folder": os.getcwd(),
        "files": sorted(os.listdir(".")),
        "home": sorted(os.listdir(os.environ["HOME"])),
        "umask": mask,
        "arithmetic": str(decimal.getcontext()),
        "locale": locale.setlocale(locale.LC_ALL),
        "start": multiprocessing.get_start_method(allow_none=True),
        "gc": [gc.isenabled(), gc.get_threshold(), len(gc.callbacks)],
        "recursion": sys.getrecursionlimit(),
        "descriptors": sorted({_target(one) for one in os.listdir("/proc/self/fd")}),
    }
    with _FILE.open("a") as file:
        print(json.dumps(seen), file=file)

def _target(descriptor):
    try:
        found = os.readlink("/proc/self/fd/" + descriptor).partition(":[")[0]
    except OSError:
        return ""
    # The run is described meanwhile.
    return "" if "/runs-" in found or "/job-" in found else found
"""


def _noting(source: str, name: str) -> str:
    """A module's source that notes what it sees, at its ends and its functions'."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.body[:0] = _call(f"before {name}:{node.name}")
    tree.body[:0] = [*ast.parse("import noting").body, *_call(f"before {name}")]
    tree.body += _call(f"after {name}")
    return ast.unparse(ast.fix_missing_locations(tree))


def _elsewhere(text: str) -> str:
    text = re.sub(r"\b0x[0-9a-f]+\b|\b\d+:\d{2,}\b", "PLACE", text)
    return elsewhere(re.sub(r"/dioptra-\w{8}\b", "/TMP", text))


def _call(place: str) -> list[ast.stmt]:
    return ast.parse(f"noting.note({place!r})").body


class Examples:
    """The examples, noted, and both ways to run them."""

    def __init__(self, folder: Path, both: BothWays, notes: Path) -> None:
        self._folder = folder
        self._both = both
        self._notes = notes

    def run(self, kind: str, **artifacts: Path) -> list[list[dict[str, Any]]]:
        """What a cold job notes, and what a learned one does, if all else agrees."""
        path, values = KINDS[kind]
        noted = []
        request = RunRequest(
            path=self._folder / path, parameters=values, artifacts=artifacts
        )
        results = []
        for way in (0, 1):
            self._notes.unlink(missing_ok=True)
            results.append(self._both.run_in(way, request))
            lines = self._notes.read_text().splitlines()
            noted.append([json.loads(_elsewhere(line)) for line in lines])
        assert_same(*results)
        self.last = results[1]
        return noted


@pytest.fixture(name="examples", scope="module")
def _examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examples]:
    folder = tmp_path_factory.mktemp("examples")
    site = folder / "site-packages"
    site.mkdir()
    (site / "noting.py").write_text(NOTING)
    shutil.copytree(EXAMPLES, folder / "entrypoints")
    for file in folder.glob("entrypoints/*/plugins/*/*.py"):
        name = f"{file.parent.name}.{file.stem}"
        file.write_text(_noting(file.read_text(), name))
    home = folder / "home"
    home.mkdir()
    with both_ways(home, site, preload="noting") as both:
        modules = [*WAITED_FOR, *filter(importlib.util.find_spec, FRAMEWORKS.values())]
        both.learn(modules)
        assert both.refused.keys() <= {"matplotlib.figure"}, both.refused
        yield Examples(folder / "entrypoints", both, site / "noted")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "chain-consume"])
def test_an_example(kind: str, examples: Examples) -> None:
    """Wherever its plugins look, a learned job looks like a cold one."""
    framework = FRAMEWORKS.get(kind)
    if framework is not None and importlib.util.find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed")
    _agree(*examples.run(kind))


def test_an_example_with_artifacts(examples: Examples) -> None:
    """So it is for one that reads what another one has made."""
    examples.run("chain-produce")
    made = {"readings": "readings", "by_day": "by-day"}
    given = {name: examples.last.artifact(of) for name, of in made.items()}
    _agree(*examples.run("chain-consume", **given))


def _agree(cold: list[dict[str, Any]], learned: list[dict[str, Any]]) -> None:
    """All that was seen at each place is the same, but for the one known difference.

    A package of Python's own library, and of an installed one of which the job has
    imported something, may have more of its modules loaded.
    """
    assert [seen["place"] for seen in learned] == [seen["place"] for seen in cold]
    for seen, as_learned in zip(cold, learned, strict=True):
        names, more = seen.pop("modules"), as_learned.pop("modules")
        known = {*sys.stdlib_module_names, *(name.partition(".")[0] for name in names)}
        assert set(names) <= set(more), seen["place"]
        assert {name.partition(".")[0] for name in more} <= known, seen["place"]
        assert _unlike(seen, as_learned) == {}, seen["place"]


def _unlike(one: Any, other: Any) -> Any:
    """What is not the same, and only that."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return {} if one == other else (one, other)
    found = {name: _unlike(one.get(name), other.get(name)) for name in {**one, **other}}
    return {name: each for name, each in found.items() if each != {}}
