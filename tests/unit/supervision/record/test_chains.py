"""The chains of a job's log and metrics."""

from __future__ import annotations

import math

from dioptra_worker.protocol.messages import Log, Metric
from dioptra_worker.provenance.chain import chained, log_record, metric_record
from dioptra_worker.supervision.record.chains import (
    LogChain,
    MetricChains,
    completed,
    log_facts,
)


def line(number: int, text: str = "words") -> Log:
    """A line with its time."""
    return Log(severity="INFO", logger="stdout", message=f"2026-01-0{number}Z {text}")


def digest(*lines: Log, start: str = "") -> str:
    """The chain of some lines."""
    records = (log_record(it.severity, it.logger, it.message) for it in lines)
    return chained(records, start)


def test_a_log_is_one_segment() -> None:
    """What one worker writes has one digest, and the times of its ends."""
    chain = LogChain(worker="w", attempt=1)
    assert log_facts(chain.segments()).lines == 0
    chain.add(line(1))
    chain.add(line(2))
    (segment,) = chain.segments()
    assert segment.chain == digest(line(1), line(2))
    assert (segment.lines, segment.first, segment.last) == (
        2,
        "2026-01-01Z",
        "2026-01-02Z",
    )


def test_a_successor_goes_on_where_it_broke() -> None:
    """A second worker has a segment of its own, which begins with the first one's."""
    first = LogChain(worker="w", attempt=1)
    first.add(line(1))
    second = LogChain(worker="v", attempt=2, before=first.segments())
    second.add(line(3))
    facts = log_facts(second.segments())
    assert [it.worker for it in facts.segments] == ["w", "v"]
    assert facts.segments[1].previous == digest(line(1))
    assert facts.chain == digest(line(1), line(3))
    assert facts.lines == 2


def test_lines_that_a_lost_worker_had_yet_to_add_are_added_once() -> None:
    """What lies in its journal is in the chain, whether it had come to that or not."""
    chain = LogChain(worker="w", attempt=1)
    chain.add(line(1))
    chain.add(line(2))
    whole = completed(chain.segments(), [line(2), line(3)])
    assert whole[-1].chain == digest(line(1), line(2), line(3))
    assert completed((), [line(1)]) == ()


def test_a_metric_is_what_the_api_keeps_of_it() -> None:
    """Each point is in the chain; of those of one step the last one is kept."""
    chains = MetricChains()
    points: list[tuple[str, float | str, int | None]] = [
        ("a", 1.0, 1),
        ("b", "nan", None),
        ("a", 2.0, 0),
        ("a", 3.0, 1),
    ]
    for name, value, step in points:
        chains.add(Metric(name=name, value=value, step=step))
    chains.add_direct("c", 4)
    chains.add_direct("a", 1)
    facts = chains.facts()
    assert facts.points == 4
    assert facts.chain == chained(metric_record(*point) for point in points)
    assert (facts.names["a"].points, facts.names["a"].steps) == (3, 2)
    kept = [metric_record("a", 2.0, 0), metric_record("a", 3.0, 1)]
    assert facts.names["a"].kept == chained(kept)
    assert facts.names["b"].kept == chained([metric_record("b", math.nan, 0)])
    assert (facts.names["c"].points, facts.names["c"].direct) == (0, 4)
    assert facts.names["a"].direct == 1
