"""Reading a log: its sections, its times, and how it is followed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from tests.unit.tools.jobs.dioptra import NOON, Dioptra

from dioptra_worker.api.models import LogLine
from dioptra_worker.errors import NotFound, ServiceUnavailable
from dioptra_worker.tools.jobs.job_log import LogSections
from dioptra_worker.tools.jobs.log_follow import follow, read

OURS = [
    ("dioptra_worker", "worker 'w' runs entrypoint 'e'"),
    ("dioptra_worker.job", "step 1 of 2: 'load' runs task 'read'"),
    ("tasks", "step 2 of 2: 'no' runs task 'step'"),
    ("dioptra_worker.job", "step 2 of 2: \"it's\" runs task 'train'"),
    ("stdout", "the job finished"),
    ("dioptra_worker", "the job failed: it was stopped"),
    ("dioptra_worker", "worker 'w2' runs entrypoint 'e'"),
]


def _log_line(logger: str, message: str) -> LogLine:
    return LogLine(severity="INFO", logger=logger, message=message, stored=NOON)


def test_sections() -> None:
    """The worker's own records divide a log by its steps; nobody else's do."""
    entries = list(LogSections().assign(_log_line(*line) for line in OURS))
    assert [(entry.section.title, entry.section.step) for entry in entries] == [
        ("Preparation", None),
        ("Step 1 of 2: load (read)", "load"),
        ("Step 1 of 2: load (read)", "load"),
        ("Step 2 of 2: it's (train)", "it's"),
        ("Step 2 of 2: it's (train)", "it's"),
        ("End", None),
        ("Preparation of another attempt", None),
    ]
    assert [entry.number for entry in entries] == list(range(7))
    assert [entry.origin for entry in entries] == [
        *("worker", "worker", "job", "worker", "job", "worker", "worker")
    ]


@pytest.mark.parametrize("logger", ["runner", "runner.job", "dioptra_worker2", "x"])
def test_a_job_begins_no_section_of_ours(logger: str) -> None:
    """What a job says is the job's, and begins neither a step nor the end."""
    texts = ["step 1 of 2: 'load' runs task 'read'", "the job finished"]
    entries = list(LogSections().assign(_log_line(logger, text) for text in texts))
    assert {entry.section.title for entry in entries} == {"Preparation"}
    assert {entry.origin for entry in entries} == {"job"}


@pytest.mark.parametrize(
    "text",
    [
        "Running step: load",
        "[info     ] Running step: load                [dioptra.task_engine]",
    ],
)
def test_sections_of_the_platforms_worker(text: str) -> None:
    """The log of the platform's own worker has sections, too."""
    entries = list(LogSections().assign([_log_line("dioptra.task_engine", text)]))
    assert entries[0].section.step == "load"


def test_time() -> None:
    """The time is when it was written, or else when the API got it."""
    stamped, plain = LogSections().assign(
        [_log_line("x", "2026-01-01T11:59:58.5Z hi"), _log_line("x", "hello")]
    )
    assert stamped.at == datetime(2026, 1, 1, 11, 59, 58, 500000, tzinfo=UTC)
    assert (stamped.text, plain.text) == ("hi", "hello")
    assert plain.at == NOON


def test_severity() -> None:
    """A record counts for its own severity and those below, an unknown one always."""
    line = LogLine(severity="WARNING", logger="x", message="")
    (entry,) = LogSections().assign([line])
    assert entry.is_at_least("INFO")
    assert entry.is_at_least("WARNING")
    assert not entry.is_at_least("ERROR")
    (other,) = LogSections().assign([LogLine(severity="TRACE", logger="x", message="")])
    assert other.is_at_least("CRITICAL")


def test_follow() -> None:
    """A log is followed across an API that is away, each record told once."""
    dioptra = Dioptra()
    dioptra.put(1, ("queued", 0), ("started", 1))
    dioptra.logs[1] = [("INFO", "x", "one")]
    waits: list[ServiceUnavailable] = []
    ends: list[str] = []
    rounds = 0

    def sleep(_seconds: float) -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            dioptra.logs[1].append(("INFO", "x", "two &lt;script&gt;"))
            dioptra.away = 2
        if rounds == 4:
            dioptra.logs[1].append(("INFO", "x", "three"))
            dioptra.put(1, ("queued", 0), ("started", 1), ("failed", 2))

    with dioptra.running() as (client, _):
        entries = list(
            follow(client, 1, on_wait=waits.append, on_end=ends.append, sleep=sleep)
        )
    assert [entry.text for entry in entries] == ["one", "two <script>", "three"]
    assert [entry.number for entry in entries] == [0, 1, 2]
    assert len(waits) == 1
    assert ends == ["failed"]


def test_the_last_lines() -> None:
    """What came between the last look at the log and the end is told."""
    dioptra = Dioptra()
    dioptra.put(1, ("queued", 0), ("started", 1))

    def sleep(_seconds: float) -> None:
        dioptra.logs[1] = [("INFO", "x", "last words")]
        dioptra.put(1, ("queued", 0), ("started", 1), ("finished", 2))

    with dioptra.running() as (client, _):
        assert [e.text for e in follow(client, 1, sleep=sleep)] == ["last words"]


def test_no_such_job() -> None:
    """Of a job that is not there no log is empty; there is none."""
    with Dioptra().running() as (client, _):
        with pytest.raises(NotFound):
            read(client, 9)
        with pytest.raises(NotFound):
            list(follow(client, 9))


@pytest.mark.parametrize(
    "stamp", ["2026-99-99T00:00:00Z", "2026-02-30T00:00:00Z", "٢٠٢٦-01-01T00:00:00Z"]
)
def test_a_time_that_there_is_not(stamp: str) -> None:
    """A job may write what it likes; that is then text, and the log can be read."""
    stored = datetime(2026, 1, 1, tzinfo=UTC)
    line = LogLine(severity="INFO", logger="x", message=f"{stamp} hello", stored=stored)
    (entry,) = LogSections().assign([line])
    assert (entry.at, entry.text) == (stored, f"{stamp} hello")
