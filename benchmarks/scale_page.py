"""The page about many slots and many workers, made of what was measured of few."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import plot, results, words
from benchmarks.page import RESULTS, circumstances, grid
from benchmarks.rivals import OURS
from benchmarks.scenarios import slots

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.results import Result

CURVE = "scale-slots.svg"
MANY = 1000
"""Workers on one queue, of which the page tells."""

_CURVE_TITLE = "Hello Worlds a second by slots, on services without limits"
_INTRODUCTION = """
# Many slots, many workers

How many jobs a second do many slots do, what is full first, and what would a thousand
workers on one queue do to Redis and to the REST API? Three things can be the limit:

- **A slot** has one job at a time. If a job takes *T* seconds on a worker with one slot
  and services that nobody else uses, *n* slots do at most *n / T* a second.
- **The processors** of the workers' machine. If the worker takes *p* seconds of the
  processor for a job, beside what the job's own code takes, *c* processors do at most
  *c / p* a second.
- **The services.** If the REST API works *a* seconds for a job's requests, one of its
  processes does at most *1 / a* a second; Redis, which uses one processor, *1 / r*.

What is measured: the real services do a Hello World, and their answers are kept with
the time that each took. Then ever more slots do copies of that job, on one process that
gives the same answers after the same times, and has no other limit; Redis is the real
one. `make bench ARGS='--only slots'` measures it again, and `make pages` writes this
page.
"""
_NOTHING = "Nothing has been measured yet on a machine that does nothing else."


@dataclass(frozen=True)
class Model:
    """What follows from what one job and one idle worker cost.

    Attributes:
        alone: Seconds that a job takes on one slot.
        worker: Seconds of the worker's processor time for a job.
        api: Seconds that the REST API works for a job.
        redis: Seconds of Redis' processor time for a job.
        cores: Processors of the machine.
    """

    alone: float
    worker: float
    api: float
    redis: float
    cores: int

    def rate(self, slots: int) -> float:
        """Jobs a second of so many slots on one machine, with services without end."""
        return min(slots / self.alone, self.cores / self.worker)

    @property
    def full_at(self) -> float:
        """How many slots fill the processors of one machine."""
        return self.cores * self.alone / self.worker


def page(folder: Path = RESULTS) -> str:
    """The page, for the results in a folder."""
    found = _found(folder)
    if found is None:
        return f"{_INTRODUCTION}\n{_NOTHING}\n"
    model = _model(found)
    parts = [
        _INTRODUCTION,
        "## The curve",
        f"![{_CURVE_TITLE}]({CURVE})",
        grid(["slots", "measured, jobs/s", "*n / T*", "*c / p*"], _curve(found, model)),
        _verdict(model),
        *(f"{it.title}:\n\n{grid(it.columns, it.rows)}" for it in found.tables),
        f"## {MANY:,} workers on one queue",
        _many(found, model),
        *found.notes,
        *circumstances(found, ""),
    ]
    return "\n\n".join(parts) + "\n"


def curve(folder: Path = RESULTS) -> str:
    """The plot of the jobs a second by slots."""
    found = _found(folder)
    rates = [] if found is None else _rates(found)
    bars = [
        plot.Bar(slots.name_of(number), rate, words.number(rate))
        for number, rate in rates
    ]
    return plot.linear(_CURVE_TITLE, bars)


def _found(folder: Path) -> Result | None:
    path = folder / f"{slots.SCENARIO.name}.json"
    return results.read(path) if path.exists() else None


def _value(result: Result, name: str) -> float | None:
    for measure in result.measures:
        if measure.name == name and (summary := measure.summary(OURS)):
            return summary.median
    return None


def _cost(result: Result, name: str) -> float:
    value = _value(result, name)
    assert value is not None, name
    return value


def _rates(result: Result) -> list[tuple[int, float]]:
    found = [(number, _value(result, slots.name_of(number))) for number in slots.SLOTS]
    return [(number, rate) for number, rate in found if rate is not None]


def _model(result: Result) -> Model:
    return Model(
        alone=1 / _rates(result)[0][1],
        worker=_cost(result, slots.WORKER_TIME),
        api=_cost(result, slots.API_TIME),
        redis=_cost(result, slots.REDIS_TIME),
        cores=result.about["machine"]["cores"],
    )


def _curve(result: Result, model: Model) -> list[list[str]]:
    full = words.number(model.cores / model.worker)
    return [
        [str(number), words.number(rate), words.number(number / model.alone), full]
        for number, rate in _rates(result)
    ]


def _verdict(model: Model) -> str:
    return (
        f"A job takes {words.number(model.alone)} s on one slot and"
        f" {1000 * model.worker:.0f} ms of the processor. So"
        f" {words.number(model.full_at)} slots fill the {model.cores} processors of"
        " this machine, on which Redis, and what stands in for the services, take their"
        " share, too. One process of the REST API, which works"
        f" {1000 * model.api:.0f} ms for a job, is full at"
        f" {words.number(1 / model.api)} jobs a second; Redis is at"
        f" {words.number(1 / model.redis)}."
    )


def _many(result: Result, model: Model) -> str:
    commands = _cost(result, slots.IDLE_COMMANDS)
    requests = _cost(result, slots.IDLE_REQUESTS)
    each = model.redis / _cost(result, slots.COMMANDS)
    idle, busy = MANY * commands / 60, MANY / model.alone
    full = 1 / model.api
    asked = MANY * requests + _cost(result, slots.QUEUE_REQUESTS)
    at_rest = (
        f"- **Idle**, each sends Redis {commands:.0f} commands a minute, those inside"
        f" scripts included, and the REST API {requests:.0f} requests. All together"
        f" that is {idle:,.0f} commands a second, {idle * each:.1%} of the one"
        f" processor that Redis uses, and {asked:,.0f} requests a minute, since of many"
        " workers one looks for lost jobs at a time. A job that is enqueued wakes few"
        " of them: two wait at the queue, the others are called."
    )
    at_work = (
        f"- **Busy**, they would do {busy:,.0f} jobs a second if nothing else were a"
        f" limit. Redis would need {busy * model.redis:,.1f} processors for that and"
        f" has one; the REST API {busy * model.api:,.0f} processes that do not wait for"
        " each other."
    )
    so = (
        f"- **So** one process of the REST API is the limit, at {full:.1f} jobs a"
        f" second: {full * model.alone:.1f} slots that do nothing but Hello Worlds keep"
        f" it full. A thousand do so with jobs of {MANY / full:,.0f} s each; with"
        " longer ones it has time to spare."
    )
    first = "Computed from what one worker does; each has one slot."
    return f"{first}\n\n{at_rest}\n{at_work}\n{so}"
