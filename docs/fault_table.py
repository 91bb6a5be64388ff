"""The page of faults: what a run of the tests saw, beside what the peer's worker does.

``tests/faults/peer.toml`` has the rows and the peer's side, ``reference/faults.json``,
which ``make faults`` writes, has ours.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PEER = ROOT / "tests/faults/peer.toml"
OURS = ROOT / "docs/reference/faults.json"
HEAD = (
    "| Fault | Ours: API · RQ · MLflow | What a user reads | Settled | The peer |\n"
    "|---|---|---|---|---|\n"
)
NOT_SHOWN = "not measured in this run"


def page(notice: str) -> str:
    """The page.

    Args:
        notice: The comment that says who has written it.
    """
    groups = tomllib.loads(PEER.read_text(encoding="utf-8"))["group"]
    ours = json.loads(OURS.read_text(encoding="utf-8"))
    sections = "\n".join(
        f"## {group['title']}\n\n{HEAD}"
        + "".join(_rows(row, ours) for row in group["row"])
        for group in groups
    )
    return f"""{notice}
# Faults

What becomes of a job when something breaks, and how long that takes. Our side is what
the tests saw with real services and the real executable, on a busy machine with two
CPUs; `make faults` repeats it and writes this page. Seconds count from what the
column names, to the job's final status in the REST API.

The peer is the worker of `dioptra-platform` 1.2.2 (with rq 3.0, MLflow 3.17), given
the same faults by hand, in the way of each row, on a machine of the same size. **Bold**
is a status that never changed any more: stuck jobs were looked at again for up to 55
minutes.

{sections}"""


def _rows(row: dict[str, str], ours: list[dict[str, Any]]) -> str:
    """The lines of one row: one for each of our tests, the peer's beside the first."""
    settled = [f"settled: {row['time']}"] if "time" in row else []
    peer = "; ".join(
        [row["job"], *([row["words"]] if "words" in row else []), *settled]
    )
    seen = [entry for entry in ours if entry["row"] == row["id"]]
    if not seen:
        return f"| {_cell(row['fault'])} | {NOT_SHOWN} | | | {_cell(peer)} |\n"
    return "".join(
        f"| {_cell(entry['fault'])} | {_cell(entry['status'])}"
        f" | {_quoted(entry['says'])} | {_settled(entry)}"
        f" | {_cell(peer) if index == 0 else '″'} |\n"
        for index, entry in enumerate(seen)
    )


def _settled(entry: dict[str, Any]) -> str:
    if entry["seconds"] is None:
        return ""
    return _cell(f"{entry['seconds']:.1f} s after {entry['after']}")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _quoted(line: str) -> str:
    """A log line as it is, whatever is in it."""
    if not line:
        return ""
    fence = "``" if "`" in line else "`"
    pad = " " if "`" in line else ""
    return f"{fence}{pad}{_cell(line)}{pad}{fence}"
