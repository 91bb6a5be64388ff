"""How many metric points a job gives to MLflow itself, past the worker.

They are counted once MLflow has acknowledged them, so that what is missing later is
missing though it was said to be there.
"""

from __future__ import annotations

import functools
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

from mlflow.store.tracking.rest_store import RestStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_lock = threading.Lock()
_counts: Counter[str] = Counter()
_watched: list[str] = []
"""The run whose points are counted; none until there is one."""


def watch(run_id: str) -> None:
    """Count points of a run from now on, in this process."""
    if not _watched:
        RestStore.log_metric = _counting(RestStore.log_metric, _of_one)
        RestStore.log_batch = _counting(RestStore.log_batch, _of_batch)
    _watched[:] = [run_id]


def counts() -> dict[str, int]:
    """How many points there were of each metric."""
    with _lock:
        return dict(_counts)


def _of_one(_run_id: str, metric: Any, *_: Any, **_more: Any) -> Iterable[Any]:
    return [metric]


def _of_batch(
    _run_id: str, metrics: Iterable[Any] = (), *_: Any, **_more: Any
) -> Iterable[Any]:
    return metrics


def _counting(
    function: Callable[..., Any], points: Callable[..., Iterable[Any]]
) -> Callable[..., Any]:
    """A function of MLflow's store that counts what it was given."""

    @functools.wraps(function)
    def counted(self: Any, run_id: str, *arguments: Any, **options: Any) -> Any:
        answer = function(self, run_id, *arguments, **options)
        if run_id in _watched:
            try:
                found = [it.key for it in points(run_id, *arguments, **options) or ()]
            except (AttributeError, TypeError):  # another version of MLflow's client
                found = []
            with _lock:
                _counts.update(found)
        return answer

    return counted
