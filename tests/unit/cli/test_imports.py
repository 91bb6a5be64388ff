"""The commands that people and probes wait for import what they need, and no more."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.process

REPORT = """
import sys
sys.argv = sys.argv[1:]
try:
    {run}
except SystemExit as end:
    code = end.code
print(code, *{{name.partition(".")[0] for name in sys.modules}}, file=sys.stderr)
"""
DAEMON = "from dioptra_worker.cli.start import main; main()"
PEOPLE = "from dioptra_worker.cli.main import main; main()"
SETTINGS = {
    "annotated_types",
    "dotenv",
    "pydantic",
    "pydantic_core",
    "pydantic_settings",
    "typing_extensions",
    "typing_inspection",
}
"""What it takes to read settings, of which the daemon's help is made."""


def _imported(run: str, *arguments: str, folder: Path) -> tuple[str, set[str]]:
    """A program's exit code, and what it imported that is not Python's."""
    answer = subprocess.run(
        [sys.executable, "-c", REPORT.format(run=run), *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"], "DIOPTRA_WORKER_WORK_DIR": str(folder)},
    )
    code, *names = answer.stderr.splitlines()[-1].split()
    return code, {
        name
        for name in names
        if name not in sys.stdlib_module_names and not name.startswith("_")
    }


@pytest.mark.parametrize(
    ("run", "arguments", "expected", "needs"),
    [
        (DAEMON, ["dioptra-worker-v1", "--help"], "0", {"click", *SETTINGS}),
        (PEOPLE, ["dioptra-worker", "--help"], "0", {"click"}),
        (PEOPLE, ["dioptra-worker", "health", "--help"], "0", {"click"}),
        (PEOPLE, ["dioptra-worker", "health"], "1", {"click"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_nothing_heavy_is_imported(
    run: str, arguments: list[str], expected: str, needs: set[str], tmp_path: Path
) -> None:
    """Help and probes import neither MLflow, boto3 and RQ nor anything else."""
    _, always = _imported("raise SystemExit(0)", folder=tmp_path)
    code, imported = _imported(run, *arguments, folder=tmp_path)
    assert code == expected
    assert imported - always == {"dioptra_worker", *needs}
