"""A job's journal: one owner at a time, found by the next when that one is gone."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from dioptra_worker.broker.records import PendingStatus
from dioptra_worker.daemon.outbox.item_store import ItemStore
from dioptra_worker.daemon.outbox.journal import Journal, Journals
from dioptra_worker.protocol.messages import ArtifactStored, Log, Metric, RunStarted

if TYPE_CHECKING:
    from pathlib import Path

    from dioptra_worker.daemon.outbox.items import Result

API = "http://api.test"
SOON = 30.0


def _journals(folder: Path, api: str = API) -> Journals:
    return Journals(folder, api=api)


def _open(folder: Path, *, attempt: int = 1, job_id: int = 7) -> Journal:
    found = _journals(folder).open(
        job_id=job_id, experiment_id=3, attempt=attempt, worker="me"
    )
    assert found is not None
    return found


def _record(text: str) -> Log:
    return Log(severity="INFO", logger="stdout", message=text)


def _left(folder: Path, job_id: int = 7) -> list[str]:
    """The log of a job that can be taken over now."""
    texts = []
    for journal in _journals(folder).orphaned(job_id):
        with journal:
            reading = journal.log.read(journal.log.acked, most=999, weight=1 << 20)
            texts += [record.message for _, record in reading.items]
    return texts


def _make_one(folder: Path, *texts: str, job_id: int = 7) -> None:
    with _open(folder, job_id=job_id) as journal:
        for text in texts:
            journal.log.put(_record(text))


def test_left_and_taken_over(tmp_path: Path) -> None:
    """What a worker leaves is there for another, lone surrogates and all."""
    results: list[Result] = [
        RunStarted(run_id="abc"),
        Metric(name="loss", value="nan", step=None),
        ArtifactStored(name="a", uri="s3://b/a", plugin_snapshot_id=1, task_id=2),
    ]
    with _open(tmp_path) as journal:
        journal.log.put(_record("a\nb \udcff <b> \0"))
        for result in results:
            journal.results.put(result)
    assert _journals(tmp_path).orphaned_jobs() == {7}
    with _open(tmp_path, attempt=2) as again:
        assert again.about.attempt == 1
        assert again.waiting == 4
        (line,) = again.log.read(0, most=9, weight=999).items
        assert line == (1, _record("a\nb \udcff <b> \0"))
        found = again.results.read(0, most=9, weight=999).items
        assert [item for _, item in found] == results


def test_owned(tmp_path: Path) -> None:
    """A journal whose owner lives is nobody else's, in this process or another."""
    with _open(tmp_path) as journal:
        journal.log.put(_record("mine"))
        assert _left(tmp_path) == []
        with _open(tmp_path) as other:
            assert other.waiting == 0
    assert _left(tmp_path) == ["mine"]


@pytest.mark.process
def test_owner_killed(tmp_path: Path) -> None:
    """What a process said before it was killed is there, without any farewell."""
    code = (
        "import sys, time; from pathlib import Path\n"
        "from dioptra_worker.daemon.outbox.journal import Journals\n"
        "from dioptra_worker.protocol.messages import Log\n"
        f"journals = Journals(Path(sys.argv[1]), api={API!r})\n"
        "made = journals.open(job_id=7, experiment_id=3, attempt=1, worker='dies')\n"
        "with made as journal:\n"
        "    for number in range(100):\n"
        "        journal.log.put(Log(severity='INFO', logger='stdout',"
        " message=str(number)))\n"
        "    time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    try:
        deadline = time.monotonic() + SOON
        while not any(b'"99"' in p.read_bytes() for p in tmp_path.glob("*/*/log.*")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert _left(tmp_path) == []
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert _left(tmp_path) == [str(number) for number in range(100)]


def test_killed_while_it_is_handed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose a journal is, is written in one step, and read whenever its owner dies."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with _open(tmp_path) as journal:
        journal.log.put(_record("a line"))
        journal.record_run("a" * 32)
        journal.flush()
        monkeypatch.setattr(os, "ftruncate", killed)
        with contextlib.suppress(KeyboardInterrupt):
            journal.hand_over(attempt=2, worker="you")
    with _open(tmp_path) as again:
        assert (again.about.attempt, again.about.run_id) == (2, "")
        assert again.log.waiting == 1


def test_removed_when_empty(tmp_path: Path) -> None:
    """Nothing stays of a journal all of which was delivered."""
    with _open(tmp_path) as journal:
        journal.log.put(_record("a line"))
        journal.flush()
        journal.log.ack(1)
    assert list((tmp_path / "outbox").iterdir()) == []


def test_end(tmp_path: Path) -> None:
    """An end that the API was not told is kept, whatever else was delivered."""
    end = PendingStatus(7, 3, "failed", "why \udcff")
    with _open(tmp_path) as journal:
        journal.record_final_status(end)
    assert _journals(tmp_path).final_status_of(7, attempt=1) == end
    assert _journals(tmp_path).final_status_of(7, attempt=2) == end
    # Another attempt was begun after it, elsewhere: it is that one's end that counts.
    assert _journals(tmp_path).final_status_of(7, attempt=3) is None
    assert _journals(tmp_path).final_status_of(8, attempt=1) is None
    with _open(tmp_path) as again:
        assert again.final_status == end
        again.ack_final_status()
    assert _journals(tmp_path).final_status_of(7, attempt=1) is None
    assert list((tmp_path / "outbox").iterdir()) == []


def test_an_end_is_kept_after_all_before_it(tmp_path: Path) -> None:
    """Whoever finds how a job ended finds its whole log, however soon after that."""
    journal = _open(
        tmp_path / "work"
    )  # its thread does not run yet, and writes nothing
    journal.log.put(_record("the last line"))
    journal.record_final_status(PendingStatus(7, 3, "failed", "why"))
    shutil.copytree(tmp_path / "work", tmp_path / "after a power cut")
    with journal:
        journal.discard()
    assert _left(tmp_path / "after a power cut") == ["the last line"]


def test_an_end_that_cannot_be_removed(tmp_path: Path) -> None:
    """A disk that refuses to forget a job's end keeps nobody from going on."""
    with _open(tmp_path) as journal:
        folder = next((tmp_path / "outbox").glob("job-7-*"))
        (folder / "end.json").mkdir()
        journal.ack_final_status()
        assert journal.final_status is None


def test_handed_over(tmp_path: Path) -> None:
    """To the next attempt the log is handed over, not the results or the end."""
    with _open(tmp_path) as journal:
        journal.log.put(_record("a line"))
        journal.results.put(RunStarted(run_id="abc"))
        journal.record_final_status(PendingStatus(7, 3, "failed", "why"))
    with _open(tmp_path, attempt=2) as again:
        again.hand_over(attempt=2, worker="a worker with a longer name")
        assert (again.log.waiting, again.results.waiting, again.final_status) == (
            1,
            0,
            None,
        )
    with _open(tmp_path, attempt=3) as third:
        assert third.about.attempt == 2
        assert third.about.worker == "a worker with a longer name"
        third.hand_over(attempt=3, worker="w")
    with _open(tmp_path, attempt=4) as fourth:
        assert (fourth.about.attempt, fourth.about.worker) == (3, "w")
        fourth.results.put(RunStarted(run_id="abc"))
        fourth.discard()
        assert fourth.waiting == 0
    assert list((tmp_path / "outbox").iterdir()) == []


def test_other_platform(tmp_path: Path) -> None:
    """A job of another API that has the same number is another job."""
    _make_one(tmp_path, "a line")
    other = _journals(tmp_path, "http://other.test")
    assert list(other.orphaned(7)) == []
    made = other.open(job_id=7, experiment_id=3, attempt=1, worker="me")
    assert made is not None
    with made:
        assert made.waiting == 0
    assert _left(tmp_path) == ["a line"]


def test_private(tmp_path: Path) -> None:
    """Journals are for their owner's eyes only, whatever the umask."""
    before = os.umask(0)
    try:
        with _open(tmp_path / "work") as journal:
            journal.log.put(_record("a line"))
            journal.log.put(_record("another"))
            journal.flush()
            journal.log.ack(1)
            journal.record_final_status(PendingStatus(7, 3, "failed", "why"))
    finally:
        os.umask(before)
    modes = {
        (path.is_dir(), stat.S_IMODE(path.stat().st_mode))
        for path in (tmp_path / "work", *(tmp_path / "work").rglob("*"))
    }
    assert modes == {(True, 0o700), (False, 0o600)}


def test_half_made(tmp_path: Path) -> None:
    """What was half made or removed when a worker was lost goes after an hour."""
    outbox = tmp_path / "outbox"
    for name in ("making-old", "making-new", "removing-job-7-old"):
        (outbox / name).mkdir(parents=True)
        (outbox / name / "file").touch()
    for name in ("making-old", "removing-job-7-old"):
        os.utime(outbox / name, (0, 0))
    journals = _journals(tmp_path)
    assert journals.orphaned_jobs() == set()
    journals.remove_stale()
    assert [path.name for path in outbox.iterdir()] == ["making-new"]


def test_never_deliverable(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A journal that nobody could deliver for a month goes, unless somebody has it."""
    _make_one(tmp_path, "for another platform", job_id=7)
    _make_one(tmp_path, "of today", job_id=8)
    with _open(tmp_path, job_id=9) as owned:
        owned.log.put(_record("still at work"))
        owned.flush()
        (tmp_path / "outbox" / "job-6-whose").mkdir()
        for old in ("job-6-*", "job-7-*", "job-9-*"):
            (folder,) = tmp_path.glob(f"outbox/{old}")
            for path in (folder, *folder.iterdir()):
                os.utime(path, (0, 0))
        _journals(tmp_path, "http://elsewhere.test").remove_stale()
        names = sorted(path.name for path in (tmp_path / "outbox").iterdir())
        assert [name.split("-")[1] for name in names] == ["8", "9"]
    assert "nobody could deliver job-7-" in caplog.text


def test_damaged(tmp_path: Path) -> None:
    """A journal that does not say whose it is is left alone."""
    _make_one(tmp_path, "a line")
    (about,) = tmp_path.glob("outbox/*/about.json")
    about.write_text("{")
    assert _left(tmp_path) == []


def test_no_place(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where no journal can be made a job goes on without, and that is said."""
    (tmp_path / "outbox").write_text("a file is in the way")
    made = _journals(tmp_path).open(job_id=7, experiment_id=3, attempt=1, worker="me")
    assert made is None
    events = [getattr(record, "event", "") for record in caplog.records]
    assert events == ["outbox-not-kept"]


def test_half_made_when_the_disk_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a journal whose items have no place nothing stays, not even its name."""

    def refuse(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(ItemStore, "_open", refuse)
    made = _journals(tmp_path).open(job_id=7, experiment_id=3, attempt=1, worker="me")
    assert made is None
    assert list((tmp_path / "outbox").iterdir()) == []


def test_of_an_earlier_version(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a journal with items in text files the end is delivered, the rest refused."""
    end = PendingStatus(7, 3, "failed", "why")
    with _open(tmp_path) as journal:
        journal.record_final_status(end)
    (folder,) = tmp_path.glob("outbox/job-7-*")
    for path in folder.glob("*.sqlite"):
        path.unlink()
    (folder / "log-000000000001").write_bytes(b'1 {"is": "Log"}\n')
    (folder / "log.settled").write_bytes(b"000000000000")
    with _open(tmp_path) as again:
        assert (again.final_status, again.waiting) == (end, 0)
        again.ack_final_status()
    assert list((tmp_path / "outbox").iterdir()) == []
    assert "is of an earlier version" in caplog.text
