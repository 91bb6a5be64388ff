"""Runs a capsule's job again and again, for the commands that do."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from dioptra_worker.cli.capsule.common import kept_runs, prepare_to_run, run_once
from dioptra_worker.cli.capsule.repeatability import Report
from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.common.text.printable import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from dioptra_worker.tools.capsule.opening import Capsule
    from dioptra_worker.tools.capsule.repetition.kept_runs import KeptRun, KeptRuns
    from dioptra_worker.tools.capsule.repetition.repeating import Cause, Repeatability

_TRIES = 3
"""Runs for each of what may make results differ, once they do."""


def repeat_capsule(
    capsule: Capsule, store: Path, *, runs: int, anew: bool = False
) -> Report:
    """Run a capsule's job so often, but for what was run before; find out what differs.

    Args:
        capsule: The capsule, whose files were checked.
        store: The folder to keep the runs in.
        runs: How often.
        anew: Whether to pass over what was run before.
    """
    from dioptra_worker.tools.capsule.repetition.repeating import (
        not_fixed,
        repeatability,
    )

    prepare_to_run()
    kept = kept_runs(capsule, store)
    if anew:
        kept.forget()
    made = _run(capsule, store, kept, count=runs)
    failed = {f"run {n}": run.reason for n, run in enumerate(made, 1) if run.reason}
    finished = [run.evaluation for run in made if not run.reason]
    found: Repeatability | None = repeatability(finished) if finished else None
    cause = ""
    if found is not None and not found.is_identical:
        cause = _found_out(capsule, store, kept)
    return Report(
        runs=runs,
        found=found,
        failed=failed,
        cause=cause,
        not_fixed=not_fixed([capsule.manifest]),
    )


def _found_out(capsule: Capsule, store: Path, kept: KeptRuns) -> str:
    """What makes the results differ: what is left open is fixed, all of it, then each.

    Returns:
        The cause in words.
    """
    from dioptra_worker.tools.capsule.repetition.repeating import (
        NONE_OF_THEM,
        TOGETHER,
        open_causes,
        repeatability,
    )

    def is_cured_by(cause: Cause) -> bool:
        more = _run(capsule, store, kept, count=_TRIES, cause=cause)
        if any(run.reason for run in more):
            return False
        return repeatability([run.evaluation for run in more]).is_identical

    if not is_cured_by(TOGETHER):
        return NONE_OF_THEM
    for cause in open_causes([capsule.manifest]):
        if is_cured_by(cause):
            return cause.words
    return TOGETHER.words


def _run(
    capsule: Capsule,
    store: Path,
    kept: KeptRuns,
    *,
    count: int,
    cause: Cause | None = None,
) -> list[KeptRun]:
    """So many runs, those before included; ends the command when it is interrupted."""
    from dioptra_worker.tools.capsule.repetition.kept_runs import KeptRun
    from dioptra_worker.tools.capsule.replay.replaying import recorded_seed

    fixed = cause.words if cause is not None else ""
    made = kept.read(fixed)[:count]
    if made and cause is None:
        words = f"{len(made)} of {count} runs are there already, in"
        click.echo(f"{words} {one_line(str(store))}: --anew runs them again", err=True)
    for number in range(len(made) + 1, count + 1):
        seed = recorded_seed(capsule.manifest) or 0
        replayed, interrupted = run_once(
            capsule,
            store,
            fixed=cause.variables if cause is not None else {},
            seed=seed if cause is not None and cause.seeded else None,
        )
        if interrupted:
            words = f"interrupted in run {number} of {count}"
            click.echo(f"{words}: the same command again goes on from there", err=True)
            sys.exit(ExitCode.INTERRUPTED)
        run = KeptRun.of(replayed, fixed)
        kept.add(run)
        made.append(run)
    return made
