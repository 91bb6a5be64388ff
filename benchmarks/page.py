"""The documentation's page and plots, made of the results and of nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import plot, results, words
from benchmarks.rivals import OURS, PEER
from benchmarks.scenarios import SCENARIOS
from dioptra_worker.tools.local.rest_api.peer import PEER_VERSION

if TYPE_CHECKING:
    from benchmarks.results import Result
    from benchmarks.scenario import Scenario

RESULTS = Path(__file__).with_name("results")
RATIOS = "benchmarks-ratios.svg"
SCALE = "benchmarks-scale.svg"
_BUSY = 0.25  # load for each core above which a machine is not quiet
_SCALE_SCENARIO = "scale"
_VERDICTS = {True: "yes", False: "**no**", None: words.NOTHING}

_RATIOS_TITLE = "The peer's value divided by ours: to the right of 1, ours is better"

_INTRODUCTION = f"""
# Benchmarks

Our worker beside the one of `dioptra-platform` {PEER_VERSION}, which is called *the
peer* here and has an environment of its own with all that it declares. Both run as the
platform's containers call them, in turn in one run, against the same real services: the
Dioptra REST API, Valkey, an MLflow server and an S3 endpoint. `make bench` measures it
all again.

A value is the median, with the quartiles and the number of values in brackets. What
counts is the ratio of two values of one run: the values themselves are those of one
machine, which also runs the services.

![{_RATIOS_TITLE}]({RATIOS})
"""


def page(folder: Path = RESULTS) -> str:
    """The page, for the results in a folder."""
    found = _found(folder)
    if not found:
        return f"{_INTRODUCTION}\nNothing has been measured yet.\n"
    usual = _place(found[0][1])
    sections = [_section(scenario, result, usual) for scenario, result in found]
    return "\n".join([_INTRODUCTION, f"{usual}\n", _targets(found), *sections])


def ratios(folder: Path = RESULTS) -> str:
    """The plot of all that was measured on both, where less is better."""
    bars = []
    for scenario, result in _found(folder):
        if scenario.name == _SCALE_SCENARIO:
            continue
        for measure in result.measures:
            ratio = measure.ratio(PEER, OURS)
            if ratio:
                label = measure.name
                if not label[0].isdigit():
                    label = f"{scenario.title}: {label}"
                text = f"{words.times(ratio)} ×"
                bars.append(plot.Bar(label, ratio, text, good=ratio >= 1))
    return plot.logarithmic(_RATIOS_TITLE, bars)


def throughput(folder: Path = RESULTS) -> str:
    """The plot of the jobs a second by slots and workers."""
    bars = []
    for scenario, result in _found(folder):
        if scenario.name != _SCALE_SCENARIO:
            continue
        for measure in result.measures:
            for who, good in ((PEER, False), (OURS, True)):
                if summary := measure.summary(who):
                    label = f"{who}: {measure.name}"
                    text = words.number(summary.median)
                    bars.append(plot.Bar(label, summary.median, text, good=good))
    return plot.linear("Hello Worlds a second", bars)


def _found(folder: Path) -> list[tuple[Scenario, Result]]:
    return [
        (scenario, results.read(path))
        for scenario in SCENARIOS
        if (path := folder / f"{scenario.name}.json").exists()
    ]


def _targets(found: list[tuple[Scenario, Result]]) -> str:
    rows = []
    for scenario, result in found:
        for target in result.targets:
            ratio = result.ratio_for(target)
            reached = None if ratio is None else target.is_reached_by(ratio)
            quotient = f"{target.above} / {target.below}"
            value = words.NOTHING if ratio is None else f"{quotient} = {ratio:.2f}"
            rows.append([scenario.title, target.text, value, _VERDICTS[reached]])
    head = ["Scenario", "Target", "Measured", "Reached"]
    return f"## Targets\n\n{grid(head, rows)}\n"


def _section(scenario: Scenario, result: Result, usual: str) -> str:
    columns = words.columns(result)
    parts = [
        f"## {scenario.title}",
        scenario.question,
        grid(["", *columns], words.rows(result, columns)),
    ]
    if scenario.name == _SCALE_SCENARIO:
        parts.append(f"![Hello Worlds a second]({SCALE})")
    for table in result.tables:
        parts += [f"{table.title}:", grid(table.columns, table.rows)]
    return "\n\n".join([*parts, *result.notes, *circumstances(result, usual)]) + "\n"


def _place(result: Result) -> str:
    """On what it was measured, and with which versions."""
    machine = result.about["machine"]
    versions = "; ".join(
        f"{who}: " + ", ".join(f"{name} {version}" for name, version in found.items())
        for who, found in result.about["versions"].items()
    )
    return (
        f"The machine: {machine['processor']}, {machine['cores']} cores,"
        f" {machine['memory GiB']} GiB, {machine['system']}, Python"
        f" {machine['python']}. {versions}."
    )


def circumstances(result: Result, usual: str) -> list[str]:
    """When it was measured, and what speaks against it."""
    about, machine = result.about, result.about["machine"]
    lines = [f"Measured on {about['date']}."]
    if (place := _place(result)) != usual:
        lines.append(place)
    if about["quick"]:
        lines.append("This is the quick form, which only shows that it works.")
    if about["peer"] == "slim" and PEER in about["versions"]:
        lines.append("The peer's environment was slim, which makes the peer faster.")
    if machine["load before"] > _BUSY * machine["cores"]:
        lines.append(
            f"The machine was busy with other work before (load"
            f" {machine['load before']}): take the numbers with care."
        )
    return lines


def grid(columns: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] + ["---:"] * (len(columns) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
