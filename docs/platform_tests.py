"""The page of the platform's own tests: which run with ours, and what ends otherwise.

``tests/differential/platform_tests.toml`` has all of it, and the test beside it holds
it to what happens.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "tests/differential/platform_tests.toml"
_ENDS = {"failed": "fails", "not met": "not about ours", "skipped": "skipped"}


def page(notice: str) -> str:
    """The page.

    Args:
        notice: The comment that says who has written it.
    """
    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    parts = "".join(
        f"| {part['title']}{' (on demand)' if part.get('on_demand') else ''}"
        f" | {_paths(part)} | {part['about']} |\n"
        for part in table["part"]
    )
    differences = "".join(
        f"| {_paths(row)} | {_ENDS[row['ends']]} | {row['why']} |\n"
        for row in table["difference"]
    )
    left_out = "".join(
        f"| {_paths(row)} | {row['why']} |\n" for row in table["left_out"]
    )
    return f"""{notice}
# The platform's own tests

The source distribution of `dioptra-platform` 1.2.2 has its tests. Those of task graphs,
of what plugins import and of its client run with ours in place of its own
(`tests/differential/test_platform_tests.py`, in `make test-all`): our engine decides
which document is right and runs it, and our client speaks with the platform's own
application. Each has to pass, and to have called something of ours, but for those
[below](#differences), which have to end as it is said there.

| | Tests | |
|---|---|---|
{parts}
The parts that are marked run with `DIFFERENTIAL_ALL=1`; they take a quarter of an hour.

Between the tests and ours stands an adapter, `tests/differential/adapter`. It converts
types, and makes the exceptions that the tests expect of the sentences in which our
engine says what is wrong. Some of the tests run documents that the platform, too, would
refuse before a job runs, with types that are named only and tasks whose inputs are not
declared; the adapter declares them. The clock, which the tests of the REST API stop,
goes on.

What follows is about these tests. Where our engine's verdict on a task graph differs is
in [its own table](../explanation/engine.md#where-our-verdict-is-not-the-platforms).

## Differences

| Test | Ends | Why |
|---|---|---|
{differences}
## Left out

| Tests | What they are about |
|---|---|
{left_out}"""


def _paths(row: dict[str, Any]) -> str:
    names = [path.rpartition("::") for path in row["tests"]]
    return "<br>".join(
        f"`{test if file else test.removeprefix('tests/unit/')}`"
        for file, _, test in names
    )
