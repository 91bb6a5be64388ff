"""The compat folder in an environment where dioptra-platform is installed too."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import dioptra_worker
from dioptra_worker.sdk import compat

if TYPE_CHECKING:
    from dioptra_worker.tools.local import LocalStack

SOURCE = Path(dioptra_worker.__file__).resolve().parents[1]

IMPORT_ALL = """
import importlib, json, pkgutil, sys
sys.path[:0] = sys.argv[1:]
import dioptra
found = {}
for module in pkgutil.walk_packages(dioptra.__path__, "dioptra.", lambda name: None):
    if "alembic" in module.name or "__main__" in module.name:
        continue
    try:
        importlib.import_module(module.name)
        found[module.name] = "imported"
    except BaseException as error:
        found[module.name] = type(error).__name__
print("\\n" + json.dumps(found))
"""

MIXED = """
import sys
sys.path[:0] = sys.argv[1:]
from dioptra import pyplugs
from dioptra.client.base import CollectionClient, StatusCodeError
from dioptra.client.sessions import StatusCodeError as raised_by_platform
from dioptra.sdk.exceptions.task_engine import StepNotFoundError
import dioptra.restapi, dioptra.task_engine.task_engine
from dioptra.sdk.exceptions.base import BaseTaskEngineError
assert pyplugs.register.__module__ == "dioptra_worker.sdk.pyplugs"
assert raised_by_platform is StatusCodeError
assert issubclass(StepNotFoundError, BaseTaskEngineError)
assert CollectionClient.__module__ == "dioptra.client.base"
"""


def run(stack: LocalStack, code: str, *folders: Path) -> str:
    """Run code in the platform's environment, with folders in front."""
    done = subprocess.run(
        [str(stack.peer_python), "-c", code, *map(str, folders)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nothing_of_the_platform_breaks(stack: LocalStack) -> None:
    """Every module of dioptra-platform imports as well with compat in front."""
    alone = json.loads(run(stack, IMPORT_ALL).splitlines()[-1])
    behind = json.loads(run(stack, IMPORT_ALL, compat.path(), SOURCE).splitlines()[-1])
    assert sum(outcome == "imported" for outcome in alone.values()) > 150
    assert behind == alone


def test_both_serve_one_process(stack: LocalStack) -> None:
    """Our names win, what we lack comes from the platform, and both fit together."""
    run(stack, MIXED, compat.path(), SOURCE)
