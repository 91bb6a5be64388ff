"""Whether jobs wait for imports that the worker could have made before they came."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.common.text.humanize import some_of
from dioptra_worker.daemon.learning.import_costs import learned
from dioptra_worker.daemon.learning.preloading import worth
from dioptra_worker.runner.late_variables import READ_AT_IMPORT
from dioptra_worker.tools.doctor.finding import Finding, ok, warn

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

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
    found = [
        cost
        for cost in kept.of(queues)
        if is_worth(cost) and not _is_preloaded(cost.module, settings.preload_names)
    ][:MAX_NAMED]
    if settings.learns:
        yield ok(NAME, _learned(worth(kept, queues), kept.excluded))
        return
    if not found:
        yield ok(NAME, "jobs have waited for none that is worth preloading")
        return
    words = (f"{c.module} ({c.mean:.1f} s, {c.jobs} jobs)" for c in found)
    names = [cost.module for cost in found]
    yield warn(
        NAME,
        f"jobs have waited for {', '.join(words)}",
        f"DIOPTRA_WORKER_PRELOAD={','.join([*settings.preload_names, *names])} has them"
        f" imported once for all jobs{''.join(_read_once(names))}",
    )


def _learned(modules: Sequence[str], excluded: Mapping[str, str]) -> str:
    """What a worker that learns does with what is kept."""
    words = f"imported before jobs come: {some_of(modules, MAX_NAMED) or 'nothing yet'}"
    reasons = [f"{name}, whose import {why}" for name, why in excluded.items()]
    return f"{words}; left out: {'; '.join(reasons[:MAX_NAMED])}" if reasons else words


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
