"""Whether jobs wait for imports that the worker could have made before they came."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.daemon.learning.import_costs import learned
from dioptra_worker.runner.late_variables import READ_AT_IMPORT
from dioptra_worker.tools.doctor.finding import Finding, ok, warn

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from dioptra_worker.daemon.learning.import_costs import ImportCost
    from dioptra_worker.settings import Settings

NAME = "imports"
WORTH_SECONDS = 0.1
"""Of each import; what takes less is not worth a word."""
WORTH_JOBS = 2
"""Jobs that have waited for it: what one job imports, no other may need."""
MAX_NAMED = 8


def check(settings: Settings, queues: Sequence[str]) -> Iterator[Finding]:
    """Check what jobs have waited for.

    Args:
        settings: Say where that is kept, and what is preloaded.
        queues: Whose jobs; none are all that workers of this folder have served.
    """
    kept = learned(settings.work_dir, key=settings.imports_key())
    costs = [
        cost
        for queue, of_queue in kept.items()
        if queue in queues or not queues
        for cost in of_queue
        if is_worth(cost) and not _is_preloaded(cost.module, settings.preload)
    ]
    costs.sort(key=lambda cost: cost.seconds, reverse=True)
    found = list({cost.module: cost for cost in reversed(costs)}.values())[::-1]
    found = found[:MAX_NAMED]
    if not found:
        yield ok(NAME, "jobs have waited for none that is worth preloading")
        return
    words = (f"{c.module} ({c.mean:.1f} s, {c.jobs} jobs)" for c in found)
    names = [cost.module for cost in found]
    yield warn(
        NAME,
        f"jobs have waited for {', '.join(words)}",
        f"DIOPTRA_WORKER_PRELOAD={','.join([*settings.preload, *names])} has them"
        f" imported once for all jobs{''.join(_read_once(names))}",
    )


def is_worth(cost: ImportCost) -> bool:
    """Whether jobs would be faster by more than anybody would notice."""
    return cost.mean >= WORTH_SECONDS and cost.jobs >= WORTH_JOBS


def _is_preloaded(module: str, preload: Collection[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for name in preload)


def _read_once(modules: Sequence[str]) -> Iterator[str]:
    for top in sorted({name.partition(".")[0] for name in modules}):
        if variables := READ_AT_IMPORT.get(top):
            names = " and ".join(variables)
            yield f"; {names}, which plugins may set, {top} reads then"
