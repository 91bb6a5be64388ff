"""Can every choice of a swap take the others' place?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.engine.wording import count, listing

if TYPE_CHECKING:
    from dioptra_worker.engine.issues import Report
    from dioptra_worker.engine.model import Entrypoint, Swap


def check_swaps(entrypoint: Entrypoint, report: Report) -> None:
    """Report doubled swap names, and choices whose outputs are not interchangeable."""
    seen: dict[str, str] = {}
    for step in entrypoint.steps.values():
        if step.swap is None:
            continue
        first = seen.setdefault(step.swap.name, step.name)
        if first != step.name:
            message = f"Swap {step.swap.name!r} is in step {first!r} and in step"
            message += f" {step.name!r}. Rename one, since a job chooses by that name."
            report.error(message, step.swap.path)
        _check_outputs(step.swap, entrypoint, report)


def check_chosen(entrypoint: Entrypoint, report: Report) -> None:
    """Report swaps that leave a choice open, as a job's configuration must not."""
    for step in entrypoint.steps.values():
        if step.swap and len(step.swap.choices) > 1:
            choices = listing(list(step.swap.choices), "or")
            message = f"Swap {step.swap.name!r} of step {step.name!r} is still open:"
            message += f" choose {choices} when creating the job."
            report.error(message, step.swap.path)


def _check_outputs(swap: Swap, entrypoint: Entrypoint, report: Report) -> None:
    """Each choice must have as many outputs as the swap names, of the same types."""
    first: tuple[str, list[str]] | None = None
    for alias, invocation in swap.choices.items():
        task = entrypoint.tasks.get(invocation.task)
        if task is None:
            continue
        types = [output.type for output in task.outputs]
        message = (
            f"Choice {alias!r} of swap {swap.name!r} calls task {task.name!r} with"
        )
        if len(types) != len(swap.outputs):
            names = f" {listing(swap.outputs)}" if swap.outputs else ""
            message += (
                f" {count(len(types), 'output')}, but the swap's '?outputs' names"
            )
            message += (
                f" {count(len(swap.outputs), 'output')}{':' if names else ''}{names}."
            )
            report.error(message, invocation.path)
            continue
        first = first or (alias, types)
        if types != first[1]:
            message += f" outputs of type {listing(types)}, but choice {first[0]!r} has"
            message += f" {listing(first[1])}. They must be the same."
            report.error(message, invocation.path)
