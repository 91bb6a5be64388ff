"""What is imported beforehand, when, and which jobs get it."""

from __future__ import annotations

import threading
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.plugins.until import until

from dioptra_worker.daemon.learning.import_costs import ImportCost, Learned
from dioptra_worker.daemon.learning.preloading import RECENT_JOBS, Preloading
from dioptra_worker.protocol.forkserver import PreloadedModule
from dioptra_worker.protocol.messages import ModuleImported
from dioptra_worker.supervision.forkserver.learning import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

JOB = cast("Any", SimpleNamespace(entrypoint_id=1, entrypoint_snapshot_id=2))
OTHER = cast("Any", SimpleNamespace(entrypoint_id=1, entrypoint_snapshot_id=3))


class Costs:
    """Keeps what jobs have waited for, in memory."""

    def __init__(self) -> None:
        self.all = Learned()

    def kept(self) -> Learned:
        """All of it."""
        return self.all

    def learn(self, queue: str, imports: Sequence[ModuleImported]) -> None:
        """Keep more."""
        costs = self.all.queues.setdefault(queue, {})
        for one in imports:
            costs[one.module] = ImportCost(
                module=one.module, jobs=1, seconds=one.seconds
            )

    def exclude(self, module: str, reason: str) -> None:
        """Keep why not."""
        self.all.excluded[module] = reason


class Forkservers:
    """Learns at once, but for what is refused."""

    def __init__(self, **refused: str) -> None:
        self.refused = refused
        self.learned: Any = None
        self.asked: list[list[str]] = []
        self.rests: list[bool] = []
        self.error: Exception | None = None
        self.may_pass = False

    def learn(
        self, modules: Sequence[str], *, memory: int, may_go_on: Callable[[], bool]
    ) -> Refusal | None:
        """Have them all, or say which not."""
        assert memory == 5
        assert may_go_on()
        if self.error is not None:
            raise self.error
        self.asked.append(list(modules))
        for module in modules:
            if module in self.refused:
                reason = self.refused[module]
                return Refusal(module, reason, may_pass=self.may_pass)
        told = tuple(PreloadedModule(module=one, seconds=1.0) for one in modules)
        self.learned = SimpleNamespace(preloaded=told)
        return None

    def pause_learning(self) -> None:
        """A job runs."""
        self.rests.append(True)

    def resume_learning(self) -> None:
        """No job runs."""
        self.rests.append(False)


class Others:
    """Other workers, which have jobs or not."""

    def __init__(self) -> None:
        self.idle = True
        self.told: list[bool] = []
        self.asked = 0

    def have_job(self) -> None:
        """They know that we have one."""
        self.told.append(True)

    def have_no_job(self) -> None:
        """They know that we have none."""
        self.told.append(False)

    def are_idle(self) -> bool:
        """Whether they have none."""
        self.asked += 1
        return self.idle


class Scene:
    """A worker that learns."""

    def __init__(self, *, learns: bool = True, **refused: str) -> None:
        self.costs = Costs()
        self.forkservers = Forkservers(**refused)
        self.told: list[list[str]] = []
        self.reasons: dict[str, str] = {}
        self.saved: list[tuple[str, float]] = []
        self.others = Others()
        self.preloading = Preloading(
            cast("Any", self.forkservers),
            cast("Any", self.costs),
            queues=["q"],
            memory=5,
            learns=learns,
            told=self,
            others=cast("Any", self.others),
            idle_time=0.01,
        )

    def preloaded(self, modules: Sequence[PreloadedModule]) -> None:
        """What is imported."""
        self.told.append([one.module for one in modules])

    def excluded(self, reasons: Mapping[str, str]) -> None:
        """What is not."""
        self.reasons = dict(reasons)

    def job_saved(self, module: str, seconds: float) -> None:
        """What a job had at once."""
        self.saved.append((module, seconds))

    def job(self, job: Any, folder: Path, *modules: str, **options: Any) -> None:
        """Let a job run that waits for these."""
        self.preloading.busy()
        self.preloading.look_at(job, [folder])
        told = [ModuleImported(module=one, seconds=1.0) for one in modules]
        self.preloading.learn("q", job, told, **options)
        self.preloading.idle()


@pytest.fixture(name="plain")
def _plain(tmp_path: Path) -> Path:
    (tmp_path / "tasks.py").write_text("import numpy\n")
    return tmp_path


def test_the_second_job_has_it(plain: Path) -> None:
    """After one job it is imported, and given to jobs of the same snapshot only."""
    scene = Scene()
    scene.job(JOB, plain, "torch", "art.attacks")
    until(lambda: scene.told)
    assert scene.forkservers.asked == [["torch", "art.attacks"]]
    assert scene.told == [["torch", "art.attacks"]]
    assert scene.preloading.is_learned(JOB)
    assert scene.preloading.expected_gain() == 2.0
    assert not scene.preloading.is_learned(OTHER)
    scene.job(OTHER, plain)  # which waits for nothing
    assert scene.preloading.expected_gain() == 2.0  # the next may be of the first kind
    for _ in range(RECENT_JOBS - 1):
        scene.preloading.learn("q", OTHER, [])
    assert scene.preloading.expected_gain() is None
    assert not scene.preloading.is_learned(OTHER)
    assert scene.forkservers.rests == [True, False, True, False]


@pytest.mark.parametrize(
    "code",
    [
        'os.environ["KERAS_BACKEND"] = "jax"',
        "os.environ.update(OMP_NUM_THREADS='1')",
        'os.putenv(a + b, "1")',
        'load_dotenv("file")',
        "TF_CPP_MIN_LOG_LEVEL = 3",
        'environ = {"XLA_FLAGS": ""}',
        'x = "CUDA_VISIBLE_DEVICES"',
        "MPLBACKEND",
        'os.environ["GDAL_DATA"] = "x"',
        "environ [\n  name\n] = value",
        'os.environ |= {"A": "b"}',
        'os.environ.setdefault("A", "b")',
        'del os.environ["A"]',
        'with mock.patch.dict("os.environ", A="b"): pass',
    ],
)
def test_code_that_names_a_variable(code: str, tmp_path: Path) -> None:
    """Whoever may set what a library reads gets a process without it."""
    scene = Scene()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/settings.txt").write_text(code)
    scene.job(JOB, tmp_path, "torch")
    until(lambda: scene.told)
    assert not scene.preloading.is_learned(JOB)


@pytest.mark.parametrize(
    "code",
    [
        'os.environ["__JOB_ID"]',
        'if os.environ["A"] == "b": pass',
        'os.environ.get("A")',
        "given = {**os.environ}",
        'kinds.update(a="b")',
    ],
)
def test_code_that_reads_a_variable(code: str, tmp_path: Path) -> None:
    """It changes nothing, and is as any other."""
    scene = Scene()
    (tmp_path / "tasks.py").write_text(code)
    scene.job(JOB, tmp_path, "torch")
    until(lambda: scene.told)
    assert scene.preloading.is_learned(JOB)


def test_code_that_reads_an_input_is_looked_at_each_time(
    plain: Path, tmp_path: Path
) -> None:
    """It is not of the entrypoint's snapshot, and another at another time."""
    scene = Scene()
    scene.job(JOB, plain, "torch")
    until(lambda: scene.told)
    reader = tmp_path / "reader"
    reader.mkdir()
    (reader / "tasks.py").write_text("os.environ['OMP_NUM_THREADS'] = '1'")
    scene.preloading.look_at(JOB, [plain], [reader])
    assert not scene.preloading.is_learned(JOB)


def test_a_variable_that_was_set_too_late(plain: Path) -> None:
    """Jobs of that snapshot run as if nothing was learned, from then on."""
    scene = Scene()
    scene.job(JOB, plain, "torch")
    until(lambda: scene.told)
    scene.job(JOB, plain, too_late="OMP_NUM_THREADS")
    assert not scene.preloading.is_learned(JOB)


def test_what_is_saved_is_counted(plain: Path) -> None:
    """By what it has cost the worker, whatever the job says; and it is no waiting."""
    scene = Scene()
    scene.job(JOB, plain, "torch")
    until(lambda: scene.told)
    told = [
        ModuleImported(module="torch", seconds=500.0, saved=True),
        ModuleImported(module="made_up", seconds=500.0, saved=True),
    ]
    scene.preloading.learn("q", JOB, told)
    assert scene.saved == [("torch", 1.0)]
    assert scene.costs.all.queues["q"].keys() == {"torch"}


def test_what_is_refused_is_left_out(plain: Path) -> None:
    """Whoever is to blame is kept with its reason; the others are tried without."""
    scene = Scene(threaded="started a thread")
    scene.job(JOB, plain, "threaded", "torch")
    until(lambda: scene.told)
    assert scene.forkservers.asked == [["threaded", "torch"], ["torch"]]
    assert scene.costs.all.excluded == {"threaded": "started a thread"}
    assert scene.reasons == {"threaded": "started a thread"}


def test_what_was_only_too_slow(plain: Path) -> None:
    """It is left out as long as the worker lives; the next one tries it again."""
    scene = Scene(sluggish="took longer")
    scene.forkservers.may_pass = True
    scene.job(JOB, plain, "sluggish", "torch")
    until(lambda: scene.told)
    assert scene.forkservers.asked == [["sluggish", "torch"], ["torch"]]
    assert scene.reasons == {"sluggish": "took longer"}
    assert scene.costs.all.excluded == {}


def test_what_is_never_learned(plain: Path) -> None:
    """The list counts, and so does how long jobs have waited."""
    scene = Scene()
    scene.job(JOB, plain, "jax.numpy")
    scene.preloading.learn("q", JOB, [ModuleImported(module="quick", seconds=0.05)])
    scene.preloading.learn("other", JOB, [ModuleImported(module="slow", seconds=5.0)])
    scene.job(JOB, plain, "torch")
    until(lambda: scene.told)
    assert scene.forkservers.asked == [["torch"]]


def test_what_is_off(plain: Path) -> None:
    """Without the setting what jobs wait for is kept, and nothing else done."""
    scene = Scene(learns=False)
    scene.job(JOB, plain, "torch")
    until(lambda: scene.costs.all.queues)
    assert scene.forkservers.asked == []
    assert not scene.preloading.is_learned(JOB)


def test_nothing_is_begun_while_a_job_runs(plain: Path) -> None:
    """What comes while the next job runs waits until that is over."""
    scene = Scene()
    scene.preloading.look_at(JOB, [plain])
    scene.preloading.busy()
    told = [ModuleImported(module="torch", seconds=1.0)]
    scene.preloading.learn("q", JOB, told)
    until(lambda: scene.costs.all.queues)
    until(lambda: _has_ended("dioptra-imports"))
    assert scene.forkservers.asked == []
    scene.preloading.idle()
    until(lambda: scene.told)


def test_others_have_jobs(plain: Path) -> None:
    """They know of ours; nothing is imported until they have none any more."""
    scene = Scene()
    scene.others.idle = False
    scene.job(JOB, plain, "torch")
    assert scene.others.told == [True, False]
    until(lambda: scene.others.asked > 2)
    assert scene.forkservers.asked == []
    scene.others.idle = True
    until(lambda: scene.told)


def test_who_does_not_learn_tells_nobody() -> None:
    """It leaves no file in the folder that it shares with others."""
    scene = Scene(learns=False)
    scene.preloading.busy()
    scene.preloading.idle()
    assert scene.others.told == []


def test_a_second_fork_server_that_is_lost(plain: Path) -> None:
    """It is made anew, but not for ever."""
    scene = Scene()
    scene.job(JOB, plain, "torch")
    for number in range(1, 9):
        until(partial(_has_told, scene, min(number, 5)))
        until(lambda: _has_ended("dioptra-preload"))
        scene.forkservers.learned = None
        scene.preloading.idle()
    assert len(scene.told) == 5


def test_without_a_thread_it_is_for_later(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that has no more threads does jobs, and learns once it has some."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    scene = Scene()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        scene.job(JOB, plain, "torch")
    assert scene.forkservers.asked == []
    scene.job(JOB, plain, "torch")
    until(lambda: scene.preloading.is_learned(JOB))


def test_a_fault_of_ours_ends_it_and_no_job(plain: Path) -> None:
    """Whatever goes wrong, nothing is learned any more, and that is all."""
    scene = Scene()
    scene.forkservers.error = RuntimeError("a bug")
    scene.job(JOB, plain, "torch")
    until(lambda: scene.preloading._is_off)
    scene.job(JOB, plain, "torch")
    assert not scene.preloading.is_learned(JOB)


def _has_told(scene: Scene, count: int) -> bool:
    return len(scene.told) >= count


def _has_ended(name: str) -> bool:
    return all(each.name != name for each in threading.enumerate())
