"""One line for a metric, for authors of plugins."""

from __future__ import annotations

from typing import Any

from dioptra_worker.protocol import metric_rules
from dioptra_worker.sdk.worker import spawned_children

__all__ = ["log_metric"]


def log_metric(name: str, value: Any, step: int | None = None) -> None:
    """Report a metric of the running job.

    In a job the worker delivers it, also when the REST API is away just now; in
    ``dioptra-worker run`` and the pytest fixture it is in the result. Where a test
    calls a task by itself, nobody is told, and only what is wrong with it is raised.

    Args:
        name: Letters, digits and underscores, not beginning with a digit, 250 at most.
        value: One real number of any type, a scalar of NumPy or PyTorch included, also
            NaN and the infinities; it is kept as a float of 64 bits, in your unit.
        step: Where in the series, such as the epoch, an integer of 64 bits; 0 when not
            given. A name and step that were there already are overwritten.

    Raises:
        ValueError: The REST API would refuse it.
    """
    wire, place = metric_rules.wire_value(value), metric_rules.wire_step(step)
    problem = metric_rules.name_problem(name) or metric_rules.value_problem(wire)
    if problem is not None:
        raise ValueError(problem)
    running = spawned_children.attach()
    if running is not None:
        running.append_metric(name, float(wire), place)
