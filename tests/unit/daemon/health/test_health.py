"""What the daemon shows of its health, and what whoever reads it concludes."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import stat
import subprocess
import sys
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result
from tests.plugins.small_disk import may_mount, small_disk

from dioptra_worker.broker.parking import Parked
from dioptra_worker.cli.health import default_work_dir, health_command
from dioptra_worker.daemon.health import heartbeat_file, metrics, probes, state
from dioptra_worker.daemon.health.heartbeat_file import Heartbeat, NoHeartbeat
from dioptra_worker.daemon.health.reporter import HealthReporter
from dioptra_worker.daemon.health.server import (
    MAX_REQUESTS,
    REQUEST_TIMEOUT,
    HealthServer,
)
from dioptra_worker.daemon.health.snapshot import API, REDIS
from dioptra_worker.daemon.health.state import HealthState
from dioptra_worker.errors import ServiceRefused, ServiceUnavailable
from dioptra_worker.protocol.forkserver import PreloadedModule
from dioptra_worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

REQUIRED: dict[str, Any] = {
    "DIOPTRA_WORKER_USERNAME": "worker",
    "DIOPTRA_WORKER_PASSWORD": "swordfish",
    "DIOPTRA_API": "http://localhost:5000",
    "RQ_REDIS_URI": "redis://:hush-hush@localhost:6379/0",
    "MLFLOW_TRACKING_URI": "http://localhost:35000",
    "MLFLOW_S3_ENDPOINT_URL": "http://localhost:39000",
}


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.time = 1_000_000.0

    def __call__(self) -> float:
        """The time."""
        return self.time


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="health")
def _health(clock: Clock) -> HealthState:
    return HealthState(clock=clock, now=clock)


def _serving(health: HealthState) -> HealthState:
    health.contact(REDIS, ok=True)
    health.contact(API, ok=True)
    health.registered("w", ["cpu"])
    return health


def _settings(folder: Path, **more: Any) -> Settings:
    return Settings(**REQUIRED, DIOPTRA_WORKER_WORK_DIR=folder, **more)


# -- health ----------------------------------------------------------------------


def test_alive_while_the_loop_ticks(health: HealthState, clock: Clock) -> None:
    """The daemon is alive until a tick is due, and again after the next one."""
    health.tick(within=10)
    clock.time += 10
    assert health.alive
    clock.time += 0.1
    assert not health.alive
    health.tick()
    assert health.alive


def test_state_follows_what_happens(health: HealthState) -> None:
    """The state says what the daemon does: a job goes before waiting, before idling."""
    seen = [health.snapshot().state]
    happenings: list[Callable[[], None]] = [
        lambda: health.registered("w", ["cpu"]),
        lambda: health.contact(API, ok=False),
        lambda: health.job_started(7),
        lambda: health.job_ended("finished", 1.0),
        lambda: health.contact(API, ok=True),
        lambda: health.phase("suspended"),
        lambda: health.phase("ending"),
    ]
    for happen in happenings:
        happen()
        seen.append(health.snapshot().state)
    assert seen == [
        *("starting", "idle", "waiting", "busy", "waiting"),
        *("idle", "suspended", "ending"),
    ]


def test_since_changes_with_the_state_only(health: HealthState, clock: Clock) -> None:
    """The state's age counts from its beginning, not from the last thing that was."""
    _serving(health)
    began = clock.time
    clock.time += 5
    health.contact(REDIS, ok=True)
    assert health.snapshot().since == began
    health.job_started(1)
    assert health.snapshot().since == began + 5


def test_away_since_the_first_failure(health: HealthState, clock: Clock) -> None:
    """A service is away since its first failure, and its last answer is kept."""
    health.contact(REDIS, ok=True)
    answered = clock.time
    for _ in range(3):
        clock.time += 1
        health.contact(REDIS, ok=False)
    found = health.snapshot()
    assert found.contacts[REDIS].answered == answered
    assert found.contacts[REDIS].away_since == answered + 1
    assert found.waiting_for == (REDIS,)
    health.contact(REDIS, ok=True)
    assert health.snapshot().waiting_for == ()


def test_contacting_notes_how_a_call_ended(health: HealthState) -> None:
    """An answer and a refusal are contact; what is away is named by its error."""
    with health.contacting(API):
        pass
    with pytest.raises(ServiceRefused), health.contacting(API):
        raise ServiceRefused("no", service=API)
    assert health.snapshot().waiting_for == ()
    with pytest.raises(ServiceUnavailable), health.contacting(API):
        raise ServiceUnavailable("away", service=REDIS)
    assert health.snapshot().waiting_for == (REDIS,)


def test_contacting_leaves_surprises_alone(health: HealthState) -> None:
    """An error that is no service's says nothing of any service."""
    with pytest.raises(ZeroDivisionError), health.contacting(API):
        raise ZeroDivisionError
    assert API not in health.snapshot().contacts


def test_jobs_are_counted(health: HealthState) -> None:
    """Jobs are counted by result, with their durations and the memory they took."""
    for fate, seconds, peak in (
        ("finished", 0.5, 300),
        ("failed", 20.0, 100),
        ("finished", 1e9, None),
    ):
        health.job_started(1)
        health.job_peak(peak)
        health.job_ended(fate, seconds)
    found = health.snapshot()
    assert found.jobs == {"finished": 2, "failed": 1}
    assert found.durations.counts == (1, 0, 0, 1, 0, 0, 0, 0, 0, 1)
    assert found.durations.total == pytest.approx(1e9 + 20.5)
    assert (found.peaks.last, found.peaks.highest) == (100, 300)
    assert found.job_id is None


def test_outbox_is_the_running_jobs(health: HealthState) -> None:
    """The outbox is asked for its depth each time, and forgotten with its job."""
    items = [1, 2]
    health.job_started(1)
    health.outbox(items)
    assert health.snapshot().outbox == 2
    items.clear()
    assert health.snapshot().outbox == 0
    items.append(3)
    health.job_ended("finished", 1.0)
    assert health.snapshot().outbox == 0


def test_threads_do_not_lose_counts(health: HealthState) -> None:
    """Threads that report at the same time are all counted."""

    def work() -> None:
        for _ in range(300):
            health.job_ended("finished", 1.0)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert health.snapshot().jobs == {"finished": 2400}
    assert sum(health.snapshot().durations.counts) == 2400


# -- readiness -------------------------------------------------------------------


def test_ready_when_all_answer(health: HealthState) -> None:
    """A registered worker whose services answered lately is ready."""
    assert probes.why_not_ready(_serving(health).snapshot()) == []


def test_not_ready_while_starting_and_ending(health: HealthState) -> None:
    """A worker is not ready before it is registered and while it shuts down."""
    [reason] = probes.why_not_ready(health.snapshot())
    assert "starting" in reason
    _serving(health).phase("ending")
    [reason] = probes.why_not_ready(health.snapshot())
    assert "shutting down" in reason


def test_ready_while_a_job_waits(health: HealthState) -> None:
    """A service that only the running job waits for shows, and restarts no worker."""
    _serving(health).job_started(7)
    health.contact("MLflow", ok=False)
    found = health.snapshot()
    assert found.waiting_for == ("MLflow",)
    assert probes.why_not_ready(found) == []
    assert probes.why_not_alive(found) == []


@pytest.mark.parametrize("service", [REDIS, API])
def test_not_ready_without_a_service(health: HealthState, service: str) -> None:
    """A service that does not answer keeps the worker from being ready, not alive."""
    _serving(health).contact(service, ok=False)
    found = health.snapshot()
    assert probes.why_not_ready(found) == [f"{service} does not answer"]
    assert probes.why_not_alive(found) == []


def test_not_ready_after_a_long_silence(health: HealthState, clock: Clock) -> None:
    """An answer counts for a while only."""
    _serving(health)
    clock.time += 100
    health.tick()
    health.contact(API, ok=True)
    assert probes.why_not_ready(health.snapshot()) == [
        "Redis has not been heard of for 100 s"
    ]


def test_stuck_is_neither_alive_nor_ready(health: HealthState, clock: Clock) -> None:
    """A main loop that misses its tick is neither alive nor ready."""
    _serving(health).tick(within=1)
    clock.time += 2
    assert probes.why_not_alive(health.snapshot()) == ["the main loop is stuck"]
    assert "the main loop is stuck" in probes.why_not_ready(health.snapshot())


# -- metrics ---------------------------------------------------------------------

LAST_CONTACT = "dioptra_worker_last_contact_timestamp_seconds"
SAMPLE = re.compile(
    r'dioptra_worker_[a-z_]+(\{[a-z]+="(?:[^"\\]|\\.)*"(,[a-z]+="(?:[^"\\]|\\.)*")*\})?'
    r" -?\d+(\.\d+)?(e[+-]?\d+)?"
)


def test_metrics_are_well_formed(health: HealthState) -> None:
    """Every line is help, type or a sample, and each family has the first two."""
    _serving(health).contact('odd "one"\\\n', ok=True)
    health.job_peak(1 << 30)
    health.job_ended("finished", 3.25)
    text = metrics.render(health.snapshot())
    assert text.endswith("\n")
    families: set[str] = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            families.add(line.split()[2])
        elif not line.startswith("# HELP "):
            assert SAMPLE.fullmatch(line), line
            name = re.sub(r"(_bucket|_sum|_count)?[ {].*", "", line)
            assert name in families, line


def test_histogram_is_cumulative(health: HealthState) -> None:
    """A bucket counts all jobs that took no longer than its bound."""
    for seconds in (0.5, 1.0, 2.0, 100000.0):
        health.job_ended("finished", seconds)
    text = metrics.render(health.snapshot())
    name = "dioptra_worker_job_duration_seconds"
    assert f'{name}_bucket{{le="1"}} 2\n' in text
    assert f'{name}_bucket{{le="5"}} 3\n' in text
    assert f'{name}_bucket{{le="86400"}} 3\n' in text
    assert f'{name}_bucket{{le="+Inf"}} 4\n' in text
    assert f"{name}_sum 100003.5\n" in text
    assert f"{name}_count 4\n" in text


def test_metrics_say_what_was_asked_for(health: HealthState, clock: Clock) -> None:
    """Results, waiting, outbox, last contact, peak memory and build are all there."""
    _serving(health).contact(API, ok=False)
    health.job_ended("failed", 1.0)
    health.job_peak(4096)
    health.outbox(range(3))
    text = metrics.render(health.snapshot())
    for line in (
        'dioptra_worker_jobs_total{result="failed"} 1',
        'dioptra_worker_jobs_total{result="finished"} 0',
        'dioptra_worker_state{state="waiting"} 1',
        'dioptra_worker_waiting{service="Dioptra API"} 1',
        'dioptra_worker_waiting{service="Redis"} 0',
        f'{LAST_CONTACT}{{service="Redis"}} {clock.time:.0f}',
        "dioptra_worker_outbox_depth 3",
        "dioptra_worker_job_peak_memory_bytes 4096",
        "dioptra_worker_parked_jobs 0",
    ):
        assert line + "\n" in text
    assert "dioptra_worker_build_info{version=" in text


def test_imports_are_counted(
    health: HealthState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs and seconds add up for each module, of which there are not too many."""
    monkeypatch.setattr(state, "MAX_MODULES", 2)
    for module, seconds in (("torch", 2.5), ("art", 1), ("x", 9), ("torch", 2)):
        health.job_imported(module, seconds)
    text = metrics.render(health.snapshot())
    name = "dioptra_worker_job_import"
    assert f'{name}s_total{{module="torch"}} 2\n' in text
    assert f'{name}_seconds_total{{module="torch"}} 4.5\n' in text
    assert f'{name}_seconds_total{{module="art"}} 1\n' in text
    assert '"x"' not in text


def test_what_is_preloaded_is_told(health: HealthState) -> None:
    """Of each module, how long nobody has to wait for it, and the memory it takes."""
    health.preloaded([PreloadedModule(module="torch", seconds=2.5, memory=1 << 20)])
    text = metrics.render(health.snapshot())
    assert 'dioptra_worker_preload_seconds{module="torch"} 2.5\n' in text
    assert 'dioptra_worker_preload_memory_bytes{module="torch"} 1048576\n' in text


def test_parked_jobs(health: HealthState, clock: Clock, tmp_path: Path) -> None:
    """How many jobs are parked, since when and until when, is told everywhere."""
    _serving(health).parked(
        [
            Parked(job_id=17, age=300.0, left=-1.0, given_up_in=60.0, why="<500>"),
            Parked(job_id=23, age=20.0, left=5.0, given_up_in=600.0, tries=2),
            Parked(job_id=24, age=10.0, left=5.0),
        ]
    )
    then = clock.time
    clock.time += 7
    text = metrics.render(health.snapshot())
    assert "dioptra_worker_parked_jobs 3\n" in text
    assert f"dioptra_worker_parked_since_seconds {then - 300:.0f}\n" in text
    assert f"dioptra_worker_parked_given_up_seconds {then + 60:.0f}\n" in text
    with HealthReporter(health, _settings(tmp_path), name="w") as reporter:
        first, second, third = json.loads(reporter.path.read_bytes())["parked"]
        heartbeat = Heartbeat.read(reporter.path)
    assert (first["job_id"], first["why"], first["tries"]) == (17, "<500>", 1)
    assert first["since"] == heartbeat_file.moment(then - 300).replace("Z", "+00:00")
    assert (second["given_up"], third["given_up"]) == (
        heartbeat_file.moment(then + 600),
        None,
    )
    assert heartbeat.words.endswith("; 3 jobs are parked: 17, 23, 24")


# -- the port --------------------------------------------------------------------


@pytest.fixture(name="server")
def _server(
    health: HealthState, request: pytest.FixtureRequest
) -> Iterator[HealthServer]:
    timeout = getattr(request, "param", REQUEST_TIMEOUT)
    server = HealthServer("127.0.0.1", 0, health, request_timeout=timeout)
    yield server
    server.close()


def _ask(
    server: HealthServer, path: str, method: str = "GET"
) -> tuple[http.client.HTTPResponse, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request(method, path)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer, text


def test_port_answers(server: HealthServer, health: HealthState, clock: Clock) -> None:
    """The three pages tell what the health tell, with the status that goes with it."""
    assert _ask(server, "/livez")[1] == "ok\n"
    answer, text = _ask(server, "/readyz?verbose")
    assert (answer.status, "starting" in text) == (503, True)
    _serving(health)
    assert _ask(server, "/readyz")[0].status == 200
    answer, text = _ask(server, "/metrics")
    assert answer.headers["Content-Type"] == metrics.CONTENT_TYPE
    assert "dioptra_worker_alive 1" in text
    clock.time += 1000
    assert _ask(server, "/livez")[0].status == 503


def test_port_refuses_the_rest(server: HealthServer) -> None:
    """Other pages are not found, other methods not supported, HEAD has no body."""
    assert _ask(server, "/etc/passwd")[0].status == 404
    assert _ask(server, "/livez", "POST")[0].status == 501
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
        client.sendall(b"HEAD /livez HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.0 200")
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("server", [2.0], indirect=True)
def test_slow_clients_are_hung_up_on(server: HealthServer) -> None:
    """Clients that take every place and say nothing lose it, and others are served."""
    place = ("127.0.0.1", server.port)
    slow = [socket.create_connection(place) for _ in range(MAX_REQUESTS)]
    deadline = time.monotonic() + 5
    while len(server._open) < len(slow):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert _ask(server, "/livez")[0].status == 200  # the oldest gives way
    for client in slow:
        client.settimeout(5)
        assert client.recv(100) == b""
        client.close()
    deadline = time.monotonic() + 60
    while server._open:  # a place is free a moment after its client is hung up on
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert _ask(server, "/livez")[0].status == 200


@pytest.mark.parametrize("server", [0.5], indirect=True)
def test_trickling_clients_are_hung_up_on(server: HealthServer) -> None:
    """A client that sends a byte now and then does not keep its place for ever."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
        for _ in range(80):  # less than the handler's own patience
            time.sleep(0.05)
            try:
                client.sendall(b"G")
            except OSError:
                return
    pytest.fail("it still has its place")


# -- the file --------------------------------------------------------------------


def _check(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(
        health_command, ["--work-dir", str(folder), *arguments], env={}
    )


def _body(**other: Any) -> dict[str, Any]:
    now = heartbeat_file.now().isoformat()
    return {
        "written": now,
        "since": now,
        "pid": os.getpid(),
        "birth": "?",
        "host": "elsewhere",
        "state": "idle",
        "job_id": None,
        "waiting_for": [],
        **other,
    }


def test_heart_writes_a_private_file(tmp_path: Path) -> None:
    """The file is there from the start to the end, for its owner only, in JSON."""
    folder = tmp_path / "made"
    health = _serving(HealthState())
    with HealthReporter(health, _settings(folder)) as reporter:
        assert reporter.path == folder / f"health-{os.getpid()}.json"
        assert stat.S_IMODE(reporter.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        body = json.loads(reporter.path.read_text())
        assert (body["worker"], body["state"]) == ("w", "idle")
        assert set(body["services"]) == {REDIS, API}
        assert _check(folder).exit_code == 0
        assert reporter.port is None
    assert list(folder.iterdir()) == []


def test_heart_beats_while_the_loop_ticks(tmp_path: Path) -> None:
    """The file is written again and again, but not once the main loop is stuck."""
    health = HealthState()
    with HealthReporter(health, _settings(tmp_path), interval=0.02) as reporter:

        def later(than: Heartbeat, seconds: float) -> bool:
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                if Heartbeat.read(reporter.path).written > than.written:
                    return True
                time.sleep(0.005)
            return False

        assert later(Heartbeat.read(reporter.path), 5)
        health.tick(within=-1)
        time.sleep(0.1)
        assert not later(Heartbeat.read(reporter.path), 0.3)
        health.tick()
        assert later(Heartbeat.read(reporter.path), 5)


def test_heart_by_name_and_in_a_place_of_its_own(tmp_path: Path) -> None:
    """A worker's name is in the file's name, and the setting may give any place."""
    with HealthReporter(HealthState(), _settings(tmp_path), name="a/b") as reporter:
        assert reporter.path == tmp_path / "health-a-b.json"
    own = tmp_path / "own" / "beat"
    settings = _settings(tmp_path, DIOPTRA_WORKER_HEALTH_FILE=str(own))
    with HealthReporter(HealthState(), settings) as reporter:
        assert reporter.path == own
        assert _check(tmp_path, "--file", str(own)).exit_code == 0


def test_heart_survives_a_full_disk(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that cannot be written is complained of once, and tried again."""
    blocker = tmp_path / "folder"
    blocker.write_text("a file where the folder should be")
    with HealthReporter(HealthState(), _settings(blocker), interval=0.02) as reporter:
        time.sleep(0.2)
        complaints = [r for r in caplog.records if "cannot be written" in r.message]
        assert len(complaints) == 1
        blocker.unlink()
        deadline = time.monotonic() + 5
        while not reporter.path.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_heart_waits_for_a_port_that_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A port that another has is complained of once and opened when it is free."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        settings = _settings(tmp_path, DIOPTRA_WORKER_HEALTH_PORT=port)
        reporter = HealthReporter(HealthState(), settings, interval=0.05)
        reporter.__enter__()
        assert reporter.port is None
        assert "cannot be opened" in caplog.text
    deadline = time.monotonic() + 5
    while reporter.port is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert reporter.port == port
    reporter.__exit__(None, None, None)
    with socket.socket() as again, pytest.raises(ConnectionRefusedError):
        again.connect(("127.0.0.1", port))


def test_files_of_dead_workers_are_removed(tmp_path: Path) -> None:
    """A starting worker removes what killed ones of its machine left, nothing else."""
    here = socket.gethostname()
    for name, body in {
        "dead": _body(host=here, birth="long ago"),
        "elsewhere": _body(host="elsewhere"),
        "container": _body(host=here, namespace="pid:[1]"),
    }.items():
        heartbeat_file.write(tmp_path / f"health-{name}.json", body)
    (tmp_path / "health-odd.json").write_text("{}")
    with HealthReporter(HealthState(), _settings(tmp_path), name="me"):
        names = {path.name for path in tmp_path.iterdir()}
    left = ("elsewhere", "container", "odd", "me")
    assert names == {f"health-{name}.json" for name in left}


def test_file_is_not_written_through_a_link(tmp_path: Path) -> None:
    """A link that lies in the way is replaced, and what it leads to stays as it was."""
    victim, path = tmp_path / "victim", tmp_path / "health-1.json"
    victim.write_text("untouched")
    path.symlink_to(victim)
    path.with_name(f".{path.name}.new").symlink_to(victim)
    heartbeat_file.write(path, _body())
    assert victim.read_text() == "untouched"
    assert not path.is_symlink()


@pytest.mark.process
@pytest.mark.skipif(not may_mount(), reason="needs to mount a small disk, as root")
@pytest.mark.parametrize("job", [None, 123456])
def test_a_full_disk_stops_no_heartbeat(job: int | None, tmp_path: Path) -> None:
    """A job that fills the disk does not make its worker look dead."""
    with small_disk(tmp_path / "disk", "64k") as disk:
        path = disk / "health-1.json"
        heartbeat_file.write(path, _body(job_id=7, waiting_for=["Redis"]))
        with pytest.raises(OSError, match="No space"):
            (disk / "large").write_bytes(bytes(1 << 20))
        heartbeat_file.write(path, _body(job_id=job, waiting_for=["Redis"]))
        assert Heartbeat.read(path).job_id == job
        path.unlink()
        (disk / "small").write_bytes(bytes(4096))
        with pytest.raises(OSError, match="No space"):
            heartbeat_file.write(path, _body())


# -- the command -----------------------------------------------------------------


def test_health_says_what_the_worker_does(tmp_path: Path) -> None:
    """The command prints the state, the job and what is waited for."""
    body = _body(state="busy", job_id=17, waiting_for=["Redis"])
    heartbeat_file.write(tmp_path / "health-5.json", body)
    answer = _check(tmp_path)
    assert answer.exit_code == 0
    assert answer.output == "busy with job 17 for 0 s, waiting for Redis\n"


def test_old_heartbeat_is_unhealthy(tmp_path: Path) -> None:
    """A heartbeat older than --max-age is told with its age, and fails the check."""
    written = (heartbeat_file.now() - timedelta(seconds=40)).isoformat()
    heartbeat_file.write(tmp_path / "health-5.json", _body(written=written))
    answer = _check(tmp_path)
    assert answer.exit_code == 1
    assert "has not been heard of for 40 s; it was idle" in answer.output
    assert _check(tmp_path, "--max-age", "60").exit_code == 0


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"written": 5}', "\0"])
def test_odd_file_is_unhealthy(tmp_path: Path, text: str) -> None:
    """A file that is no heartbeat fails the check with a sentence."""
    (tmp_path / "health-5.json").write_text(text)
    answer = _check(tmp_path)
    assert answer.exit_code == 1
    assert "is no heartbeat of a worker" in answer.output


def test_no_worker_is_unhealthy(tmp_path: Path) -> None:
    """Without any file the check fails and names the settings that may differ."""
    answer = _check(tmp_path)
    assert answer.exit_code == 1
    assert "DIOPTRA_WORKER_WORK_DIR" in answer.output
    with pytest.raises(NoHeartbeat, match="No such file"):
        Heartbeat.read(tmp_path / "missing")


def test_the_living_of_several_workers(tmp_path: Path) -> None:
    """A dead worker's file does not hide the living; all of these must be well."""
    here = socket.gethostname()
    dead = _body(host=here, birth="long ago")
    heartbeat_file.write(tmp_path / "health-dead.json", dead)
    heartbeat_file.write(tmp_path / "health-one.json", _body())
    assert _check(tmp_path).exit_code == 0
    heartbeat_file.write(tmp_path / "health-two.json", _body())
    answer = _check(tmp_path)
    assert answer.exit_code == 0
    assert len(answer.output.splitlines()) == 2
    heartbeat_file.write(
        tmp_path / "health-two.json", _body(written="2020-01-01T00:00:00+00:00")
    )
    answer = _check(tmp_path)
    assert answer.exit_code == 1
    assert "has not been heard of" in answer.output
    assert _check(tmp_path, "--file", "health-one.json").exit_code == 0


def test_defaults_are_the_settings(tmp_path: Path) -> None:
    """The command, which does not import the settings, has the same defaults."""
    assert Settings(**REQUIRED).work_dir == default_work_dir()
    option = next(p for p in health_command.params if p.name == "file")
    assert option.default == _settings(tmp_path).health_file
    assert option.envvar == Settings.model_fields["health_file"].alias


@pytest.mark.process
def test_health_imports_nothing_heavy() -> None:
    """The check imports click and the standard library, no more."""
    code = (
        "import sys, dioptra_worker.cli.main, dioptra_worker.cli.health;"
        "print({name.partition('.')[0] for name in sys.modules}"
        " & {'rq', 'redis', 'mlflow', 'boto3', 'pydantic', 'pydantic_settings',"
        " 'requests', 'structlog', 'subprocess', 'socket'})"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout == "set()\n"
