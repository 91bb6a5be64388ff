"""Real fork servers and the processes that they hand out, in both ways to make them.

A preloaded module stands in for the job: each runner runs the code that its test
sends. So nothing here needs a service.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest
from tests.plugins.until import until
from tests.plugins.worker_process import alive, wait_until_gone

from dioptra_worker.common.background import in_background
from dioptra_worker.common.processes.job_user import send_user
from dioptra_worker.errors import RunnerError
from dioptra_worker.supervision.forkserver.start import (
    ForkserverProgram,
    PoolForkserver,
)
from dioptra_worker.supervision.launcher import Launcher, choose_mode
from dioptra_worker.tracking.backend import SERVER_MODULES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dioptra_worker.supervision.forkserver.runner_process import ProcessHandle
    from dioptra_worker.supervision.forkserver.start import ChildForkserver, Mode

LINUX = sys.platform == "linux"
linux_only = pytest.mark.skipif(not LINUX, reason="other systems adopt no orphans")
GRACE = 0.5
PUPPET = """
import json, os, signal, subprocess, sys, time
from pathlib import Path
from dioptra_worker.runner import main as program

def main(sock, *, seed):
    with sock.makefile("rw") as file:
        def say(*values):
            file.write(json.dumps(values) + "\\n")
            file.flush()
        exec(json.loads(file.readline()), {**globals(), "say": say, "sock": sock})
    os._exit(0)

program.main = main
"""
THREADED = """
import threading, time
threading.Thread(target=time.sleep, args=[300], name="framework", daemon=True).start()
"""
LIMITED = """
import os, subprocess
from pathlib import Path

def limited(function):
    def call(*arguments, **options):
        if Path({flag!r}).exists():
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return function(*arguments, **options)
    return call

os.fork = limited(os.fork)
subprocess.Popen.__init__ = limited(subprocess.Popen.__init__)
"""
STAY = "time.sleep(300)"
DEAF = f"signal.signal(signal.SIGTERM, signal.SIG_IGN); say(os.getpid()); {STAY}"


class Puppet:
    """A runner that does what it is told."""

    def __init__(
        self, launcher: Launcher, code: str, *, seed: int | None = None
    ) -> None:
        self.process, self._pipes = launcher.start_runner(seed=seed)
        self._pipes.control.setblocking(True)
        self._file = self._pipes.control.makefile("rw")
        self._file.write(json.dumps(dedent(code)) + "\n")
        self._file.flush()

    def tell(self, words: str) -> None:
        """Say something to it."""
        self._file.write(words)
        self._file.flush()

    def hear(self) -> Any:
        """What it says next."""
        line = self._file.readline()
        if not line:
            ended = self.process.ended.wait(20.0)
            os.set_blocking(self._pipes.err, False)
            with suppress(BlockingIOError):
                sys.stderr.buffer.write(os.read(self._pipes.err, 1 << 16))
            self._pipes.close()
            pytest.fail(f"it hung up; ended: {ended}, {self.process.exit}")
        return json.loads(line)

    def end(self, seconds: float = 20.0) -> ProcessHandle:
        """Wait for its end."""
        assert self.process.ended.wait(seconds), "the runner did not end"
        self._file.close()
        self._pipes.close()
        return self.process


@pytest.fixture(name="environment", scope="module")
def _environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("preloaded")
    (folder / "puppet.py").write_text(PUPPET)
    (folder / "fatal.py").write_text("import os\nos._exit(9)")
    (folder / "endless.py").write_text("import time\ntime.sleep(3000)")
    (folder / "threaded.py").write_text(THREADED)
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder)}


@contextmanager
def _launcher(
    mode: Mode,
    environment: dict[str, str],
    *preload: str,
    tracking: tuple[str, ...] = (),
) -> Iterator[Launcher]:
    """A launcher whose runners do not import MLflow, which takes 2 s, unless told."""
    with Launcher(
        mode=mode,
        preload=("puppet", *preload),
        grace=GRACE,
        environment=environment,
        tracking=tracking,
    ) as launcher:
        yield launcher


@pytest.fixture(name="forking", scope="module")
def _forking(environment: dict[str, str]) -> Iterator[Launcher]:
    with _launcher("fork", environment, "numpy", tracking=SERVER_MODULES) as launcher:
        yield launcher


@pytest.fixture(name="spawning", scope="module")
def _spawning(environment: dict[str, str]) -> Iterator[Launcher]:
    with _launcher("spawn", environment, "numpy") as launcher:
        yield launcher


@pytest.fixture(name="launcher", params=["fork", "spawn"])
def _either(
    request: pytest.FixtureRequest, forking: Launcher, spawning: Launcher
) -> Launcher:
    return forking if request.param == "fork" else spawning


def _forkserver_pid(launcher: Launcher) -> int:
    assert launcher._forkserver is not None
    pid = launcher._forkserver.pid
    assert pid is not None
    return pid


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("pass", 0),
        ("os._exit(3)", 3),
        ("raise SystemExit(7)", 1),
        ("os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("signal.raise_signal(signal.SIGTERM)", -signal.SIGTERM),
    ],
)
def test_how_a_runner_ended_is_known(
    code: str, expected: int, launcher: Launcher
) -> None:
    """The exit code or the signal arrives as it was."""
    process = Puppet(launcher, code).end()
    assert process.exit is not None
    assert process.exit.code == expected


def test_peak_memory_is_the_runners_own(launcher: Launcher) -> None:
    """What a runner used at most is known, and does not count for the next one."""
    large = Puppet(launcher, "block = bytearray(300 << 20)").end().exit
    small = Puppet(launcher, "pass").end().exit
    assert large is not None
    assert large.peak is not None
    assert 300 << 20 < large.peak < 900 << 20
    assert small is not None
    assert small.peak is not None
    assert small.peak < large.peak - (200 << 20)


def test_whoever_asks_late_is_told_too(launcher: Launcher) -> None:
    """Listeners hear of the end once, also when they come after it."""
    puppet = Puppet(launcher, "say(1)\nsys.stdin.read()")
    heard: list[str] = []
    puppet.process.on_exit(lambda: heard.append("early"))
    process = puppet.end()
    process.on_exit(lambda: heard.append("late"))
    assert heard == ["early", "late"]


def test_a_runner_is_a_fresh_process(launcher: Launcher) -> None:
    """No runner sees what another did to its modules, folder or environment."""
    code = """
        say(hasattr(json, "spoilt"), "SPOILT" in os.environ, os.getcwd() == "/")
        json.spoilt = os.environ["SPOILT"] = "yes"
        os.chdir("/")
    """
    for _ in range(2):
        puppet = Puppet(launcher, code)
        assert puppet.hear() == [False, False, False]
        puppet.end()


@linux_only
def test_a_folder_stays_when_another_cannot_see_whose_it_is(
    forking: Launcher,
) -> None:
    """In another namespace of process ids, as a container has, ours is nobody's."""
    puppet = Puppet(forking, "say(os.getcwd()); sock.recv(1); say(os.getcwd())")
    code = "from dioptra_worker.runner.forkserver.home import home_of_its_own as home\n"
    code += "with home(): pass"
    alone = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    subprocess.run([*alone, sys.executable, "-c", code], check=True, timeout=60)
    puppet.tell("x")
    assert puppet.hear() == puppet.hear()
    puppet.end()


def test_a_collection_leaves_the_fork_servers_objects_alone(
    forking: Launcher,
) -> None:
    """What a fork shares with its parent stays shared: Python looks away from it."""
    code = """
    import gc
    gc.collect()
    say(gc.get_freeze_count(), len(gc.get_objects()))
    """
    puppet = Puppet(forking, code)
    frozen, own = puppet.hear()
    puppet.end()
    assert frozen > 10 * own


def test_a_runner_leads_a_group_and_a_session(launcher: Launcher) -> None:
    """A runner's group is its own, so that signals reach the job and nobody else."""
    puppet = Puppet(launcher, "say(os.getpid(), os.getpgid(0), os.getsid(0))")
    assert set(puppet.hear()) == {puppet.process.pid}
    puppet.end()


def test_a_runner_can_be_given_its_seed(launcher: Launcher) -> None:
    """Equal seeds give equal numbers, however it is made."""
    code = "import random, numpy; say(random.random(), numpy.random.rand())"
    drawn = []
    for seed in (5, 5, 6):
        puppet = Puppet(launcher, code, seed=seed)
        drawn.append(puppet.hear())
        puppet.end()
    assert drawn[0] == drawn[1]
    assert all(one != other for one, other in zip(drawn[1], drawn[2], strict=True))


def test_the_random_numbers_of_two_runners_differ(launcher: Launcher) -> None:
    """Forked runners do not draw the same numbers from NumPy's global generator."""
    drawn = []
    for _ in range(2):
        puppet = Puppet(launcher, "import numpy; say(numpy.random.rand())")
        drawn += puppet.hear()
        puppet.end()
    assert drawn[0] != drawn[1]


def test_the_environment_is_the_given_one(
    launcher: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A runner sees the environment that was given, in /proc too, not the daemon's."""
    monkeypatch.setenv("DIOPTRA_WORKER_PASSWORD", "swordfish")
    puppet = Puppet(
        launcher,
        """
        seen = " ".join(os.environ)
        for pid in ("self", str(os.getppid())):
            path = f"/proc/{pid}/environ"
            seen += open(path).read() if os.path.exists(path) else ""
        say("PASSWORD" in seen, "swordfish" in seen, "PYTHONPATH" in seen)
        """,
    )
    assert puppet.hear() == [False, False, True]
    puppet.end()


def test_programs_that_a_job_starts_do_not_hold_its_socket(launcher: Launcher) -> None:
    """A program started by a job has none of the runner's descriptors but 0, 1, 2."""
    puppet = Puppet(
        launcher,
        """
        code = '''
        import os
        found = []
        for number in range(3, 200):
            try:
                os.fstat(number)
            except OSError:
                continue
            found.append(number)
        print(found)
        '''
        import textwrap
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            close_fds=False, capture_output=True, text=True,
        )
        say(done.stdout.strip())
        """,
    )
    assert puppet.hear() == ["[]"]
    puppet.end()


@pytest.mark.parametrize("ending", ["pass", "os._exit(1)", "os.kill(os.getpid(), 9)"])
def test_nothing_that_a_job_started_outlives_it(
    ending: str, launcher: Launcher
) -> None:
    """Whatever a job leaves running ends with it; on Linux also what it detached."""
    puppet = Puppet(
        launcher,
        f"""
        child = subprocess.Popen(["sleep", "300"])
        detached = subprocess.Popen(["sleep", "301"], start_new_session=True)
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.setsid()
            orphan = os.fork()
            if orphan == 0:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                os.write(writer, str(os.getpid()).encode())
                time.sleep(302)
            os._exit(0)
        orphan = int(os.read(reader, 100))
        say(child.pid, detached.pid, orphan)
        {ending}
        """,
    )
    child, detached, orphan = puppet.hear()
    puppet.end()
    assert wait_until_gone({child}, seconds=3) == set()
    if LINUX:
        assert wait_until_gone({detached, orphan}, seconds=3) == set()
    for pid in (detached, orphan):
        if not LINUX and alive(pid):
            os.kill(pid, signal.SIGKILL)


def test_signals_reach_the_whole_group(launcher: Launcher) -> None:
    """A signal to a runner reaches what it started, and is lost on one that ended."""
    puppet = Puppet(
        launcher,
        f"child = subprocess.Popen(['sleep', '300']); say(child.pid); {STAY}",
    )
    (child,) = puppet.hear()
    launcher.signal(puppet.process, signal.SIGTERM)
    assert puppet.end().exit is not None
    assert wait_until_gone({child}, seconds=3) == set()
    launcher.signal(puppet.process, signal.SIGKILL)


def test_a_runner_can_be_killed_from_its_first_moment(launcher: Launcher) -> None:
    """A kill right after the start is not lost, however little there is to kill."""
    for _ in range(5):
        process, pipes = launcher.start_runner()
        launcher.signal(process, signal.SIGKILL)
        assert process.ended.wait(10)
        pipes.close()


@linux_only
def test_no_descriptors_and_no_zombies_stay(launcher: Launcher) -> None:
    """However many runners there were, daemon and fork server hold what they held."""
    forkserver = Path(f"/proc/{_forkserver_pid(launcher)}")

    def held() -> tuple[int, int]:
        return (
            len(list(Path("/proc/self/fd").iterdir())),
            len(list((forkserver / "fd").iterdir())),
        )

    Puppet(launcher, "pass").end()
    before = held()
    for _ in range(4):
        Puppet(launcher, "pass").end()
    assert held() == before
    children = (forkserver / "task" / forkserver.name / "children").read_text().split()
    assert len(children) <= 1  # the standby


@pytest.mark.parametrize("mode", ["fork", "spawn"])
def test_a_fork_server_that_is_killed(mode: Mode, environment: dict[str, str]) -> None:
    """When the fork server is killed, its runners end, and the next request works."""
    with _launcher(mode, environment) as launcher:
        puppet = Puppet(
            launcher,
            f"child = subprocess.Popen(['sleep', '300']); say(child.pid)\n{DEAF}",
        )
        pids = {*puppet.hear(), *puppet.hear()}
        os.kill(_forkserver_pid(launcher), signal.SIGKILL)
        process = puppet.end(5)
        assert process.exit is not None
        assert process.exit.code is None
        assert wait_until_gone(pids, seconds=3) == set()
        assert Puppet(launcher, "os._exit(4)").end().exit is not None


@pytest.mark.parametrize("mode", ["fork", "spawn"])
def test_closing_ends_runners_within_the_grace_period(
    mode: Mode, environment: dict[str, str]
) -> None:
    """A launcher that closes leaves no runner, deaf or not, nor what it started."""
    with _launcher(mode, environment) as launcher:
        puppet = Puppet(
            launcher,
            "d = subprocess.Popen(['sleep', '300'], start_new_session=True)\n"
            f"say(d.pid)\n{DEAF}",
        )
        (detached,), (runner,) = puppet.hear(), puppet.hear()
        forkserver = _forkserver_pid(launcher)
        begun = time.monotonic()
    assert time.monotonic() - begun < GRACE + 15
    puppet.end(0)
    pids = {runner, forkserver} | ({detached} if LINUX else set())
    assert wait_until_gone(pids, seconds=3) == set()
    if not LINUX:
        os.kill(detached, signal.SIGKILL)


DAEMON = """
import os, sys, time
from tests.integration.test_launcher import DEAF, Puppet, _launcher, _forkserver_pid

with _launcher(sys.argv[1], dict(os.environ)) as launcher:
    puppet = Puppet(launcher, DEAF)
    print(_forkserver_pid(launcher), *puppet.hear(), flush=True)
    time.sleep(300)
"""


def test_an_import_is_not_waited_for(environment: dict[str, str]) -> None:
    """A fork server that still imports ends when it is closed, whatever the grace."""
    launcher = Launcher(
        mode="fork",
        preload=("endless",),
        grace=3000.0,
        environment=environment,
        tracking=(),
    )
    with launcher:
        launcher.start()
        pid = _forkserver_pid(launcher)
    assert not alive(pid)


@pytest.mark.parametrize("mode", ["fork", "spawn"])
def test_runners_do_not_outlive_a_killed_daemon(
    mode: Mode, environment: dict[str, str]
) -> None:
    """When the daemon is killed, fork server and runners end within the grace."""
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join([environment["PYTHONPATH"], root])
    daemon = subprocess.Popen(
        [sys.executable, "-c", DAEMON, mode],
        env={**environment, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert daemon.stdout is not None
    with daemon.stdout:
        pids = {int(pid) for pid in daemon.stdout.readline().split()}
    assert len(pids) == 2
    daemon.kill()
    daemon.wait()
    assert wait_until_gone(pids, seconds=GRACE + 3) == set()


@pytest.mark.parametrize("mode", ["fork", "spawn", "cold"])
def test_a_stop_before_the_runner_is_one(
    mode: Mode, environment: dict[str, str]
) -> None:
    """A runner that is told to stop before it can hear that ends of it."""
    with _launcher(mode, environment) as launcher:
        assert launcher.wait_until_ready(20)
        for _ in range(5):
            runner = Puppet(launcher, STAY)
            launcher.signal(runner.process, signal.SIGTERM)
            ended = runner.end(10).exit
            assert ended is not None
            assert ended.code == -signal.SIGTERM


def test_a_fork_server_that_cannot_start(environment: dict[str, str]) -> None:
    """A fork server that dies while it imports is told as that, soon, every time."""
    with _launcher("fork", environment, "fatal") as launcher:
        for _ in range(2):
            with pytest.raises(RunnerError, match="ended before it gave a runner"):
                launcher.start_runner()
        assert not launcher.close_run("run", "FAILED", timeout=5)


@pytest.mark.parametrize("mode", ["fork", "spawn"])
def test_no_process_left(
    mode: Mode, environment: dict[str, str], tmp_path: Path
) -> None:
    """Where no more processes may be, none is made, and those that run go on."""
    flag = tmp_path / "full"
    # Python reads this in every process, the fork server included.
    (tmp_path / "sitecustomize.py").write_text(LIMITED.format(flag=str(flag)))
    path = f"{tmp_path}{os.pathsep}{environment['PYTHONPATH']}"
    with _launcher(mode, {**environment, "PYTHONPATH": path}) as launcher:
        running = Puppet(launcher, "say('up'); sock.recv(1); say('still here')")
        assert running.hear() == ["up"]
        standby = Puppet(launcher, "pass") if mode == "spawn" else None
        flag.touch()
        if standby is not None:
            standby.end()
            Puppet(launcher, "pass").end()  # that was made before
        with pytest.raises(RunnerError, match="Resource temporarily unavailable"):
            launcher.start_runner()
        assert not launcher.close_run("run", "FAILED", timeout=5)
        assert not running.process.ended.is_set()
        flag.unlink()
        new = Puppet(launcher, "say('new')")
        assert new.hear() == ["new"]
        new.end()
        running.tell("go on")
        assert running.hear() == ["still here"]
        running.end()


def test_a_module_that_cannot_be_preloaded(environment: dict[str, str]) -> None:
    """A preloaded module that cannot be had is no reason to run nothing."""
    with _launcher("fork", environment, "no_such_module") as launcher:
        assert launcher.wait_until_ready(60)
        process = Puppet(launcher, "pass").end()
        assert process.exit is not None
        assert process.exit.code == 0


@linux_only
def test_a_framework_that_starts_a_thread_is_not_forked(
    environment: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """Runners are started beforehand then, the framework imported, and it is said."""
    with _launcher("fork", environment, "threaded") as launcher:
        assert launcher.wait_until_ready(60)
        puppet = Puppet(
            launcher,
            "say(os.getppid(), 'threaded' in sys.modules)\n"
            "say(Path('/proc/self/cmdline').read_text().split(chr(0)))",
        )
        assert puppet.hear() == [_forkserver_pid(launcher), True]
        assert "dioptra_worker.runner.forkserver.standby" in puppet.hear()[0]
        puppet.end()
    assert "the import of threaded started the thread 'framework'" in caplog.text


@linux_only
@pytest.mark.parametrize("shared", [True, False])
def test_what_is_preloaded_is_told(shared: bool, environment: dict[str, str]) -> None:
    """Whoever asks for runners learns what no job has to wait for, and its cost."""
    making = sharing if shared else partial(_launcher, "fork")
    with making(environment) as launcher:
        assert launcher.wait_until_ready(60)
        (cost,) = launcher.preloaded
        assert cost.module == "puppet"
        assert cost.seconds >= 0


def test_a_fork_server_that_is_lost_is_replaced_before_a_job_asks(
    environment: dict[str, str],
) -> None:
    """Another fork server is ready without anybody asking for a runner."""
    with _launcher("fork", environment) as launcher:
        assert launcher.wait_until_ready(60)
        first = _forkserver_pid(launcher)
        os.kill(first, signal.SIGKILL)
        until(lambda: launcher._forkserver and launcher._forkserver.pid != first)
        assert launcher.wait_until_ready(60)


def test_a_fork_server_that_is_killed_when_it_is_asked(
    environment: dict[str, str],
) -> None:
    """A job that waits for its runner gets one of the next fork server."""
    with _launcher("fork", environment) as launcher:
        assert launcher.wait_until_ready(60)
        first = _forkserver_pid(launcher)
        os.kill(first, signal.SIGSTOP)  # so that it is asked, and does not answer
        client = launcher._forkserver
        assert client is not None
        client._process = None  # else it would be seen to be stopped
        asked = in_background(launcher.start_runner, "asking")
        until(lambda: client._pending)
        os.kill(first, signal.SIGKILL)
        process, pipes = asked.result(60)
        assert _parent(process.pid) != first
        pipes.close()


@pytest.mark.parametrize("mode", ["fork", "spawn", "cold"])
def test_a_launchers_own_variables(mode: Mode, environment: dict[str, str]) -> None:
    """Runners see the variables of their launcher, such as which GPUs are theirs."""
    with Launcher(
        mode=mode,
        preload=("puppet",),
        grace=GRACE,
        environment={**environment, "CUDA_VISIBLE_DEVICES": "0,1"},
        tracking=(),
        variables={"CUDA_VISIBLE_DEVICES": "1"},
    ) as launcher:
        for _ in range(2):
            puppet = Puppet(launcher, "say(os.environ['CUDA_VISIBLE_DEVICES'])")
            assert puppet.hear() == ["1"]
            puppet.end()


@linux_only
def test_a_cold_launcher_keeps_no_runner(environment: dict[str, str]) -> None:
    """Without warmth nothing waits, and nothing heavy is imported, between jobs."""
    with _launcher("cold", environment, tracking=SERVER_MODULES) as launcher:
        assert launcher.wait_until_ready(60)
        forkserver = Path(f"/proc/{_forkserver_pid(launcher)}")
        children = forkserver / "task" / forkserver.name / "children"
        assert children.read_text() == ""
        Puppet(launcher, "pass").end()
        assert children.read_text() == ""
        maps = (forkserver / "maps").read_text()
        assert "_pydantic_core" not in maps
        assert "yaml" not in maps


@pytest.mark.parametrize(
    ("isolation", "mode"),
    [("fork", "fork"), ("spawn", "spawn"), ("auto", "fork" if LINUX else "spawn")],
)
def test_mode(isolation: str, mode: str) -> None:
    """Runners are forked where that is safe, unless the settings say otherwise."""
    assert choose_mode(isolation) == mode


@linux_only
@pytest.mark.process
def test_a_shared_fork_server_ends_what_one_of_its_forks_left(
    environment: dict[str, str],
) -> None:
    """A slot's fork server is killed: what a job left is ended by the one above it."""
    with sharing(environment) as launcher:
        puppet = Puppet(
            launcher,
            """
            if not os.fork():
                os.setsid()
                if not os.fork():
                    say(os.getppid(), os.getpid())
                    time.sleep(300)
                os._exit(0)
            time.sleep(300)
            """,
        )
        left = puppet.hear()[1]
        os.kill(_parent(puppet.process.pid), signal.SIGKILL)
        try:
            assert not wait_until_gone({left}, seconds=5)
        finally:
            with suppress(ProcessLookupError):
                os.kill(left, signal.SIGKILL)
            puppet.end()


@linux_only
@pytest.mark.parametrize("shared", [True, False])
def test_a_fork_server_that_a_job_stops_is_replaced(
    shared: bool, environment: dict[str, str]
) -> None:
    """A signal to its runner is not lost, it stays nowhere, and the next one works."""
    making = sharing if shared else partial(_launcher, "fork")
    with making(environment) as launcher:
        puppet = Puppet(launcher, f"os.kill(os.getppid(), 19); {STAY}")
        stopped = _parent(puppet.process.pid)
        until(lambda: _stat(stopped)[0] == "T")
        launcher.signal(puppet.process, signal.SIGKILL)
        puppet.end(seconds=5)
        assert not wait_until_gone({stopped, puppet.process.pid}, seconds=5)
        puppet = Puppet(launcher, f"os.kill(os.getppid(), 19); {STAY}")
        stopped = _parent(puppet.process.pid)
        until(lambda: _stat(stopped)[0] == "T")
        after = Puppet(launcher, "say(2)")
        assert after.hear() == [2]
        after.end()
        puppet.end(seconds=5)
        assert not wait_until_gone({stopped}, seconds=5)


CHANGES = {
    "priority": "os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)",
    "processors": "os.sched_setaffinity(os.getppid(), {min(os.sched_getaffinity(0))})",
    "limits": (
        "import resource\n"
        "resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (100, 100))"
    ),
}


@linux_only
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_a_job_does_to_the_fork_server_is_not_inherited(
    change: str, shared: bool, environment: dict[str, str]
) -> None:
    """The next runner is as the first one was, whatever that did to their parent."""
    making = sharing if shared else partial(_launcher, "fork")
    state = (
        "import resource\n"
        "say(os.getppid(), os.getpriority(0, 0), len(os.sched_getaffinity(0)),"
        " resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    if len(os.sched_getaffinity(0)) == 1 and "affinity" in change:
        pytest.skip("this machine has one processor only")
    with making(environment) as launcher:
        first = Puppet(launcher, f"{state}\n{change}")
        parent, *before = first.hear()
        first.end()
        second = Puppet(launcher, state)
        another, *after = second.hear()
        assert after == before
        assert another != parent
        second.end()


@contextmanager
def sharing(
    environment: dict[str, str], *, variables: dict[str, str] | None = None
) -> Iterator[Launcher]:
    """A launcher whose fork servers are forks of a shared one."""
    program = ForkserverProgram(
        mode="shared", preload=("puppet",), grace=GRACE, environment=environment
    )
    with (
        _closing(program.start()) as shared,
        Launcher(
            mode="fork",
            preload=(),
            grace=GRACE,
            environment=environment,
            starter=_SharedForks(shared),
            variables=variables,
        ) as launcher,
    ):
        yield launcher


@contextmanager
def _closing(forkserver: ChildForkserver) -> Iterator[ChildForkserver]:
    try:
        yield forkserver
    finally:
        forkserver.sock.close()
        forkserver.wait()


class _SharedForks:
    """Hands out forks of a shared fork server, as a pool does."""

    def __init__(self, shared: ChildForkserver) -> None:
        self._shared = shared

    def start(self) -> PoolForkserver:
        """Ask for one."""
        ours, theirs = socket.socketpair()
        with theirs:
            send_user(self._shared.sock, None, theirs.fileno())
        return PoolForkserver(ours)


def _parent(pid: int) -> int:
    return int(_stat(pid)[1])


def _stat(pid: int) -> list[str]:
    """What the kernel says of a process, from its state on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def test_the_end_waits_for_no_process_that_is_asked_for(
    environment: dict[str, str],
) -> None:
    """A launcher ends at once, also while a fork server that hangs is asked."""
    with _launcher("fork", environment, "endless") as launcher:
        launcher.start()
        asked = in_background(launcher.start_runner, "asking")
        time.sleep(0.2)  # until it is asked; if that comes later, it is refused at once
        began = time.monotonic()
        launcher.close()
        assert time.monotonic() - began < 10
    with pytest.raises(RunnerError):
        asked.result(10)
