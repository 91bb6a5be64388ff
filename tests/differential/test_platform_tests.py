"""The platform's own tests, with our engine and client in place of its own.

They come out of its source distribution when the test runs, and run in the peer's
environment: nothing of theirs is stored here. What may end otherwise is in
``platform_tests.toml``; docs/reference/platform-tests.md tells it to people.
"""

from __future__ import annotations

import fnmatch
import json
import os
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from tests.differential import peer as peers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3700 if os.environ.get("DIFFERENTIAL_ALL") else 900),
]

HERE = Path(__file__).parent
TABLE: dict[str, list[dict[str, Any]]] = tomllib.loads(
    HERE.joinpath("platform_tests.toml").read_text(encoding="utf-8")
)
ALL = "DIFFERENTIAL_ALL"
"""Variable that has the parts run, too, which take many minutes."""

PARTS = {
    part["title"]: part
    for part in TABLE["part"]
    if os.environ.get(ALL) or not part.get("on_demand")
}
TIMEOUT = 3600.0 if os.environ.get(ALL) else 800.0


def covers(path: str, test: str) -> bool:
    """Whether a path of the table stands for a test, or a file of tests."""
    return (
        test == path
        or fnmatch.fnmatchcase(test, path)
        or test.startswith((f"{path}/", f"{path}::", f"{path}["))
    )


def expected(test: str) -> str:
    """How a test is to end, and whether it is to meet ours."""
    for row in TABLE["difference"]:
        if any(covers(path, test) for path in row["tests"]):
            return str(row["ends"])
    return "passed"


def _ended(verdict: dict[str, Any]) -> str:
    if verdict["outcome"] == "passed" and not verdict["met"]:
        return "not met"
    return str(verdict["outcome"])


def _run(
    peer_python: Path, sdist: Path, part: dict[str, Any], report: Path
) -> dict[str, dict[str, Any]]:
    pytest_folder = Path(pytest.__file__).parents[1]
    answer = subprocess.run(
        [
            *(peer_python, "-I", HERE / "adapter/program.py", peers.ROOT),
            *(pytest_folder, report, part["with"], *part["tests"]),
        ],
        cwd=sdist,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert report.exists(), answer.stdout + answer.stderr
    verdicts: dict[str, dict[str, Any]] = json.loads(report.read_text())
    assert answer.returncode in {0, 1}, answer.stdout[-4000:]
    return verdicts


@pytest.mark.parametrize("title", PARTS)
def test_the_platforms_own_tests(
    peer_python: Path, peer_sdist: Path, title: str, tmp_path: Path
) -> None:
    """Each passes and meets ours, but for those in the table, which do as it says."""
    part = PARTS[title]
    verdicts = _run(peer_python, peer_sdist, part, tmp_path / "report.json")
    other = {
        test: (expected(test), _ended(verdict), verdict["why"])
        for test, verdict in verdicts.items()
        if _ended(verdict) != expected(test)
    }
    assert other == {}
    for path in part["tests"]:
        assert any(covers(path, test) for test in verdicts), f"no test in {path}"


def test_nothing_is_forgotten(peer_sdist: Path) -> None:
    """Each file of the platform's tests runs here, or the table says why not."""
    files = {
        file.relative_to(peer_sdist).as_posix()
        for file in peer_sdist.glob("tests/unit/**/test_*.py")
    }
    rows = [*TABLE["part"], *TABLE["left_out"]]
    paths = [path for row in rows for path in row["tests"]]
    unknown = {file for file in files if not any(covers(path, file) for path in paths)}
    assert unknown == set()
    stale = [path for path in paths if not any(covers(path, file) for file in files)]
    assert stale == []


def test_no_difference_is_of_yesterday(peer_sdist: Path) -> None:
    """Each test that the table names is in the platform's tests."""
    for row in TABLE["difference"]:
        for path in row["tests"]:
            name, _, test = path.partition("::")
            text = (peer_sdist / name).read_text(encoding="utf-8")
            assert not test or f"def {test.partition('[')[0]}(" in text, path
