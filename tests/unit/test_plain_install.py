"""The environment that workers of tests have is that of a user."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from tests.plugins.plain_install import PROGRAMS, plain_install, required

import dioptra_worker

pytestmark = pytest.mark.process

LOOK = """
import json
from importlib import import_module, metadata
import dioptra_worker
from dioptra_worker.tracking.backend import SERVER_MODULES
for name in SERVER_MODULES:
    import_module(name)
names = sorted({found.name for found in metadata.distributions()})
print(json.dumps([dioptra_worker.__file__, names]))
"""


def test_what_the_package_requires_and_no_more() -> None:
    """All that our package requires is there, and our package as this process has it.

    The whole MLflow is not, nor what only tests need.
    """
    programs = plain_install()
    said = subprocess.run(
        [programs / "python", "-P", "-s", "-c", LOOK],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    ours, names = json.loads(said)
    assert Path(ours).resolve() == Path(dioptra_worker.__file__).resolve()
    installed = {canonicalize_name(name) for name in names}
    assert installed == required("dioptra-worker")
    assert "mlflow-skinny" in installed
    assert not {"mlflow", "pandas", "pytest"} & installed
    for name in PROGRAMS:
        assert os.access(programs / name, os.X_OK)
