"""A second fork server that imports what jobs wait for, and shows that it is fit.

As in `test_launcher`, a preloaded module stands in for the job: each runner runs the
code that its test sends. What is learned lies in a folder of packages of the test's.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest
from tests.integration.test_launcher import PUPPET, Puppet, sharing
from tests.plugins.until import until
from tests.plugins.worker_process import wait_until_gone

from dioptra_worker.common.background import in_background
from dioptra_worker.supervision.launcher import Launcher

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dioptra_worker.supervision.forkserver.learning import Refusal
    from dioptra_worker.supervision.forkserver.runner_process import (
        ProcessHandle,
        RunnerPipes,
    )

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="runners are forked on Linux"),
]
GRACE = 0.5
MEMORY = 64 << 20
IMPORT = """
learned = __import__("dioptra_worker.runner.learned.modules", fromlist=["x"]).kept()
late = []
if learned is not None:
    learned.begin(seed=1, too_late=lambda *words: late.append(words))
"""


class Packages:
    """A folder of packages, and an environment that has it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "site-packages"
        self.folder.mkdir()
        (self.folder / "puppet.py").write_text(PUPPET)
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(self.folder),
            "TMPDIR": str(folder),
        }

    def add(self, name: str, source: str) -> Path:
        """Install a module."""
        file = self.folder / f"{name}.py"
        file.write_text(dedent(source))
        return file


@pytest.fixture(name="packages")
def _packages(tmp_path: Path) -> Packages:
    return Packages(tmp_path)


@pytest.fixture(name="odd", scope="module")
def _odd(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    folder = tmp_path_factory.mktemp("odd")
    (folder / "stray.py").write_text("")
    return Packages(folder)


@pytest.fixture(name="unharmed", scope="module")
def _unharmed(odd: Packages) -> Iterator[Launcher]:
    """A launcher whose first fork server all that is refused leaves as it was."""
    with _launcher(odd) as launcher:
        assert launcher.wait_until_ready(60)
        yield launcher


@contextmanager
def _launcher(packages: Packages) -> Iterator[Launcher]:
    with Launcher(
        mode="fork",
        preload=("puppet",),
        grace=GRACE,
        environment=packages.environment,
        tracking=(),
    ) as launcher:
        yield launcher


def _learn(launcher: Launcher, *modules: str, timeout: float = 30.0) -> Refusal | None:
    return launcher.learn(modules, memory=MEMORY, timeout=timeout)


class LearnedPuppet(Puppet):
    """One of the second fork server's."""

    def __init__(self, launcher: Launcher, code: str) -> None:
        class Second:
            def start_runner(self, *, seed: None) -> tuple[ProcessHandle, RunnerPipes]:
                assert seed is None
                return launcher.start_learned_runner(timeout=30)

        super().__init__(Second(), IMPORT + dedent(code))  # type: ignore[arg-type]


def test_a_job_that_asks_has_it_at_once(packages: Packages) -> None:
    """It is not there until it is asked for, and then as if it had been imported."""
    packages.add(
        "heavy",
        """
        import os, warnings, atexit
        made_in = os.getpid()
        print("heavy speaks")
        os.environ["HEAVY"] = "1"
        warnings.filterwarnings("ignore", message="heavy")
        atexit.register(len, "")
        import light
        """,
    )
    packages.add("light", "value = 3\n")
    with _launcher(packages) as launcher:
        assert _learn(launcher, "heavy") is None
        puppet = LearnedPuppet(
            launcher,
            """
            import io, warnings
            sys.stdout = io.StringIO()
            filters = warnings.filters
            before = "heavy" in sys.modules, "HEAVY" in os.environ, len(filters)
            import heavy
            is_fast = heavy.made_in == os.getppid()
            after = "light" in sys.modules, os.environ["HEAVY"], len(filters)
            say(before, after, is_fast, sys.stdout.getvalue(), heavy.light.value)
            """,
        )
        before, after, is_fast, said, value = puppet.hear()
        puppet.end()
        assert before[:2] == [False, False]
        assert after == [True, "1", before[2] + 1]
        assert is_fast
        assert said == "heavy speaks\n"
        assert value == 3
        first = Puppet(launcher, "say('heavy' in sys.modules, os.getppid())")
        assert first.hear()[0] is False
        first.end()


def test_a_package_comes_without_what_imports_it(packages: Packages) -> None:
    """A job that asks for a part of what one import brought gets no more than that."""
    packages.add(
        "outer",
        """
        import logging, os, warnings
        import first, second
        os.environ["OUTER"] = "1"
        print("outer speaks")
        logging.getLogger("outer").warning("outer logs")
        warnings.filterwarnings("ignore", message="outer")
        """,
    )
    packages.add("first", "import base\nimport os\nos.environ['FIRST'] = '1'\n")
    packages.add("second", "print('second speaks')\nfrom base import value\n")
    packages.add("base", "value = 1\n")
    with _launcher(packages) as launcher:
        assert _learn(launcher, "outer") is None
        puppet = LearnedPuppet(
            launcher,
            """
            import io, logging.config, warnings
            sys.stdout = io.StringIO()
            def seen():
                names = ("base", "first", "outer", "second")
                return (
                    [name for name in names if name in sys.modules],
                    [name for name in ("FIRST", "OUTER") if name in os.environ],
                    sys.stdout.getvalue(),
                    "outer" in logging.root.manager.loggerDict,
                    any("outer" in str(each) for each in warnings.filters),
                )
            import second
            alone = seen()
            logging.config.dictConfig({"version": 1})  # disables what there is
            del os.environ["PATH"]
            os.environ["FIRST"] = "mine"
            import base, first
            of_first = os.environ["FIRST"]
            os.environ["FIRST"] = "mine"
            import outer
            say(
                alone, seen(), of_first, os.environ["FIRST"], outer.second is second,
                logging.getLogger("outer").disabled,
            )
            """,
        )
        alone, whole, of_first, kept, is_same, disabled = puppet.hear()
        puppet.end()
    assert alone == [["base", "second"], [], "second speaks\n", False, False]
    assert whole[0] == ["base", "first", "outer", "second"]
    assert whole[2].splitlines() == ["second speaks", "outer speaks"]
    assert whole[3:] == [True, True]
    assert (of_first, kept) == ("1", "mine")
    assert is_same
    assert not disabled


def test_an_import_that_removes_a_finder(packages: Packages) -> None:
    """A job that asks for it has one less from then on, as after setuptools' import."""
    packages.add("finds", "import sys\nclass Finder: find_spec = None\n")
    packages.add(
        "removes",
        "import sys\nsys.meta_path.remove(sys.meta_path[0])\nsys.meta_path += [1]\n",
    )
    with _launcher(packages) as launcher:
        assert _learn(launcher, "removes") is None
        puppet = LearnedPuppet(
            launcher,
            """
            before = [*sys.meta_path]
            import removes
            say(sys.meta_path == [*before[1:], 1], len(before))
            """,
        )
        is_right, count = puppet.hear()
        puppet.end()
    assert is_right
    assert count >= 3


THREAD = """
import threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
"""
DAEMON = """
import os, time
if not os.fork():
    os.setsid()
    if os.fork(): os._exit(0)
    time.sleep(99)
os.wait()
"""
HOSTILE = {
    "a thread": (
        THREAD,
        "started the thread",
    ),
    "an error": ("raise ValueError('no')", "failed: ValueError('no')"),
    "an exit": ("import sys; sys.exit(3)", "failed: SystemExit(3)"),
    "a hard exit": ("import os; os._exit(9)", "ended the process (exit code 9)"),
    "a crash": ("import os; os.kill(os.getpid(), 11)", "(SIGSEGV)"),
    "a hang": ("import time; time.sleep(999)", "took longer than"),
    "a busy loop": ("while True: pass", "took longer than"),
    "memory": ("block = b'x' * (200 << 20)", "memory"),
    "much memory": ("block = bytearray(1 << 42)", "failed: MemoryError"),
    "memory bit by bit": (
        "blocks = []\nwhile True: blocks.append(b'x' * (1 << 20))",
        "memor",
    ),
    "a fork": ("import os, time\nif not os.fork(): time.sleep(99)", "left a process"),
    "a fork that goes on": ("import os\nos.fork()", "left a process behind"),
    "a program": (
        "import subprocess; p = subprocess.Popen(['sleep', '99'])",
        "left a process behind",
    ),
    "a daemon": (
        DAEMON,
        "left a process behind",
    ),
    "the folder": ("import os; os.chdir('/')", "changed the current folder"),
    "the umask": ("import os; os.umask(0o077)", "changed the umask"),
    "a signal": (
        "import signal; signal.signal(signal.SIGUSR1, signal.SIG_IGN)",
        "changed handlers of signals",
    ),
    "a timer": ("import signal; signal.alarm(99)", "changed timers"),
    "the log": (
        "import logging; logging.basicConfig(force=True)",
        "the log's handlers",
    ),
    "the log's level": (
        "import logging; logging.getLogger().setLevel(50)",
        "changed the log's level",
    ),
    "all logs": ("import logging; logging.disable(50)", "changed the log's level"),
    "the locale": (
        "import locale; locale.setlocale(locale.LC_ALL, 'C.UTF-8')",
        "changed the locale",
    ),
    "a path taken away": ("import sys; sys.path.pop()", "changed sys.path"),
    "a filter taken away": (
        "import warnings; warnings.resetwarnings()",
        "changed warnings.filters",
    ),
    "a limit": (
        "import resource as r; r.setrlimit(r.RLIMIT_CORE, (0, 0))",
        "changed limits of the process",
    ),
    "recursion": ("import sys; sys.setrecursionlimit(5000)", "changed limits of the"),
    "a hook": ("import sys; sys.excepthook = print", "changed hooks of"),
    "a builtin": ("import builtins; builtins.open = print", "Python's own functions"),
    "a stream": ("import sys, io; sys.stdout = io.StringIO()", "the standard streams"),
    "a module replaced": (
        "import sys, types; sys.modules['json'] = types.ModuleType('json')",
        "put another module in the place of json",
    ),
    "a file": ("file = open(__file__)", "open"),
    "a socket": ("import socket; s = socket.socket()", "opened what forks would share"),
    "shared memory": (
        "import mmap; m = mmap.mmap(-1, 4096)",
        "made memory that all forks would share",
    ),
    "its home": (
        "import os\ndef home(path=os.path.expanduser('~/x')): return path",
        "remembers the home",
    ),
    "its folder": ("import os; here = {'a': (os.getcwd(), 1)}", "remembers the home"),
    "temporary files": (
        "import tempfile; folder = tempfile.gettempdir()",
        "remembers the home that it was made in (as one for temporary files)",
    ),
    "a file there": (
        "import os; open(os.path.expanduser('~/x'), 'wb').write(b'x' * 100_000)",
        "remembers the home that it was made in (in files that it wrote)",
    ),
    "much to say": ("print('x' * 100_000)", "printed more than"),
    "no package": (
        "import sys, os\nsys.path += [os.environ['TMPDIR'] + '/../..']\nimport stray",
        "which is no installed package's",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_an_import_that_does_harm(kind: str, odd: Packages, unharmed: Launcher) -> None:
    """It is named with its reason, nothing of it stays, and jobs run as before."""
    source, words = HOSTILE[kind]
    name = f"odd_{list(HOSTILE).index(kind)}"
    odd.add(name, source)
    seconds = 0.6 if "longer" in words else 30.0
    refusal = _learn(unharmed, name, timeout=seconds)
    assert refusal is not None
    assert words in refusal.reason
    assert refusal.module == name
    assert unharmed.learned is None
    assert unharmed._forkserver is not None
    forkserver = unharmed._forkserver.pid
    assert forkserver is not None
    until(lambda: not _children(forkserver), seconds=5)
    puppet = Puppet(unharmed, f"say({name!r} in sys.modules, os.getppid())")
    assert puppet.hear() == [False, forkserver]
    puppet.end()
    folder = odd.folder.parent
    until(lambda: len(list(folder.glob("dioptra-forkserver*"))) == 1, seconds=5)


def test_what_a_job_sets_too_late_is_told(packages: Packages) -> None:
    """A variable that the import has read, or may have, is compared."""
    packages.add("reader", "import os\nvalue = os.environ.get('READER_MODE')\n")
    with _launcher(packages) as launcher:
        assert _learn(launcher, "reader") is None
        puppet = LearnedPuppet(
            launcher,
            """
            os.putenv("OMP_NUM_THREADS", "1")
            os.environ["READER_MODE"] = "fast"
            os.environ["OTHER"] = "1"
            import reader
            say(late)
            """,
        )
        (late,) = puppet.hear()
        puppet.end()
    assert late == [["OMP_NUM_THREADS", ["reader"]], ["READER_MODE", ["reader"]]]


def test_a_job_has_its_own_module_of_that_name(packages: Packages) -> None:
    """What Python would find first for the job is what the job gets."""
    packages.add("heavy", "whose = 'the package'\n")
    own = packages.folder.parent / "own"
    own.mkdir()
    (own / "heavy.py").write_text("whose = 'the job'\n")
    with _launcher(packages) as launcher:
        assert _learn(launcher, "heavy") is None
        puppet = LearnedPuppet(
            launcher,
            f"sys.path.insert(0, {str(own)!r}); import heavy; say(heavy.whose)",
        )
        assert puppet.hear() == ["the job"]
        puppet.end()


def test_what_names_a_home_names_the_jobs(packages: Packages) -> None:
    """Texts of a module, and files that it wrote, are as of the job's own import."""
    packages.add(
        "homely",
        """
        import os
        home = os.path.expanduser("~/.homely")
        known = {"data": [home + "/data"], "folder": {"here": os.getcwd()}}
        os.makedirs(home + "/empty", exist_ok=True)
        with open(home + "/config", "w") as file:
            file.write(home)
        """,
    )
    job = packages.folder.parent / "job"
    job.mkdir()
    with _launcher(packages) as launcher:
        assert _learn(launcher, "homely") is None
        puppet = LearnedPuppet(
            launcher,
            f"""
            os.environ["HOME"] = {str(job)!r}
            os.chdir({str(job)!r})
            import homely
            say(homely.home, homely.known)
            """,
        )
        assert puppet.hear() == [
            f"{job}/.homely",
            {"data": [f"{job}/.homely/data"], "folder": {"here": str(job)}},
        ]
        puppet.end()
    assert (job / ".homely/config").read_text() == f"{job}/.homely"
    assert (job / ".homely/empty").is_dir()


def test_random_numbers_are_a_jobs_own(packages: Packages) -> None:
    """What was seeded at an import that was made beforehand is drawn anew by each."""
    packages.add(
        "drawing",
        """
        import random
        own = random.Random()
        def draw(): return [own.random(), random.random()]
        """,
    )
    drawn = []
    with _launcher(packages) as launcher:
        assert _learn(launcher, "drawing") is None
        for _ in range(2):
            puppet = LearnedPuppet(launcher, "import drawing; say(*drawing.draw())")
            drawn += puppet.hear()
            puppet.end()
    assert len(set(drawn)) == 4


FRAMEWORK = """
import atexit, os, random, sys, threading, types
from multiprocessing.reduction import ForkingPickler

class Tensor: pass
class Generator:
    def __init__(self):
        self._random = random.Random()
        self.first = self._random.getrandbits(64)
    def manual_seed(self, seed):
        self._random.seed(seed)
        self.first = seed

default_generator = Generator()
threads = int(os.environ.get("OMP_NUM_THREADS", "2"))
started = in_bad_fork = False
pool = None

def manual_seed(seed): default_generator.manual_seed(seed)
def rand(): return default_generator._random.random()
def compute():
    global pool
    if pool is None:  # as of OpenMP: at the first use
        pool = [threading.Thread(target=lambda: None) for _ in range(threads)]
        for thread in pool: thread.start()
    for thread in pool: thread.join()
    return len(pool)
def use_gpu():
    global started
    if in_bad_fork: raise RuntimeError("cannot be begun again in a fork")
    started = True
def _forked():
    global in_bad_fork
    in_bad_fork = started

os.register_at_fork(after_in_child=_forked)
atexit.register(lambda: None)
ForkingPickler.register(Tensor, lambda tensor: (Tensor, ()))
ops = sys.modules["torch.ops"] = types.ModuleType("torch.ops")
from torch import nn
"""
"""What frameworks such as PyTorch are like: generators of their own, threads and a GPU
from their first use on, modules without a file."""


def test_a_framework(packages: Packages) -> None:
    """In a fork it is as after an import: its threads, its GPU, its generators."""
    (packages.folder / "torch").mkdir()
    packages.add("torch/__init__", "").write_text(FRAMEWORK)
    packages.add("torch/nn", "from torch import ops\n")
    drawn: list[float] = []
    with _launcher(packages) as launcher:
        assert _learn(launcher, "torch.nn") is None
        for _ in range(2):
            puppet = LearnedPuppet(
                launcher,
                f"""
                learned.begin(seed={len(drawn)}, too_late=print)
                before = "torch.ops" in sys.modules
                import torch.nn, torch.ops
                torch.use_gpu()
                same = torch.ops is torch.nn.ops is sys.modules["torch.ops"]
                number = torch.rand()
                torch.manual_seed(3)
                seeded = torch.rand()
                say(before, same, torch.compute(), number, seeded)
                """,
            )
            before, same, threads, number, seeded = puppet.hear()
            puppet.end()
            assert (before, same, threads) == (False, True, 2)
            assert seeded == random.Random(3).random()  # noqa: S311 - as it does
            drawn.append(number)
    assert drawn[0] != drawn[1]


def test_a_package_that_changes(packages: Packages) -> None:
    """What was imported from files that are others now is no job's any more."""
    file = packages.add("heavy", "value = 1\n")
    with _launcher(packages) as launcher:
        assert _learn(launcher, "heavy") is None
        LearnedPuppet(launcher, "pass").end()
        file.write_text("value = 22\n")
        with pytest.raises(Exception, match="fork server"):
            launcher.start_learned_runner(timeout=30)
        assert launcher.learned is None
        puppet = Puppet(launcher, "import heavy; say(heavy.value)")
        assert puppet.hear() == [22]
        puppet.end()


def test_packages_that_are_installed_meanwhile(packages: Packages) -> None:
    """After that nothing is learned until the worker begins anew."""
    packages.add("heavy", "")
    with _launcher(packages) as launcher:
        assert launcher.wait_until_ready(60)
        info = packages.folder / "late-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Name: late\nVersion: 1\n")
        refusal = _learn(launcher, "heavy")
    assert refusal is not None
    assert refusal.module == ""
    assert "packages were installed" in refusal.reason


def test_it_rests_while_jobs_run(packages: Packages) -> None:
    """It is stopped, and its time does not pass, until there is no job any more."""
    packages.add("heavy", "import time\nfor _ in range(50): time.sleep(0.02)\n")
    with _launcher(packages) as launcher:
        assert launcher.wait_until_ready(60)
        launcher.pause_learning()
        learning = in_background(lambda: _learn(launcher, "heavy", timeout=10), "learn")
        until(lambda: launcher._second._trial)
        trial = launcher._second._trial
        assert trial is not None
        assert trial._id is not None
        until(trial._id.is_stopped)
        puppet = Puppet(launcher, "say(1)")
        assert puppet.hear() == [1]
        puppet.end()
        assert not learning.done()
        launcher.resume_learning()
        assert learning.result(60) is None


def test_it_rests_while_others_have_jobs(packages: Packages) -> None:
    """It is stopped, and goes on by itself, whatever this worker's own jobs do."""
    packages.add("heavy", "import time\nfor _ in range(20): time.sleep(0.02)\n")
    idle = threading.Event()
    with _launcher(packages) as launcher:
        assert launcher.wait_until_ready(60)
        learning = in_background(
            lambda: launcher.learn(["heavy"], memory=MEMORY, may_go_on=idle.is_set),
            "learn",
        )
        until(lambda: launcher._second._trial)
        trial = launcher._second._trial
        assert trial is not None
        assert trial._id is not None
        until(trial._id.is_stopped)
        launcher.pause_learning()
        launcher.resume_learning()
        assert trial._id.is_stopped()
        idle.set()
        assert learning.result(60) is None


def test_a_slot_of_several_learns(packages: Packages) -> None:
    """A fork of a fork server that slots share makes a second one, the slot's own."""
    packages.add("heavy", "import os\nmade_in = os.getpid()\n")
    with sharing(packages.environment, variables={"OF_THE_SLOT": "1"}) as launcher:
        assert _learn(launcher, "heavy") is None
        puppet = LearnedPuppet(
            launcher, "import heavy; say(os.getppid(), heavy.made_in)"
        )
        second, made_in = puppet.hear()
        puppet.end()
        first = Puppet(launcher, "say('heavy' in sys.modules, os.getppid())")
        is_there, pid = first.hear()
        first.end()
        assert made_in == second != pid
        assert not is_there
        packages.add("reader", "import os\nvalue = os.environ['OF_THE_SLOT']\n")
        assert _learn(launcher, "heavy", "reader") is None
        puppet = LearnedPuppet(launcher, "import reader; say(reader.value)")
        assert puppet.hear() == ["1"]
        puppet.end()
    assert not wait_until_gone({second, pid}, seconds=5)


def test_a_launcher_ends_while_it_learns(packages: Packages) -> None:
    """Nothing is left of what was under way."""
    packages.add("heavy", "import time\ntime.sleep(99)\n")
    with _launcher(packages) as launcher:
        learning = in_background(lambda: _learn(launcher, "heavy"), "learn")
        until(lambda: launcher._second._trial)
        pid = launcher._second._trial._process.pid  # type: ignore[union-attr]
        began = time.monotonic()
    assert time.monotonic() - began < 10
    assert learning.result(10) is not None
    assert not wait_until_gone({pid}, seconds=5)


def test_runners_of_both_are_signalled(packages: Packages) -> None:
    """A signal reaches whoever has made the runner, also one that was replaced."""
    packages.add("one", "")
    packages.add("two", "")
    with _launcher(packages) as launcher:
        assert _learn(launcher, "one") is None
        puppet = LearnedPuppet(launcher, "say(1); time.sleep(99)")
        assert puppet.hear() == [1]
        learning = in_background(lambda: _learn(launcher, "one", "two"), "learn")
        until(lambda: launcher._second._retired)
        launcher.signal(puppet.process, signal.SIGKILL)
        process = puppet.end(10)
        assert process.exit is not None
        assert process.exit.code == -signal.SIGKILL
        assert learning.result(20) is None
        LearnedPuppet(launcher, "import two").end()


def _children(pid: int) -> str:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text()
