"""The outbox of a job, against the simulated API."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from tests.plugins.until import until
from tests.unit.daemon.outbox.simulated_api import (
    EXPERIMENT,
    GROUP,
    JOB,
    LOST_ANSWER,
    REFUSED,
    Fault,
    Gate,
    Script,
    SimulatedApi,
)

from dioptra_worker.common.stop import (
    JOB_DELETED,
    LEASE_LOST,
    JobStop,
    StopRequest,
    lease_clock,
)
from dioptra_worker.common.text.masking import Mask
from dioptra_worker.daemon.outbox.buffer import Capacity
from dioptra_worker.daemon.outbox.delivery_queue import Batch
from dioptra_worker.daemon.outbox.item_store import ItemStore
from dioptra_worker.daemon.outbox.job_log import NOTABLE_OUTAGE, JobLog
from dioptra_worker.daemon.outbox.journal import Journal, Journals
from dioptra_worker.daemon.outbox.outbox import Outbox
from dioptra_worker.daemon.outbox.patience import PARK_ANYWAY_AFTER, Patience
from dioptra_worker.daemon.outbox.result_sender import ResultSender
from dioptra_worker.daemon.outbox.sender import (
    LATE_ARRIVAL_WINDOW,
    POISON_TRIES,
    LoneTrouble,
)
from dioptra_worker.errors import (
    ForeignAnswer,
    LoginRefused,
    NotFound,
    ServiceError,
    ServiceRefused,
    ServiceUnavailable,
)
from dioptra_worker.protocol.messages import ArtifactStored, Log, Metric, RunStarted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from dioptra_worker.daemon.outbox.items import Result
    from dioptra_worker.protocol.messages import Severity

SOON = 20.0
SMALL = Batch(enough=10, age=0.01, most=50, weight=1000)
ERROR_500 = Fault(status=500)


SHUTDOWN = StopRequest("shutdown", "the worker was shut down")


class HeardLog(JobLog):
    """A job's log that keeps what the worker itself says in it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.said: list[str] = []

    def say(self, severity: Severity, text: str) -> None:
        """Keep it, too."""
        self.said.append(text)
        super().say(severity, text)


class LogAndResults(Outbox):
    """An outbox that passes lines on to the job's log."""

    def put_own(self, text: str) -> None:
        """Leave a line of the worker's own."""
        self._log.put_own(_record(text, logger="dioptra_worker"))

    def put(self, item: Result | Log) -> None:
        """Leave an item or a line."""
        if isinstance(item, Log):
            self._log.put(item)
        else:
            super().put(item)

    def finish(self, status: str | None, *args: Any, **kwargs: Any) -> bool:
        """Deliver everything; a job that has an end is not attempted again."""
        if status is not None:
            self.release_artifacts()
        return super().finish(status, *args, **kwargs)


@dataclass
class Scene:
    """An outbox and what it told."""

    api: SimulatedApi
    batch: Batch = SMALL
    capacity: Capacity = field(default_factory=Capacity)
    journal: Journal | None = None
    stop: JobStop = field(default_factory=JobStop)
    notable: float = NOTABLE_OUTAGE
    others_wait: bool = False
    park_anyway_after: float = PARK_ANYWAY_AFTER
    log: HeardLog = field(init=False)

    @contextlib.contextmanager
    def open(self) -> Iterator[LogAndResults]:
        """Run the outbox."""
        patience = Patience(
            self.api.ping,
            may_park=lambda: self.others_wait,
            pace=0.001,
            anyway=self.park_anyway_after,
        )
        self.log = HeardLog(
            self.api,
            JOB,
            patience=patience,
            mask=Mask([]),
            stop=self.stop,
            journal=self.journal,
            batch=self.batch,
            capacity=self.capacity,
            pace=0.001,
            notable=self.notable,
        )
        outbox = LogAndResults(
            self.api,
            self.log,
            job_id=JOB,
            experiment_id=EXPERIMENT,
            stop=self.stop,
            journal=self.journal,
            capacity=self.capacity,
            patience=patience,
            pace=0.001,
        )
        with self.log, outbox:
            yield outbox

    @property
    def said(self) -> list[str]:
        """What the worker itself has said in the log."""
        return self.log.said


def _record(text: str, severity: Any = "INFO", logger: str = "stdout") -> Log:
    return Log(severity=severity, logger=logger, message=text)


def _artifact(name: str) -> ArtifactStored:
    return ArtifactStored(
        name=name,
        uri=f"s3://bucket/{name}",
        plugin_snapshot_id=4,
        task_id=5,
        group_id=GROUP,
    )


def _metric(step: int, value: float = 1.0) -> Metric:
    return Metric(name="loss", value=value, step=step)


def test_batches() -> None:
    """Many records travel in few requests, in order, each with a later time."""
    scene = Scene(SimulatedApi(), Batch(enough=100, age=60, most=500, weight=1 << 20))
    with scene.open() as outbox:
        for number in range(1000):
            outbox.put(_record(f"line {number}"))
        assert outbox.finish("finished", SOON)
    assert scene.api.messages() == [f"line {number}" for number in range(1000)]
    stamps = [record.message.partition(" ")[0] for record in scene.api.log]
    assert stamps == sorted(set(stamps))
    assert scene.api.requests.count("POST log") <= 10


def test_status_is_last() -> None:
    """The status follows the log and every result."""
    gate = Gate("POST log")
    api = SimulatedApi(fault=gate)
    with Scene(api).open() as outbox:
        outbox.put(RunStarted(run_id="abc"))
        outbox.put(_artifact("model"))
        outbox.put(_metric(1))
        outbox.put(_record("the end"))
        assert not outbox.finish("failed", 0.05)
        assert api.statuses == []
        gate.open()
        assert outbox.finish("failed", SOON)
    assert api.statuses == [("failed", 1)]
    assert api.requests[-1] == "PUT failed"
    assert (api.run_id, api.artifacts) == ("abc", ["s3://bucket/model"])
    assert api.metrics == {("loss", 1): 1.0}


@pytest.mark.parametrize("request_", ["POST artifact", "POST metric", "POST mlflowRun"])
def test_what_a_result_refers_to_may_be_deleted(request_: str) -> None:
    """A 404 of a result is no word on the job, which the API still knows."""
    missing = NotFound("there is no such run", service="REST API", status=404)
    api = SimulatedApi(fault=Script(**{request_.replace(" ", "_"): [missing]}))
    scene = Scene(api)
    with scene.open() as outbox:
        outbox.put(RunStarted(run_id="abc"))
        outbox.put(_artifact("model"))
        outbox.put(_metric(1))
        outbox.put(_record("a line"))
        assert outbox.finish("finished", SOON)
    assert scene.stop.gone is None
    assert api.status == "finished"
    assert api.messages()[0] == "a line"
    assert any(
        "could not be delivered: there is no such run" in it for it in scene.said
    )


def test_no_status() -> None:
    """Without a status all is delivered and the status left alone."""
    api = SimulatedApi()
    with Scene(api).open() as outbox:
        outbox.put(_record("a line"))
        assert outbox.finish(None, SOON)
    assert (api.messages(), api.statuses) == (["a line"], [])


@pytest.mark.parametrize("fault", [REFUSED, LOST_ANSWER, ERROR_500, Fault(True, 503)])
def test_every_request_fails_once(fault: Fault) -> None:
    """A failure of any request, before or after its work, leaves no trace."""
    script = Script(
        **{
            name: [fault]
            for name in (
                "POST_log",
                "GET_log",
                "POST_mlflowRun",
                "GET_mlflowRun",
                "POST_artifact",
                "GET_artifacts",
                "POST_metric",
                "PUT_finished",
                "GET_job",
            )
        }
    )
    api = SimulatedApi(fault=script)
    with Scene(api).open() as outbox:
        outbox.put(RunStarted(run_id="abc"))
        outbox.put(_artifact("model"))
        outbox.put(_metric(1))
        outbox.put(_record("a line"))
        assert outbox.finish("finished", SOON)
    assert api.statuses == [("finished", len(api.log))]
    assert api.messages().count("a line") == 1
    assert (api.run_id, api.artifacts) == ("abc", ["s3://bucket/model"])
    assert api.metrics == {("loss", 1): 1.0}


def test_an_artifact_that_is_registered_late() -> None:
    """One whose registration goes on after we gave up is there once, not twice.

    The API itself cannot help: what it is about to register it does not know yet.
    """
    api = SimulatedApi(
        run_id="abc",
        fault=Script(POST_artifact=[Fault(silence=4 * LATE_ARRIVAL_WINDOW)]),
    )

    def late(what: str) -> Fault | ServiceError | None:
        if what == "GET artifacts" and api.requests.count(what) == 9:
            api.artifacts.append("s3://bucket/model")
        return script(what)

    script, api.fault = api.fault, late
    with Scene(api).open() as outbox:
        outbox.put(_artifact("model"))
        assert outbox.finish("finished", SOON)
    assert api.artifacts == ["s3://bucket/model"]
    assert api.requests.count("POST artifact") == 1


class SlowApi(SimulatedApi):
    """An API that takes log records only a while after the client gave up."""

    under_way: Sequence[Log] = ()

    def post_log(self, job_id: int, records: Sequence[Log]) -> None:
        """Add records to the log."""
        self.under_way = records
        super().post_log(job_id, records)


def test_log_records_that_arrive_slowly() -> None:
    """Lines that an API takes later than we waited are there once, not twice."""
    looks = 7
    api = SlowApi(fault=Script(POST_log=[Fault(silence=4 * LATE_ARRIVAL_WINDOW)]))

    def late(what: str) -> Fault | ServiceError | None:
        if what == "GET log" and api.requests.count(what) == looks:
            api.log.extend(api.under_way)
        return script(what)

    script, api.fault = api.fault, late
    with Scene(api).open() as outbox:
        outbox.put(_record("only once"))
        assert outbox.finish("finished", SOON)
    assert len(api.log) == 1
    assert api.requests.count("GET log") > looks


def test_log_records_of_an_api_that_has_begun_anew() -> None:
    """What an API that was ended had taken does not arrive: it is soon sent again."""
    silent = Fault(silence=1000 * LATE_ARRIVAL_WINDOW)
    api = SimulatedApi(fault=Script(POST_log=[silent], GET_log=[REFUSED]))
    with Scene(api).open() as outbox:
        outbox.put(_record("only once"))
        assert outbox.finish("finished", SOON)
    assert len(api.log) == 1
    assert api.requests.count("GET log") < 10


@pytest.mark.parametrize("when", ["before", "while it waits"])
def test_a_job_that_another_worker_may_have(when: str) -> None:
    """Nothing of it is delivered: neither status nor line, metric or artifact."""
    api = SimulatedApi()
    scene = Scene(api)
    if when == "before":
        scene.stop.own_until(lease_clock())
    else:
        api.fault = lambda what: REFUSED if what != "GET job" else None
    with scene.open() as outbox:
        outbox.put(_metric(1))
        outbox.put(_artifact("model"))
        outbox.put(_record("late"))
        if when == "before":
            assert not outbox.finish("finished", SOON)
        else:
            threading.Timer(0.1, scene.stop.request, [LEASE_LOST]).start()
            assert not outbox.finish("finished")
            api.fault = lambda _: None
    assert (api.log, api.metrics, api.artifacts) == ([], {}, [])
    assert api.status == "started"


def test_a_status_of_who_has_lost_the_job() -> None:
    """A status that could not be set is not set after the job was lost."""
    api = SimulatedApi()
    scene = Scene(api)

    def lost_meanwhile(what: str) -> Fault | None:
        if what != "PUT finished" or scene.stop.superseded:
            return None
        scene.stop.request(LEASE_LOST)
        return REFUSED

    api.fault = lost_meanwhile
    with scene.open() as outbox:
        assert not outbox.finish("finished", SOON)
    assert api.requests.count("PUT finished") == 1
    assert api.status == "started"


@pytest.mark.parametrize("others_wait", [True, False])
def test_a_result_at_which_the_api_fails(*, others_wait: bool) -> None:
    """A job that alone is in trouble is left for later when another one waits."""
    api = SimulatedApi(
        fault=lambda what: ERROR_500 if what == "POST mlflowRun" else None
    )
    scene = Scene(api, others_wait=others_wait)
    with scene.open() as outbox:
        outbox.put(RunStarted(run_id="abc"))
        assert not outbox.finish("finished", SOON if others_wait else 0.03)
        assert (outbox.parked_for is not None) == others_wait
    assert api.status == "started"


@pytest.mark.parametrize(
    "what", ["POST mlflowRun", "POST log", "PUT finished"], ids=["result", "log", "end"]
)
@pytest.mark.parametrize("fault", [ERROR_500, Fault(status=503), Fault(), REFUSED])
def test_whatever_the_api_fails_at(what: str, fault: Fault) -> None:
    """However the API fails, and at whatever of one job, another is let pass."""
    api = SimulatedApi(fault=lambda asked: fault if asked == what else None)
    scene = Scene(api, others_wait=True)
    with scene.open() as outbox:
        if what != "PUT finished":
            outbox.put(RunStarted(run_id="abc"))
        outbox.put_own("a line")
        delivered = outbox.finish("finished", SOON)
        # Lines at which the API fails with 500 are given up sooner, and only they.
        assert delivered == (what == "POST log" and fault.status == 500)
        assert (outbox.parked_for is None) == delivered
    assert api.status == ("finished" if delivered else "started")


def test_an_outage_parks_nothing() -> None:
    """While the API answers nothing, no job is let pass, however long that takes."""
    api = SimulatedApi(fault=lambda _: Fault(status=500))
    with Scene(api, others_wait=True).open() as outbox:
        outbox.put(RunStarted(run_id="abc"))
        assert not outbox.finish("finished", 0.3)
        assert outbox.parked_for is None


def test_a_failure_that_was_an_outage() -> None:
    """One that came while the API was away is no sign of trouble with a job."""
    answers = iter([False, True, True])
    trouble = LoneTrouble(lambda: _answer(works=next(answers)))
    error = ServiceUnavailable("away", service="API", status=503)
    assert not trouble.has_failed
    assert [trouble.is_seen_in(error) for _ in range(3)] == [False, False, True]
    assert trouble.has_failed


def _answer(*, works: bool) -> None:
    if not works:
        raise ServiceUnavailable("away", service="API")


def test_nobody_waits() -> None:
    """A job that holds up nobody is parked, too, after a minute."""
    api = SimulatedApi(
        fault=lambda what: ERROR_500 if what == "POST mlflowRun" else None
    )
    with Scene(api, park_anyway_after=0.1).open() as outbox:
        outbox.put(RunStarted(run_id="abc"))
        began = time.monotonic()
        assert not outbox.finish("finished", SOON)
        assert outbox.parked_for is not None
    assert time.monotonic() - began >= 0.1


def test_a_registration_that_never_was() -> None:
    """One that is not registered in its time is asked for again."""
    fault = Fault(silence=LATE_ARRIVAL_WINDOW)
    api = SimulatedApi(run_id="abc", fault=Script(POST_artifact=[fault]))
    with Scene(api).open() as outbox:
        outbox.put(_artifact("model"))
        assert outbox.finish("finished", SOON)
    assert api.artifacts == ["s3://bucket/model"]
    assert api.requests.count("POST artifact") == 2


def test_a_slow_registration_is_told() -> None:
    """A job that waits for the API to register an artifact says so meanwhile."""
    told = threading.Event()

    def slow(what: str) -> None:
        if what == "POST artifact":
            assert told.wait(SOON)

    class Told(HeardLog):
        def say(self, severity: Severity, text: str) -> None:
            super().say(severity, text)
            told.set()

    api = SimulatedApi(run_id="abc", fault=slow)
    log = Told(api, JOB, mask=Mask([]), stop=JobStop())
    sender = ResultSender(api, JOB, log, slow=0.01)
    sender.deliver([_artifact("model")])
    assert api.artifacts == ["s3://bucket/model"]
    assert len(log.said) == 1
    assert "register the artifact 'model'" in log.said[0]


def test_equal_lines() -> None:
    """A line that is refused is delivered although the one before it reads the same.

    Their times would be the same, too, where the clock is coarse or the job quick.
    """
    api = SimulatedApi(fault=Script(POST_log=[None, REFUSED, None, REFUSED]))
    with Scene(api, Batch(most=1)).open() as outbox:
        for _ in range(4):
            outbox.put(_record("again"))
        assert outbox.finish("finished", SOON)
    assert api.messages() == ["again"] * 4


def test_log_goes_on_while_a_result_waits() -> None:
    """The log says what a result waits for while it does."""
    gate = Gate("POST metric")
    api = SimulatedApi(fault=gate)
    scene = Scene(api)
    with scene.open() as outbox:
        outbox.put(_metric(1))
        outbox.put(_record("a line"))
        until(lambda: len(api.log) == 2)
        assert any("waiting to deliver results" in text for text in api.messages())
        assert not outbox.finish("finished", 0.05)
        assert api.statuses == []
        gate.open()
        assert outbox.finish("finished", SOON)
    assert api.metrics == {("loss", 1): 1.0}
    waits, goes_on = scene.said
    assert "waiting to deliver results" in waits
    assert "results are delivered again after" in goes_on


def test_depth() -> None:
    """The depth counts what waits and what is under way."""
    gate = Gate("POST log")
    with Scene(SimulatedApi(fault=gate)).open() as outbox:
        for number in range(30):
            outbox.put(_record(str(number)))
        assert len(outbox) == 30
        gate.open()
        assert outbox.finish(None, SOON)
        assert len(outbox) == 0


@pytest.mark.parametrize(
    "fault", [ERROR_500, ForeignAnswer("a filter", service="REST API", status=403)]
)
def test_poisonous_metric(fault: Fault | ServiceError) -> None:
    """A metric that the API cannot digest is given up while the API works otherwise.

    So is one that a filter before the API does not let pass.
    """
    api = SimulatedApi(fault=Script(POST_metric=[fault] * POISON_TRIES))
    scene = Scene(api)
    with scene.open() as outbox:
        outbox.put(_metric(1))
        outbox.put(_metric(2))
        assert outbox.finish("finished", SOON)
    assert api.metrics == {("loss", 2): 1.0}
    assert "could not be delivered" in scene.said[-1]
    assert scene.said[-1] in api.messages()


def test_poison_or_away() -> None:
    """While the API fails at everything nothing is given up."""
    tries = POISON_TRIES * 3
    api = SimulatedApi(
        fault=Script(
            POST_metric=[ERROR_500] * tries,
            POST_log=[ERROR_500] * tries,
            GET_job=[ERROR_500] * tries,
        )
    )
    with Scene(api).open() as outbox:
        outbox.put(_metric(1))
        outbox.put(_record("a line"))
        assert outbox.finish("finished", SOON)
    assert api.metrics == {("loss", 1): 1.0}
    assert "a line" in api.messages()


def test_artifacts_are_no_poison() -> None:
    """The registration of an artifact is never given up for answers of 500."""
    tries = POISON_TRIES * 2
    api = SimulatedApi(run_id="abc", fault=Script(POST_artifact=[ERROR_500] * tries))
    with Scene(api).open() as outbox:
        outbox.put(_artifact("model"))
        assert outbox.finish("finished", SOON)
    assert api.artifacts == ["s3://bucket/model"]


def test_an_artifact_that_its_store_does_not_have() -> None:
    """An artifact that the API has looked for in vain is given up, and said."""
    words = "the specified artifact uri s3://b/model is not part of MLFlow run id: abc"
    in_vain = Fault(done=False, status=500, words=words)
    api = SimulatedApi(
        run_id="abc", fault=Script(POST_artifact=[in_vain] * POISON_TRIES)
    )
    scene = Scene(api)
    with scene.open() as outbox:
        outbox.put(_artifact("model"))
        outbox.put(_artifact("other"))
        assert outbox.finish("finished", SOON)
    assert api.artifacts == ["s3://bucket/other"]
    assert "artifact 'model' could not be delivered" in scene.said[-1]
    assert words in scene.said[-1]


def test_answers_lost_again_and_again() -> None:
    """A log that arrives with an error each time is never taken for poison."""
    arrives = Fault(done=True, status=500)
    api = SimulatedApi(fault=lambda what: arrives if what == "POST log" else None)
    count = POISON_TRIES * 2
    with Scene(api, Batch(most=1)).open() as outbox:
        for number in range(count):
            outbox.put(_record(str(number)))
        assert outbox.finish("finished", SOON)
    assert api.messages() == [str(number) for number in range(count)]


def test_poisonous_log() -> None:
    """Log records that are given up are counted, and the job's log says so."""
    api = SimulatedApi(fault=Script(POST_log=[ERROR_500] * POISON_TRIES))
    with Scene(api).open() as outbox:
        outbox.put(_record("poison"))
        assert outbox.finish("finished", SOON)
    assert len(api.log) == 1
    assert "1 log record of 'stdout' could not be delivered" in api.messages()[0]
    assert api.statuses == [("finished", 1)]


def test_refused_log() -> None:
    """Log records that the API refuses cost neither the rest nor the status."""
    api = SimulatedApi()
    with Scene(api, Batch(most=1)).open() as outbox:
        outbox.put(_record("odd", severity="LOUD"))
        outbox.put(_record("fine"))
        assert outbox.finish("finished", SOON)
    assert api.messages()[0] == "fine"
    assert "1 log record of 'stdout' could not be delivered" in api.messages()[1]
    assert api.status == "finished"


def test_full() -> None:
    """What an outbox cannot hold is dropped, counted and said, also at the very end."""
    gate = Gate("POST log")
    api = SimulatedApi(fault=gate)
    with Scene(api, capacity=Capacity(items=20)).open() as outbox:
        for number in range(50):
            outbox.put(_record(str(number)))
        outbox.put_own("the job failed: why")
        for number in range(5):
            outbox.put(_record(str(number)))
        gate.open()
        assert outbox.finish("failed", SOON)
    assert api.messages() == [
        *(str(number) for number in range(20)),
        "30 log records were dropped here: the outbox was full",
        "the job failed: why",
        "5 log records were dropped here: the outbox was full",
    ]
    assert api.statuses == [("failed", 23)]


def _journal(folder: Path) -> Journal:
    journals = Journals(folder, api="http://api.test")
    made = journals.open(job_id=JOB, experiment_id=EXPERIMENT, attempt=1, worker="me")
    assert made is not None
    return made


def _size_without_sqlites_log(folder: Path) -> int:
    """Bytes that a job's log takes on disk, once SQLite's own log is gone."""
    copy = folder / "copy"
    shutil.copytree(next(folder.glob("outbox/*")), copy)
    with contextlib.closing(sqlite3.connect(copy / "log.sqlite")) as database:
        database.execute("SELECT count(*) FROM item").fetchone()
    return sum(path.stat().st_size for path in copy.glob("log.sqlite*"))


def test_beyond_memory(tmp_path: Path) -> None:
    """What memory cannot hold waits on disk, in order, and nothing is dropped."""
    gate = Gate("POST log")
    api = SimulatedApi(fault=gate)
    capacity = Capacity(items=20)
    with (
        _journal(tmp_path) as journal,
        Scene(api, capacity=capacity, journal=journal).open() as outbox,
    ):
        for number in range(3000):
            outbox.put(_record(str(number)))
        assert len(outbox) == 3000
        journal.flush()
        assert outbox._log._queue.load < 100
        gate.open()
        for number in range(3000, 3100):
            outbox.put(_record(str(number)))
        assert outbox.finish("finished", SOON)
    assert api.messages() == [str(number) for number in range(3100)]
    assert list(tmp_path.glob("outbox/*")) == []


def test_beyond_the_disk(tmp_path: Path) -> None:
    """What the disk may not hold either is dropped, counted and said."""
    gate = Gate("POST log")
    api = SimulatedApi(fault=gate)
    capacity = Capacity(items=20, disk=20_000)
    with (
        _journal(tmp_path) as journal,
        Scene(api, capacity=capacity, journal=journal).open() as outbox,
    ):
        for number in range(3000):
            outbox.put(_record(f"{number} {'x' * 80}"))
            if number % 10 == 0:
                journal.flush()
        assert 15_000 < _size_without_sqlites_log(tmp_path) < 25_000
        gate.open()
        assert outbox.finish("finished", SOON)
    kept, apology = api.messages()[:-1], api.messages()[-1]
    assert [text.split()[0] for text in kept] == [str(n) for n in range(len(kept))]
    assert apology == (
        f"{3000 - len(kept):,} log records were dropped here: the outbox was full"
    )


def test_disk_full_beyond_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the disk refuses while records wait there, the order stays."""
    gate = Gate("POST log")
    api = SimulatedApi(fault=gate)

    def refuse(*_: object) -> None:
        raise OSError("no space left")

    with (
        _journal(tmp_path) as journal,
        Scene(api, capacity=Capacity(items=20), journal=journal).open() as outbox,
    ):
        for number in range(100):
            outbox.put(_record(str(number)))
        journal.flush()
        monkeypatch.setattr(ItemStore, "append", refuse)
        for number in range(100, 200):
            outbox.put(_record(str(number)))
        journal.flush()
        for number in range(200, 300):
            outbox.put(_record(str(number)))
        monkeypatch.undo()
        gate.open()
        assert outbox.finish("finished", SOON)
    assert api.messages() == [str(number) for number in range(300)]


def test_unreadable_on_disk(tmp_path: Path) -> None:
    """What cannot be read back from the disk is counted and said."""
    gate = Gate("POST log")
    api = SimulatedApi(fault=gate)
    with (
        _journal(tmp_path) as journal,
        Scene(api, capacity=Capacity(items=20), journal=journal).open() as outbox,
    ):
        for number in range(100):
            outbox.put(_record(f"n{number}."))
        journal.flush()
        assert journal.log._store is not None
        with journal.log._disk, journal.log._store._db as database:
            database.execute("UPDATE item SET body = '{' WHERE number = 51")
        gate.open()
        assert outbox.finish("finished", SOON)
    *kept, apology = api.messages()
    assert kept == [f"n{number}." for number in range(100) if number != 50]
    assert apology == "1 log records could not be read back from the disk"


def test_left_by_another(tmp_path: Path) -> None:
    """What another process has left goes first, without what had arrived."""
    gate = Gate("POST log")
    api = SimulatedApi(run_id="abc", fault=gate)
    with (
        _journal(tmp_path) as journal,
        Scene(api, journal=journal).open() as outbox,
    ):
        for number in range(30):
            outbox.put(_record(str(number)))
        outbox.put(_artifact("model"))
        assert not outbox.finish(None, 0.05)
    # The request under way was served after its sender had died, and somebody else
    # has written much since.
    with _journal(tmp_path) as journal:
        left = journal.log.read(0, most=10, weight=1 << 20).items
        api.log += [record for _, record in left]
        api.log += [
            _record(f"2999-01-01T00:00:00.{n:06}Z not ours") for n in range(999)
        ]
        gate.open()
        with Scene(api, journal=journal).open() as outbox:
            outbox.put(_record("new"))
            assert outbox.finish("finished", SOON)
    ours = [text for text in api.messages() if text != "not ours"]
    assert ours == [*(str(number) for number in range(30)), "new"]
    assert api.artifacts == ["s3://bucket/model"]
    assert list(tmp_path.glob("outbox/*")) == []


def test_refused_among_many() -> None:
    """One record that the API refuses costs itself only, and the job's log says so."""
    api = SimulatedApi()
    batch = Batch(enough=100, age=60, most=500, weight=1 << 20)
    with Scene(api, batch).open() as outbox:
        for number in range(100):
            severity = "LOUD" if number == 41 else "INFO"
            outbox.put(_record(str(number), severity=severity))
        assert outbox.finish("finished", SOON)
    *kept, apology = api.messages()
    assert kept == [str(number) for number in range(100) if number != 41]
    assert "1 log record of 'stdout' could not be delivered" in apology
    assert "it begins '41'" in apology
    assert api.requests.count("POST log") <= 20


def test_everything_is_refused() -> None:
    """An API that refuses every record has an end, and the status is delivered."""
    refusal = ServiceRefused("no", service="REST API", status=400)
    api = SimulatedApi(fault=lambda what: refusal if what == "POST log" else None)
    with Scene(api).open() as outbox:
        for number in range(60):
            outbox.put(_record(str(number)))
        assert outbox.finish("finished", SOON)
    assert api.statuses == [("finished", 0)]


def test_late_log_is_said() -> None:
    """After a notable wait the job's log says that its lines came late, once."""
    gate = Gate("POST log")
    api = SimulatedApi(fault=gate)
    scene = Scene(api, notable=0.05)
    with scene.open() as outbox:
        outbox.put(_record("a line"))
        time.sleep(0.1)
        gate.open()
        assert outbox.finish("finished", SOON)
    assert len(scene.said) == 1
    assert "delivered again after" in scene.said[0]
    assert scene.said[0] in api.messages()


def test_full_by_weight() -> None:
    """Few long lines fill an scene as many short ones do."""
    gate = Gate("POST log")
    api = SimulatedApi(fault=gate)
    batch = Batch(enough=100, age=60, most=1, weight=1)
    with Scene(api, batch, capacity=Capacity(weight=2000)).open() as outbox:
        for _ in range(9):
            outbox.put(_record("x" * 300))
        gate.open()
        assert outbox.finish("finished", SOON)
    assert 4 <= len(api.log) <= 6
    assert "log records were dropped here" in api.messages()[-1]


def test_full_of_metrics() -> None:
    """Metrics are bounded, too; what makes a job's result is never dropped."""
    gate = Gate("POST metric")
    api = SimulatedApi(run_id="abc", fault=gate)
    with Scene(api, capacity=Capacity(items=3)).open() as outbox:
        for step in range(10):
            outbox.put(_metric(step))
        outbox.put(_artifact("model"))
        gate.open()
        assert outbox.finish("finished", SOON)
    assert len(api.metrics) == 3
    assert api.artifacts == ["s3://bucket/model"]
    assert "7 metrics were dropped here" in api.messages()[-1]


@pytest.mark.parametrize("queue", ["log", "result", "status"])
def test_deleted(queue: str) -> None:
    """A job that was deleted is forgotten, whichever part finds out."""
    api = SimulatedApi(deleted=True)
    scene = Scene(api)
    with scene.open() as outbox:
        if queue == "log":
            outbox.put(_record("a line"))
        elif queue == "result":
            outbox.put(_metric(1))
        assert outbox.finish("finished", SOON)
        outbox.put(_record("another"))
        assert len(outbox) == 0
    assert scene.stop.gone == JOB_DELETED
    assert (api.log, api.statuses) == ([], [])


def test_timeout() -> None:
    """Finishing with a timeout ends when the API stays away, and can be repeated."""
    api = SimulatedApi(fault=lambda _: REFUSED)
    with Scene(api).open() as outbox:
        outbox.put(_record("a line"))
        assert not outbox.finish("finished", 0.05)
        api.fault = lambda _: None
        assert outbox.finish("finished", SOON)
    assert api.statuses == [("finished", 1)]


def test_status_with_timeout() -> None:
    """A status that cannot be set in time is not delivered."""
    api = SimulatedApi(fault=lambda what: REFUSED if what.startswith("PUT") else None)
    with Scene(api).open() as outbox:
        assert not outbox.finish("finished", 0.05)
    assert api.statuses == []


@pytest.mark.parametrize("stuck", ["POST log", "PUT finished"])
def test_let_go(stuck: str) -> None:
    """Who waits without end is let go, whatever the delivery is at."""
    api = SimulatedApi(fault=lambda what: REFUSED if what == stuck else None)
    scene = Scene(api, stop=JobStop(last_words_timeout=0.2))
    with scene.open() as outbox:
        outbox.put(_record("a line"))
        threading.Timer(0.1, scene.stop.request, [SHUTDOWN]).start()
        assert not outbox.finish("finished")
    assert api.statuses == []


@pytest.mark.parametrize(
    ("wanted", "status"), [("finished", "finished"), ("reset", "queued")]
)
def test_status_is_set_already(wanted: str, status: str) -> None:
    """That the status is what it shall be is as good as having set it."""
    api = SimulatedApi(status=status)
    with Scene(api).open() as outbox:
        assert outbox.finish(wanted, SOON)
    assert api.status == status


def test_status_refused() -> None:
    """A job that somebody else has ended keeps that end; nobody waits for ever."""
    api = SimulatedApi(status="failed")
    with Scene(api).open() as outbox:
        assert outbox.finish("finished", SOON)
    assert api.status == "failed"


@pytest.mark.parametrize("request_name", ["POST_log", "POST_metric", "PUT_finished"])
def test_login_refused(request_name: str) -> None:
    """While the API lets us not in, what was produced waits."""
    refused = LoginRefused("who are you?", service="REST API", status=401)
    api = SimulatedApi(fault=Script(**{request_name: [refused] * 3}))
    with Scene(api).open() as outbox:
        outbox.put(_record("a line"))
        outbox.put(_metric(1))
        assert outbox.finish("finished", SOON)
    assert "a line" in api.messages()
    assert api.metrics == {("loss", 1): 1.0}
    assert api.status == "finished"


def test_retry_after() -> None:
    """The time that the API asks for is waited."""
    busy = Fault(status=429, retry_after=300)
    api = SimulatedApi(fault=Script(POST_log=[busy]))
    began = time.monotonic()
    with Scene(api).open() as outbox:
        outbox.put(_record("a line"))
        assert outbox.finish("finished", SOON)
    assert time.monotonic() - began >= 0.3  # at a thousandth of the pace
