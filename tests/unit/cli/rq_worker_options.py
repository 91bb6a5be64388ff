"""What ``rq worker --help`` of several versions of RQ lists, and how to list it anew.

Only one version can be installed beside the worker; of the others the options are kept
in a file. To write it anew, give interpreters that have one version each::

    python tests/unit/cli/rq_worker_options.py .venv/bin/python /tmp/rq-1.16/bin/python
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

KEPT = Path(__file__).with_suffix(".json")
_OPTION = re.compile(
    r"^  (?P<flags>--?[\w-]+(?:, --?[\w-]+)*)(?: (?P<value>[A-Z]+))?(?:  .*)?$",
    re.MULTILINE,
)


def read_help(text: str) -> dict[str, bool]:
    """Every way to write an option, and whether a value follows it.

    Args:
        text: What ``rq worker --help`` prints.
    """
    return {
        flag: match["value"] is not None
        for match in _OPTION.finditer(text)
        for flag in match["flags"].split(", ")
    }


def ask(python: str) -> str:
    """The help of the RQ that an interpreter has."""
    return _run(python, "-W", "ignore", "-m", "rq.cli", "worker", "--help")


def kept() -> dict[str, dict[str, bool]]:
    """What is kept, by version."""
    found: dict[str, dict[str, bool]] = json.loads(KEPT.read_text())
    return found


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main() -> None:
    """Write the file anew."""
    version = "import importlib.metadata as m; print(m.version('rq'))"
    found = {_run(each, "-c", version).strip(): ask(each) for each in sys.argv[1:]}
    options = {version: read_help(text) for version, text in sorted(found.items())}
    KEPT.write_text(json.dumps(options, indent=1) + "\n")


if __name__ == "__main__":
    main()
