"""Plugins that do what no plugin should: the job ends with its cause, and alone.

Each test runs in a worker that the tests before it have mistreated.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from tests.plugins.outcomes import FAILED, FINISHED
from tests.plugins.scene import Scene, assert_gone
from tests.plugins.worker_process import WorkerProcess, worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.plugins.clients import MlflowReader
    from tests.plugins.fault_report import FaultReport
    from tests.plugins.outcomes import Outcome, Witness
    from tests.plugins.testbed import Platform

    from dioptra_worker.tools.local import LocalStack

LONG = 16 << 20


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a plugin does, and what comes of it.

    Attributes:
        name: For the test's name.
        body: The task, after ``def act(folder):``; *folder* outlives the job.
        words: What the last line of the log says when the job failed.
        seen: What the log has.
        never: What it has not.
        timeout: The job's limit.
        head: What comes before the task.
        artifact: Whether the task's return value is stored as an artifact.
        spawned: Whether it is tried in a spawned process, too.
        row: Beside which row of the peer's it is shown; empty for none.
    """

    name: str
    body: str
    words: str = ""
    seen: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    timeout: str = "60s"
    head: str = ""
    artifact: bool = False
    spawned: bool = False
    row: str = ""

    @property
    def source(self) -> str:
        """The plugin."""
        body = "\n".join(f"    {line}" for line in self.body.strip().splitlines())
        return f"{self.head}\n\n@pyplugs.register\ndef act(folder):\n{body}\n"

    @property
    def graph(self) -> dict[str, Any]:
        """The task graph."""
        return {"acting": {"act": ["$folder"]}}

    @property
    def outputs(self) -> dict[str, Any] | None:
        """The artifact graph."""
        if not self.artifact:
            return None
        return {"kept": {"contents": "$acting", "task": {"name": "Text"}}}


FINE = [
    Case(
        name="prints binary",
        body="""
os.write(1, bytes(range(256)) * 40 + b"\\n")
sys.stdout.buffer.write(b"\\xfe\\xff raw\\n")
sys.stdout.flush()
print("after")
""",
        seen=("\\xfe\\xff raw", "after"),
    ),
    Case(
        name="prints what no encoding has",
        body="""
import logging
logging.addLevelName(35, "NOTICE")
logging.log(35, "custom level")
logging.log(1000, "level of a thousand")
logging.getLogger("na\\udcff\\0me").warning("odd logger")
logging.warning("%d is no number", "this")
LOG.info("\\udcff \\0 \\x1b[31m", key="\\ud800")
print("\\0" * 10)
print("after")
""",
        seen=("custom level", "level of a thousand", "odd logger", "\\udcff", "after"),
    ),
    Case(
        name="closes standard output and error",
        body="""
os.close(1)
os.close(2)
print("by Python")
subprocess.run(["sh", "-c", "echo from a child"])
LOG.info("by structlog")
""",
        seen=("by Python", "by structlog"),
    ),
    Case(
        name="closes descriptors that are not its own",
        spawned=True,
        body="""
os.closerange(3, 100)
files = [os.open(Path(folder, f"f{n}"), os.O_CREAT | os.O_WRONLY) for n in range(20)]
print("after")
for file in files:
    try:
        os.close(file)
    except OSError:
        pass  # a library took it for the connection that it had, and was faster
assert not any(Path(folder, f"f{n}").read_text() for n in range(20))
""",
        seen=("after", "the job finished"),
    ),
    Case(
        name="leaves threads",
        head="import threading",
        body="""
for _ in range(5):
    threading.Thread(target=time.sleep, args=[3000]).start()
print("after")
""",
        seen=("after",),
    ),
    Case(
        name="hangs at exit",
        head="import atexit",
        body="""
atexit.register(time.sleep, 3000)
os.register_at_fork(before=lambda: None)
print("after")
""",
        seen=("after",),
    ),
    Case(
        name="hangs in a handler's close",
        head="import logging",
        body="""
class Odd(logging.Handler):
    def emit(self, record):
        pass
    def flush(self):
        raise SystemExit(7)
logging.getLogger().addHandler(Odd())
print("after")
""",
        seen=("after",),
    ),
    Case(
        name="changes folder and umask",
        spawned=True,
        body="""
os.umask(0o777)
Path("locked").mkdir()
Path("locked-file").write_text("x")
os.umask(0o077)
os.chmod(".", 0)
os.chdir("/")
return "kept"
""",
        artifact=True,
    ),
    Case(
        name="takes signals",
        body="""
for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
print("after")
""",
        seen=("after",),
    ),
    Case(
        name="empties sys.modules",
        body="""
for name in list(sys.modules):
    if name.partition(".")[0] in {"json", "mlflow", "dioptra", "dioptra_worker"}:
        del sys.modules[name]
print("after")
return "kept"
""",
        seen=("after",),
        artifact=True,
    ),
    Case(
        name="overwrites sys.modules",
        spawned=True,
        body="""
for name in list(sys.modules):
    if name.partition(".")[0] in {"json", "mlflow", "dioptra", "logging", "yaml"}:
        sys.modules[name] = None
print("after")
return "kept"
""",
        seen=("after",),
        artifact=True,
    ),
    Case(
        name="breaks Python's own functions",
        body="""
import json, socket
def broken(*args, **kwargs):
    raise RuntimeError("broken")
json.dumps = json.loads = time.monotonic = Path.cwd = broken
os._exit = lambda code: None
sys.excepthook = sys.unraisablehook = broken
print("after")
""",
        seen=("after",),
    ),
    Case(
        name="takes standard output away",
        body="""
print("before")
sys.stdout.close()
sys.stderr = sys.__stderr__ = None
sys.stdout = sys.__stdout__ = 7
LOG.info("after")
""",
        seen=("before", "after"),
    ),
    Case(
        name="ends its MLflow run",
        head="import mlflow",
        body="""
mlflow.end_run("KILLED")
mlflow.start_run()
mlflow.start_run(nested=True)
print("after")
""",
        seen=("after",),
    ),
]


@pytest.fixture(scope="module", name="isolation")
def _isolation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", name="daemon")
def _daemon(
    isolation: str,
    stack: LocalStack,
    platform: Platform,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[WorkerProcess]:
    with worker(
        stack.environment(),
        tmp_path_factory.mktemp("worker"),
        *("--isolation", isolation, platform.queue),
        settings={"DIOPTRA_WORKER_KILL_GRACE": "1"},
    ) as running:
        yield running


@pytest.fixture(scope="module", name="scene")
def _scene(isolation: str, platform: Platform, daemon: WorkerProcess) -> Scene:
    return Scene(platform, daemon, standby=isolation == "spawn")


# Of the module's scope, and apart from the cases: else each case would want the other
# isolation than the one before it, and a new worker.
FORKED = pytest.mark.parametrize("isolation", ["fork"], indirect=True, scope="module")
SPAWNED = pytest.mark.parametrize(
    "isolation",
    [pytest.param("spawn", marks=pytest.mark.slow)],
    indirect=True,
    scope="module",
)


def _each_of(cases: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


def _submit(scene: Scene, case: Case, folder: Path) -> int:
    entrypoint = scene.platform.entrypoint(
        case.source,
        case.graph,
        artifact_outputs=case.outputs,
        parameters={"folder": str(folder)},
    )
    return scene.platform.submit(entrypoint, timeout=case.timeout)


@FORKED
@_each_of(FINE)
def test_odd_but_harmless(
    case: Case, scene: Scene, witness: Witness, tmp_path: Path
) -> None:
    """What a task does to its own process is no reason for its job to fail."""
    _assert_harmless(case, scene, witness, tmp_path)


@SPAWNED
@_each_of([case for case in FINE if case.spawned])
def test_odd_but_harmless_in_a_spawned_process(
    case: Case, scene: Scene, witness: Witness, tmp_path: Path
) -> None:
    """Nor is it in a process that was not forked."""
    _assert_harmless(case, scene, witness, tmp_path)


def _assert_harmless(
    case: Case, scene: Scene, witness: Witness, tmp_path: Path
) -> None:
    job = _submit(scene, case, tmp_path)
    outcome = witness.outcome(job, says="the job finished")
    text = scene.platform.text(job)
    assert outcome.statuses == FINISHED, text
    for words in case.seen:
        assert words in text
    scene.assert_clean()


BAD = [
    Case(
        name="closes its connection to the worker",
        row="3",
        spawned=True,
        body="""
os.closerange(0, 65536)
time.sleep(0.5)
print("nobody hears this")
time.sleep(3000)
""",
        words="closed its connection to the worker",
        never=("nobody hears this",),
    ),
    Case(
        name="swallows all exceptions",
        row="15c",
        spawned=True,
        body="""
while True:
    try:
        time.sleep(0.05)
    except BaseException:
        pass
""",
        words="timed out after its limit of 1.0 s, in step 'acting'; it did not stop by"
        " itself and was killed",
        timeout="1s",
    ),
    Case(
        name="sits in C",
        row="15c",
        body="sum(range(10**13))",
        words="timed out after its limit of 1.0 s, in step 'acting'; it did not stop by"
        " itself and was killed",
        timeout="1s",
    ),
    Case(
        name="blocks every signal",
        row="15c",
        body="""
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
time.sleep(3000)
""",
        words="timed out after its limit of 1.0 s, in step 'acting'; it did not stop by"
        " itself and was killed",
        timeout="1s",
    ),
    Case(
        name="stops itself",
        row="15c",
        body="os.kill(os.getpid(), signal.SIGSTOP)",
        words="timed out after its limit of 1.0 s, in step 'acting'; it did not stop by"
        " itself and was killed",
        timeout="1s",
    ),
    Case(
        name="ends itself with SIGTERM",
        body="os.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(60)",
        words="stopped by a SIGTERM in step 'acting' that the worker did not send",
    ),
    Case(
        name="ends itself with SIGALRM",
        body="signal.alarm(1)\ntime.sleep(60)",
        words="killed by SIGALRM in step 'acting' after",
    ),
    Case(
        name="overflows the stack",
        row="4",
        spawned=True,
        body="""
sys.setrecursionlimit(10**9)
import threading
value = []
for _ in range(10**6):
    value = [value]
repr(value)
""",
        words="killed by SIGSEGV in step 'acting' after",
        seen=("Fatal Python error: Segmentation fault", "in act"),
    ),
    Case(
        name="aborts",
        row="4",
        body="os.abort()",
        words="killed by SIGABRT in step 'acting' after",
        seen=("Fatal Python error: Aborted", "in act"),
    ),
    Case(
        name="recurses without end",
        body="""
def deeper():
    deeper()
deeper()
""",
        words="RecursionError",
        seen=("in deeper",),
    ),
    Case(
        name="exceeds its own memory limit",
        row="19",
        head="import resource",
        body="""
size = int(Path("/proc/self/statm").read_text().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (size + (64 << 20), size + (64 << 20)))
everything = []
while True:
    everything.append(bytearray(8 << 20))
""",
        words="MemoryError",
        seen=("everything.append(bytearray(8 << 20))",),
    ),
    Case(
        name="exceeds its own file size limit",
        row="25a",
        head="import resource",
        body="""
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
Path("large").write_bytes(bytes(1 << 20))
""",
        words="File too large",
    ),
    Case(
        name="removes its own folder",
        head="import shutil",
        body="""
shutil.rmtree(os.getcwd())
return "kept"
""",
        words="the job's folder is gone",
        artifact=True,
    ),
    Case(
        name="kills its parent",
        row="4",
        spawned=True,
        body="os.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(60)",
        words="the job's process was lost in step 'acting' after",
    ),
    Case(
        name="exits while it is imported",
        row="3",
        spawned=True,
        head="os._exit(5)",
        body="pass",
        words="exit code 5 while the job was prepared",
    ),
    Case(
        name="calls sys.exit while it is imported",
        row="2",
        head="sys.exit('enough')",
        body="pass",
        words="the job called sys.exit('enough')",
    ),
    Case(
        name="crashes while it is imported",
        head="import ctypes\nctypes.string_at(0)",
        body="pass",
        words="killed by SIGSEGV while the job was prepared",
        seen=("Fatal Python error: Segmentation fault",),
    ),
    Case(
        name="hangs while it is imported",
        head="time.sleep(3000)",
        body="pass",
        words="timed out after its limit of 1.0 s",
        timeout="1s",
    ),
    Case(
        name="raises what cannot be shown",
        head="""
class Unspeakable(Exception):
    def __str__(self):
        raise ValueError("no words")
    __repr__ = __str__
""",
        body="raise Unspeakable",
        words="Unspeakable",
        seen=("raise Unspeakable",),
    ),
    Case(
        name="exits with what cannot be shown",
        head="""
class Unspeakable:
    def __str__(self):
        raise ValueError("no words")
    __repr__ = __str__
""",
        body="sys.exit(Unspeakable())",
        words="the job called sys.exit(",
    ),
    Case(
        name="raises a book",
        body="raise ValueError('page ' * 2_000_000)",
        words="ValueError: page page",
    ),
    Case(
        name="raises what is no Exception",
        head="import asyncio",
        body="raise asyncio.CancelledError('not I')",
        words="CancelledError: not I",
        seen=("raise asyncio.CancelledError",),
    ),
    Case(
        name="exits while it writes an artifact",
        body="""
class Bomb:
    def __str__(self):
        os._exit(9)
return Bomb()
""",
        words="exit code 9",
        artifact=True,
    ),
]


@FORKED
@_each_of(BAD)
def test_bad_end(
    case: Case,
    scene: Scene,
    witness: Witness,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """However a task ends its process, the job fails everywhere, and says why."""
    outcome = _bad_outcome(case, scene, witness, tmp_path)
    if case.row:
        fault_report.job(case.row, f"a task that {case.name}", outcome)


@SPAWNED
@_each_of([case for case in BAD if case.spawned])
def test_bad_end_of_a_spawned_process(
    case: Case, scene: Scene, witness: Witness, tmp_path: Path
) -> None:
    """One that was not forked is no different."""
    _bad_outcome(case, scene, witness, tmp_path)


def _bad_outcome(case: Case, scene: Scene, witness: Witness, tmp_path: Path) -> Outcome:
    job = _submit(scene, case, tmp_path)
    outcome = witness.outcome(job, says="the job failed")
    text = scene.platform.text(job)
    assert outcome.statuses == FAILED, text
    assert case.words in outcome.line, text[-5000:]
    assert outcome.line == scene.platform.log(job)[-1].text
    for words in case.seen:
        assert words in text, text[-5000:]
    for words in case.never:
        assert words not in text
    scene.assert_clean()
    return outcome


@FORKED
@pytest.mark.parametrize("how", ["print", "log", "write"])
def test_a_line_of_16_mb(
    how: str, scene: Scene, witness: Witness, tmp_path: Path
) -> None:
    """A line of 16 MB is in the log from its first to its last byte."""
    act = {
        "print": f"print('x' * {LONG})",
        "log": f"LOG.info('x' * {LONG})",
        "write": f"with open(1, 'wb', closefd=False) as out: out.write(b'x' * {LONG})",
    }[how]
    case = Case(name="long", body=f"{act}\nprint('\\nafter')")
    job = _submit(scene, case, tmp_path)
    assert witness.outcome(job, says="the job finished").statuses == FINISHED
    lines = scene.platform.text(job).split("\n")
    assert sum(len(line) for line in lines if line[:1] == "x") == LONG
    assert "after" in lines
    scene.assert_clean()


DAEMONS = """
def daemon(folder, name, *ignored):
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    os.closerange(0, 256)
    Path(folder, name).write_text(str(os.getpid()))
    time.sleep(3000)


def left(folder):
    for path in Path(folder, "plain"), Path(folder, "deaf"):
        while not path.exists() or not path.read_text():
            time.sleep(0.01)
"""


@FORKED
@pytest.mark.parametrize(
    ("act", "status"),
    [("return", "finished"), ("os._exit(1)", "failed"), ("os.kill(0, 9)", "failed")],
)
def test_daemons(
    act: str, status: str, scene: Scene, witness: Witness, tmp_path: Path
) -> None:
    """Daemons that a job leaves end with it, however it ends."""
    case = Case(
        name="daemons",
        head=DAEMONS,
        body=f"""
daemon(folder, "plain")
daemon(folder, "deaf", signal.SIGTERM, signal.SIGHUP)
left(folder)
{act}
""",
    )
    job = _submit(scene, case, tmp_path)
    assert witness.outcome(job, says=f"the job {status}").api == status
    pids = {int((tmp_path / name).read_text()) for name in ("plain", "deaf")}
    assert_gone(pids)
    scene.assert_clean()


@FORKED
def test_a_job_cannot_say_that_it_is_another(
    scene: Scene, witness: Witness, tmp_path: Path
) -> None:
    """Nonsense on the channel is shown as text and changes nothing."""
    lines = [
        b"no message\n",
        b'{"is":"RunnerResult","ending":"great"}\n',
        b'{"is":"Plan"}\n',
        b"[" * 5000 + b"\n",
        json.dumps({"is": "StepStarted", "step": 7}).encode() + b"\n",
    ]
    case = Case(
        name="nonsense",
        body=f"""
import gc; gc.unfreeze()
from dioptra_worker.runner.channel import Channel
(channel,) = [each for each in gc.get_objects() if type(each) is Channel]
for line in {lines!r}:
    channel._sock.sendall(line)
print("after")
""",
    )
    job = _submit(scene, case, tmp_path)
    assert witness.outcome(job, says="after").statuses == FINISHED
    assert "no message" in scene.platform.text(job)
    scene.assert_clean()


@FORKED
def test_a_job_closes_no_run_but_its_own(
    scene: Scene,
    witness: Witness,
    mlflow_reader: MlflowReader,
    tmp_path: Path,
) -> None:
    """A run, an artifact and a metric that are forged change nothing of others.

    The job's own artifact is registered, and its own run is closed, though the job has
    said that it was and then died.
    """
    begun = mlflow_reader.session.post(
        f"{mlflow_reader.root}/runs/create", json={"experiment_id": "0"}, timeout=30
    )
    innocent = begun.json()["run"]["info"]
    stored = {
        "name": "kept",
        "uri": f"{innocent['artifact_uri']}/other",
        "plugin_snapshot_id": 1,
        "task_id": 1,
    }
    case = Case(
        name="forged",
        body=f"""
import gc; gc.unfreeze()
import dioptra_worker.protocol.messages as m
from dioptra_worker.protocol.codec import encode
from dioptra_worker.runner.channel import Channel
(channel,) = [each for each in gc.get_objects() if type(each) is Channel]
for message in (
    m.RunStarted(run_id={innocent["run_id"]!r}, artifact_uri="s3://elsewhere"),
    m.ArtifactStored(**{stored!r}),
    m.Metric(name="no name", value=1.0, step=0),
    m.RunnerResult(ending="failed", reason="it is forged", run_closed=True),
):
    channel._sock.sendall(encode(message))
os._exit(3)
""",
    )
    job = _submit(scene, case, tmp_path)
    outcome = witness.outcome(job, says="the job failed: it is forged")
    assert outcome.statuses == FAILED
    assert mlflow_reader.status(innocent["run_id"]) == "RUNNING"
    assert scene.platform.run_id(job) != innocent["run_id"]
    assert scene.platform.artifacts(job) == {}
    text = scene.platform.text(job)
    assert "the job has no output artifact 'kept'" in text
    assert "'no name' is no name for a metric" in text
    scene.assert_clean()
