"""Soaks the worker in thousands of jobs while everything fails now and then.

Usage: ``python -m tests.soak --jobs 10000 --seed 7 --report soak.json``. A line each
minute says how far it is. It ends with 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from pathlib import Path

from tests.plugins.stack import fresh_stack
from tests.soak.report import report
from tests.soak.soak import Plan, run


def main() -> int:
    """Soak, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument(
        "--minutes",
        type=float,
        default=float("inf"),
        help="submit no more jobs after so many",
    )
    parser.add_argument("--report", type=Path, help="write the report into this file")
    parser.add_argument(
        "--folder",
        type=Path,
        help="keep what workers and jobs leave in this new folder",
    )
    chosen = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    plan = Plan(jobs=chosen.jobs, seed=chosen.seed, seconds=chosen.minutes * 60)
    with tempfile.TemporaryDirectory(prefix="dioptra-soak-") as name:
        folder = chosen.folder or Path(name) / "soak"
        with fresh_stack(Path(name) / "stack") as stack:
            result = run(stack, folder, plan)
        if chosen.folder:
            details = json.dumps(result.details, indent=1, ensure_ascii=False)
            (folder / "problems.json").write_text(details, encoding="utf-8")
    found = report(result)
    if chosen.report:
        text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
        chosen.report.write_text(text, encoding="utf-8")
    problems = found["problems"] or [f"all {found['jobs']} jobs ended as they should"]
    sys.stdout.writelines(f"{words}\n" for words in problems)
    return 1 if found["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
