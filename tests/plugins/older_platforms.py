"""REST APIs of older versions of dioptra-platform, each in an environment of its own.

The environments are made as that of today's is, and kept beside it; and so is an older
MLflow.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tests.plugins.cached import cached, pip
from tests.plugins.stack import cache_folder

from dioptra_worker.tools.local import ensure_peer
from dioptra_worker.tools.local.rest_api.peer import PINS

VERSIONS = {
    "1.0.1": {"rq": "2.0.0"},
    "1.1.0": {"rq": "2.6.1"},
}
"""What each has in another version than today's platform, beside itself."""

MLFLOW = (
    *("mlflow==2.22.5", "mlflow-skinny==2.22.5", "protobuf<7", "sqlalchemy<2.1"),
    *("cffi", "pycparser"),
)
"""The newest of MLflow 2, and what it needs that MLflow 3 does not, or not so old."""


def older_mlflow() -> Path:
    """A folder for ``PYTHONPATH`` with an older MLflow, made if it is not there.

    What else it needs is found where it runs: with the tests, or with the REST API.
    """
    return cached(
        MLFLOW[0],
        lambda folder: pip("install", "--no-deps", f"--target={folder}", *MLFLOW),
    )


def older_python(version: str) -> Path:
    """The interpreter of an older version's environment, made if it is not there."""
    changed = {"dioptra-platform": version, **VERSIONS[version]}
    with tempfile.TemporaryDirectory() as folder:
        pins = Path(folder)
        shutil.copy(PINS / "slim.txt", pins)
        lines = (PINS / "constraints.txt").read_text().splitlines()
        names = [line.partition("==")[0] for line in lines]
        assert changed.keys() <= set(names)
        (pins / "constraints.txt").write_text(
            "".join(
                f"{name}=={changed[name]}\n" if name in changed else f"{line}\n"
                for name, line in zip(names, lines, strict=True)
            )
        )
        return ensure_peer(cache_folder(), pins=pins).python
