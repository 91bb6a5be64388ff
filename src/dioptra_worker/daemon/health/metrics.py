"""The daemon's health as Prometheus reads it: its text format, version 0.0.4."""

from __future__ import annotations

import itertools
import platform
from typing import TYPE_CHECKING, get_args

from dioptra_worker import __version__
from dioptra_worker.common.outcome import Fate
from dioptra_worker.daemon.health.snapshot import BUCKETS, NEEDED, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dioptra_worker.daemon.health.snapshot import Durations, Snapshot

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "dioptra_worker"

Sample = tuple["Mapping[str, object]", float]
"""Labels and a value."""


def render(health: Snapshot) -> str:
    """All metrics; what is not known yet has no sample."""
    families = (
        _family(
            "build_info",
            "gauge",
            "The worker's version and its Python; always 1.",
            [({"version": __version__, "python": platform.python_version()}, 1)],
        ),
        _family(
            "start_time_seconds",
            "gauge",
            "When the daemon started, in seconds since the epoch.",
            [({}, health.started)],
        ),
        _family(
            "alive",
            "gauge",
            "Whether the main loop is where it should be.",
            [({}, health.alive)],
        ),
        _family(
            "state",
            "gauge",
            "What the daemon does: 1 for one state, 0 for the others.",
            [({"state": name}, name == health.state) for name in get_args(State)],
        ),
        _family(
            "state_since_seconds",
            "gauge",
            "Since when it has done that, in seconds since the epoch.",
            [({}, health.since)],
        ),
        _family(
            "trouble",
            "gauge",
            "Whether this machine lacks something that any job needs.",
            [({}, bool(health.trouble))],
        ),
        *_services(health),
        *_parked(health),
        *_jobs(health),
        *_imports(health),
    )
    return "".join(itertools.chain.from_iterable(families))


def _services(health: Snapshot) -> Iterable[list[str]]:
    names = sorted({*NEEDED, *health.contacts})
    yield _family(
        "waiting",
        "gauge",
        "Whether a service does not answer.",
        [({"service": name}, name in health.waiting_for) for name in names],
    )
    yield _family(
        "last_contact_timestamp_seconds",
        "gauge",
        "When a service last answered, in seconds since the epoch.",
        [
            ({"service": name}, contact.answered)
            for name, contact in sorted(health.contacts.items())
            if contact.answered is not None
        ],
    )
    yield _family(
        "outbox_depth",
        "gauge",
        "What the running job has for the API that is not delivered yet.",
        [({}, health.outbox)],
    )


def _parked(health: Snapshot) -> Iterable[list[str]]:
    jobs, seen = health.parked.jobs, health.parked.seen
    yield _family(
        "parked_jobs",
        "gauge",
        "Jobs of this worker's queues that are parked, whoever has parked them.",
        [({}, len(jobs))],
    )
    times: tuple[tuple[str, str, list[float]], ...] = (
        (
            "parked_since_seconds",
            "Since when the first of them is, in seconds since the epoch.",
            [seen - job.age for job in jobs],
        ),
        (
            "parked_given_up_seconds",
            "When the first of them is given up, in seconds since the epoch.",
            [seen + job.given_up_in for job in jobs if job.given_up_in is not None],
        ),
    )
    for name, text, moments in times:
        samples: list[Sample] = [({}, min(moments))] if moments else []
        yield _family(name, "gauge", text, samples)


def _jobs(health: Snapshot) -> Iterable[list[str]]:
    results = dict.fromkeys(get_args(Fate), 0) | dict(health.jobs)
    yield _family(
        "jobs_total",
        "counter",
        "Jobs that ended, by result.",
        [({"result": name}, count) for name, count in results.items()],
    )
    yield _histogram(
        "job_duration_seconds",
        "How long jobs took, from started to their last word.",
        health.durations,
    )
    for name, text, peak in (
        ("job_peak_memory_bytes", "the latest job", health.peaks.last),
        ("job_highest_peak_memory_bytes", "any job so far", health.peaks.highest),
    ):
        samples: list[Sample] = [] if peak is None else [({}, peak)]
        yield _family(name, "gauge", f"The most memory that {text} held.", samples)


def _imports(health: Snapshot) -> Iterable[list[str]]:
    found = sorted(health.imports.items())
    yield _family(
        "preload_seconds",
        "gauge",
        "How long a module's import took that no job has to wait for.",
        [({"module": each.module}, each.seconds) for each in health.preloaded],
    )
    yield _family(
        "preload_memory_bytes",
        "gauge",
        "By how much the fork server grew at that import.",
        [({"module": each.module}, each.memory) for each in health.preloaded],
    )
    yield _family(
        "job_imports_total",
        "counter",
        "Jobs that waited for the import of a module that was not preloaded.",
        [({"module": name}, imports.jobs) for name, imports in found],
    )
    yield _family(
        "job_import_seconds_total",
        "counter",
        "How long they waited for it.",
        [({"module": name}, imports.seconds) for name, imports in found],
    )
    saved = sorted(health.saved.items())
    yield _family(
        "job_imports_saved_total",
        "counter",
        "Jobs that had a module at once which the worker has learned to import.",
        [({"module": name}, imports.jobs) for name, imports in saved],
    )
    yield _family(
        "job_import_seconds_saved_total",
        "counter",
        "How long its import took that they did not wait for.",
        [({"module": name}, imports.seconds) for name, imports in saved],
    )
    yield _family(
        "preload_excluded",
        "gauge",
        "Modules that the worker has learned not to import beforehand, and why.",
        [
            ({"module": name, "reason": reason}, 1)
            for name, reason in sorted(health.excluded.items())
        ],
    )


def _histogram(name: str, text: str, durations: Durations) -> list[str]:
    bounds = [*(f"{bound:g}" for bound in BUCKETS), "+Inf"]
    sums = list(itertools.accumulate(durations.counts))
    samples = [
        ("_bucket", {"le": bound}, count)
        for bound, count in zip(bounds, sums, strict=True)
    ]
    return [
        *_head(name, "histogram", text),
        *(_line(name + suffix, labels, value) for suffix, labels, value in samples),
        _line(f"{name}_sum", {}, durations.total),
        _line(f"{name}_count", {}, sums[-1]),
    ]


def _family(name: str, kind: str, text: str, samples: Iterable[Sample]) -> list[str]:
    lines = [_line(name, labels, value) for labels, value in samples]
    return [*_head(name, kind, text), *lines] if lines else []


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {PREFIX}_{name} {text}\n", f"# TYPE {PREFIX}_{name} {kind}\n"]


def _line(name: str, labels: Mapping[str, object], value: float) -> str:
    inside = ",".join(f'{key}="{_escaped(str(text))}"' for key, text in labels.items())
    return f"{PREFIX}_{name}{'{' + inside + '}' if inside else ''} {_number(value)}\n"


def _number(value: float) -> str:
    return repr(float(value)) if value != int(value) else str(int(value))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
