"""Our client beside the platform's own: the same methods send the same requests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dioptra_worker.sdk import compat

if TYPE_CHECKING:
    from dioptra_worker.tools.local import LocalStack

CALLS = Path(__file__).with_name("calls.py")

# Where we send something else on purpose, with the reason.
OTHERWISE = {
    # an update without changes has an empty JSON body instead of none, which the API
    # refuses as an unsupported media type
    "artifacts.modify_by_id",
    "models.versions.modify_by_id",
    # the experiment's id stands in the path and is not repeated in the query
    "experiments.get_metrics_by_id",
}


def look(python: str | Path, cwd: Path, *folders: Path) -> dict[str, Any]:
    """Return what `calls` sees in an environment, with folders in front."""
    done = subprocess.run(
        [str(python), str(CALLS), *map(str, folders)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def both(
    stack: LocalStack, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What our client does, and what the platform's does."""
    cwd = tmp_path_factory.mktemp("calls")
    return look(sys.executable, cwd, compat.path()), look(stack.peer_python, cwd)


def test_every_method_of_the_platforms_client_is_there(
    both: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    """Every method has the platform's name, parameters and defaults."""
    ours, theirs = both
    assert len(theirs) > 200
    assert {name: found["parameters"] for name, found in ours.items()} == {
        name: found["parameters"] for name, found in theirs.items()
    }


def test_every_method_sends_what_the_platforms_client_sends(
    both: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    """Every call sends the same method, path, query and body, with named exceptions."""
    ours, theirs = both
    different = {
        name
        for name, found in theirs.items()
        if ours[name]["requests"] != found["requests"]
    }
    assert different == OTHERWISE
