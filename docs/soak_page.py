"""The page of the soak: what one recorded run of ``make soak`` saw.

``reference/soak.json``, which ``make soak`` writes, has its report; who records a run
may add ``notes`` to it, such as what was mended since.
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

OURS = Path(__file__).resolve().parent / "reference/soak.json"
WANTED = 10_000
KINDS = {
    "hello": "finishes",
    "untidy": "finishes; leaves a process, a file and shared memory behind",
    "failing": "raises",
    "endless": "runs until it is stopped",
    "limited": "runs until its time limit of 2 s",
    "deleted": "runs until it is deleted",
}
MEASURES = {
    "memory": "MiB resident",
    "descriptors": "descriptors",
    "threads": "threads",
}
ABOUT = """
Four workers run jobs of all kinds while processes are killed and stopped, services are
cut off from one worker or from all, hang, are slow, restart and fail over, and clocks
are set. `make soak JOBS=10000 SEED=7` does it and writes this page. What happens is
drawn from the seed; when it hits a job is up to the machine. Each worker reaches each
service by a proxy of its own, and Redis is a primary with a replica. Two of the workers
are never killed nor shut down, so that what grows in them is seen.
"""
NOTHING = """
Nothing. No job was stuck; each ended as its kind does, or was killed by the soak and
says so. No line of a log was lost or came twice, and no result of another attempt was
to be seen. At the end no process, file, shared memory, key in Redis or open MLflow run
was left.
"""


def page(notice: str) -> str:
    """The page.

    Args:
        notice: The comment that says who has written it.
    """
    found = json.loads(OURS.read_text(encoding="utf-8"))
    parts = [_head(found), _jobs(found), _faults(found), _slow(found), _series(found)]
    return f"{notice}\n# Soak\n\n" + "\n".join([*parts, _cost(found)])


def _head(found: dict[str, Any]) -> str:
    machine = found["machine"]
    count = sum(row["times"] for row in found["faults"])
    run = [
        f"This is the run that is recorded: **{found['jobs']:,} jobs**,",
        f"{count:,} faults, seed {found['seed']}, in {_time(found['seconds'])}, with",
        f"at most {found['in_flight']} jobs submitted and not over. The machine had",
        f"{machine['processors']} processors and {machine['memory_gib']} GiB of memory",
        f"({machine['system']}, Python {machine['python']}); its load was",
        f"{machine['load'][-1]:g} at the end.",
    ]
    if found["jobs"] < WANTED:
        run.append(f"With the hours that {WANTED:,} take, `make soak` runs as many.")
    if not found["has_clocks"]:
        run.append("No clock was set: no C compiler was there.")
    changed = [f"`{name}={value}`" for name, value in found["settings"].items()]
    settings = [
        f"What is not the default: {', '.join(changed)}. What workers wait for is",
        f"shortened as in all tests: `{found['times']}`.",
    ]
    parts = [
        _fill(ABOUT),
        _fill(*run),
        _fill(*settings),
        "## What is wrong",
        _problems(found["problems"]),
        *(_fill(note) for note in found.get("notes", ())),
        "## How soon jobs end",
        _settled(found),
    ]
    return "\n\n".join(parts) + "\n"


def _settled(found: dict[str, Any]) -> str:
    settled, alone = found["settled"], found["undisturbed"]
    words = []
    if settled:
        words += [
            f"Of {found['touched']:,} jobs that a fault touched, from the end of the",
            f"last one to the final status: {_in_words(settled)}. Why some took longer",
            "than 10 s is [below](#more-than-10-s).",
        ]
    if alone:
        words += [
            "Jobs that finish and that no fault touched took, from their submission to",
            f"their end: {_in_words(alone)}; the machine is no faster than that.",
        ]
    return _fill(*words)


def _in_words(spread: dict[str, float]) -> str:
    return (
        f"median {spread['median']:.1f} s, 95 of 100 within {spread['p95']:.1f} s,"
        f" the longest {spread['most']:.1f} s"
    )


def _problems(problems: list[str]) -> str:
    if not problems:
        return _fill(NOTHING)
    return "\n".join(f"- `{_line(words)}`" for words in problems)


def _line(words: str) -> str:
    return " ".join(words.split()).replace("`", "'")[:300]


def _jobs(found: dict[str, Any]) -> str:
    rows = "".join(
        f"| {kind} | {KINDS[kind]} | {_counts(counts)} |\n"
        for kind, counts in found["kinds"].items()
    )
    words = [
        f"They took {found['attempts']:,} attempts. A process began a job that another",
        f"one still ran {found['together']} times: a daemon that is stopped for longer",
        "than its lease cannot end its runner before another worker begins the job.",
        "What such a runner has to say is not heard.",
    ]
    return f"""\
## Jobs

| Kind | What it does | How many ended how |
|---|---|---|
{rows}
{_fill(*words)}
"""


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {status}" for status, count in counts.items())


def _faults(found: dict[str, Any]) -> str:
    rows = "".join(
        f"| {row['fault']} | {row['times']} | {row['jobs']} | {_spread(row)} |\n"
        for row in found["faults"]
    )
    return f"""\
## Faults

Seconds count from the end of the last fault that touched a job to its final status; 0
where it ended before. A fault touches the jobs that its victims have at that time.

| Fault | Times | Jobs | Median | 95 of 100 | Longest | Over 10 s |
|---|---|---|---|---|---|---|
{rows}"""


def _spread(row: dict[str, Any]) -> str:
    if not row["jobs"]:
        return " | | |"
    return f"{row['median']:.1f} | {row['p95']:.1f} | {row['most']:.1f} | {row['over']}"


def _slow(found: dict[str, Any]) -> str:
    if not found["slow"]:
        return "## More than 10 s\n\nNo job took longer.\n"
    rows = "".join(
        f"| {row['job']} | {row['kind']} | {row['fault']} | {row['lasted']:.1f}"
        f" | {row['seconds']:.1f} | {row['ran']:.1f} | {row['attempts']}"
        f" | {row['why']} |\n"
        for row in found["slow"]
    )
    return f"""\
## More than 10 s

"Ran" is from the begin of the job's last attempt to its final status.

| Job | Kind | Fault | Lasted | Took | Ran | Attempts | Why |
|---|---|---|---|---|---|---|---|
{rows}"""


def _series(found: dict[str, Any]) -> str:
    windows = found["windows"]
    names = sorted({name for window in windows for name in window["processes"]})
    head = "".join(f" {name} |" for name in names)
    tables = []
    for measure, words in MEASURES.items():
        rows = "".join(
            f"| {window['jobs'][0]:,} to {window['jobs'][1]:,} |"
            + "".join(
                f" {window['processes'][name][measure]:g} |"
                if name in window["processes"]
                else " |"
                for name in names
            )
            + "\n"
            for window in windows
        )
        tables.append(f"| Jobs: {words} |{head}\n|---|{'---|' * len(names)}\n{rows}")
    rows = "".join(
        f"| {window['jobs'][0]:,} to {window['jobs'][1]:,} | {window['keys']:g}"
        f" | {window['most_keys']} | {window['files']:g} | {window['most_files']} |\n"
        for window in windows
    )
    return f"""\
## What could grow

Medians of samples taken every 10 s, of the two workers that are never killed. A fork
server is another one after it was killed. Keys are those in Redis that RQ does not
forget by itself, files those of all workers.

{chr(10).join(tables)}
| Jobs | Keys | Most | Files | Most |
|---|---|---|---|---|
{rows}"""


def _cost(found: dict[str, Any]) -> str:
    rows = "".join(
        f"| {name} | {seconds:.2f} |\n"
        for name, seconds in sorted(
            found["processor"].items(), key=lambda item: -item[1]
        )
    )
    return f"""\
## What a job costs

Seconds of one processor for each job, starts and restarts of workers and services
included. So fast can a soak be at most on a machine; "this program" submits, breaks,
passes on and checks.

| Who | Seconds |
|---|---|
{rows}"""


def _fill(*words: str) -> str:
    text = " ".join(" ".join(words).split())
    return textwrap.fill(text, 88, break_on_hyphens=False, break_long_words=False)


def _time(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} minutes"
