"""How far results lie apart is told in one way, wherever the runs were."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.common.text.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dioptra_worker.tools.capsule.repetition.repeating import Repeatability, Spread

_ENOUGH = 2
"""Runs that can be compared."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What is told of several runs.

    Attributes:
        runs: How many were wanted.
        found: What came of those that finished; None if none has.
        failed: Why the others failed, by what they are called.
        cause: What likely made results differ; empty if they do not.
        not_fixed: What was not the same in all runs, or was so by chance.
        note: A sentence for people, which comes last.
        without_artifacts: Runs of whose artifacts no digests are known.
        more: What else JSON has.
    """

    runs: int
    found: Repeatability | None
    failed: Mapping[str, str]
    cause: str
    not_fixed: Sequence[str]
    note: str = ""
    without_artifacts: Sequence[str] = ()
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_identical(self) -> bool:
        """Whether all runs finished, and gave the same, bit by bit."""
        return (
            self.found is not None
            and self.found.runs == self.runs
            and self.found.is_identical
            and not self.without_artifacts
        )

    def tell(self, *, as_json: bool) -> ExitCode:
        """Print it; what the command ends with."""
        if as_json:
            click.echo(json.dumps(self._document(), indent=2))
        else:
            self._say()
        return ExitCode.OK if self.is_identical else ExitCode.FAILED

    def _document(self) -> dict[str, Any]:
        found = self.found
        return {
            **self.more,
            "runs": self.runs,
            "finished": 0 if found is None else found.runs,
            "failed": dict(self.failed),
            "identical": self.is_identical,
            "metrics": [] if found is None else [_metric(it) for it in found.metrics],
            "artifacts": None
            if found is None or self.without_artifacts
            else dict(found.versions),
            "cause": self.cause,
            "not_fixed": list(self.not_fixed),
        }

    def _say(self) -> None:
        for name, reason in self.failed.items():
            click.echo(f"{name} failed: {one_line(reason)}", err=True)
        if self.failed:
            click.echo(f"{len(self.failed)} of {self.runs} runs failed", err=True)
        found = self.found
        if found is None:
            return
        for one in found.metrics:
            name = one_line(one.name)
            click.echo(f"metric {name} at step {one.step}: {_words(one, found.runs)}")
        for path, count in found.versions.items():
            words = "identical" if count == 1 else f"{count} versions"
            click.echo(f"artifact {one_line(path)}: {words}")
        if self.without_artifacts:
            names = ", ".join(self.without_artifacts)
            words = f"artifacts are not compared: {names} left no manifest"
            click.echo(words, err=True)
        if found.runs < _ENOUGH:
            click.echo("there are no two runs that could be compared", err=True)
            return
        if found.is_identical:
            left = "" if found.runs == self.runs else " that finished"
            click.echo(f"identical in all {found.runs} runs{left}, bit by bit")
        else:
            words = f"the results differ; likely by {self.cause}"
            click.echo(one_line(words), err=True)
        if self.note:
            click.echo(self.note)


def _metric(one: Spread) -> dict[str, Any]:
    return {
        "name": one.name,
        "step": one.step,
        "values": [it if math.isfinite(it) else repr(it) for it in one.values],
        "identical": one.is_identical,
        "mean": _number(one.mean),
        "deviation": _number(one.deviation),
        "uncertainty": _number(one.uncertainty),
        "range": _number(one.extent),
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _words(one: Spread, runs: int) -> str:
    lacking = runs - len(one.values)
    there = f"; {lacking} of {runs} runs lack it" if lacking else ""
    if one.is_identical:
        return f"identical, {one.values[0]!r}{there}"
    return (
        f"mean {one.mean:.6g}, s {one.deviation:.3g}, s/sqrt(n) {one.uncertainty:.3g},"
        f" range {one.extent:.3g} (n = {len(one.values)}){there}"
    )
