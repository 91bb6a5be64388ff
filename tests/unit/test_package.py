"""The package as it is installed: its commands, its version, what importing costs."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from dioptra_worker import __version__

pytestmark = pytest.mark.process

BIN = Path(sys.executable).parent
SLOW = ("boto3", "mlflow", "redis", "requests", "rq")
"""Packages whose import takes a quarter of a second and more."""


def _loaded(code: str, modules: tuple[str, ...]) -> list[str]:
    """Which of some modules are loaded after code ran in an interpreter of its own."""
    report = f"import sys; print(*(m for m in {modules!r} if m in sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout.splitlines()[-1].split()


@pytest.mark.parametrize("command", ["dioptra-worker", "dioptra-worker-v1"])
def test_version(command: str) -> None:
    """Both commands are installed and tell the package's version."""
    answer = subprocess.run(
        [BIN / command, "--version"], capture_output=True, text=True, check=True
    )
    assert __version__ in answer.stdout


def test_entry_points() -> None:
    """The package owns exactly the two commands, by the names people know."""
    scripts = {
        script.name: script.value
        for script in metadata.distribution("dioptra-worker").entry_points
        if script.group == "console_scripts"
    }
    assert scripts == {
        "dioptra-worker": "dioptra_worker.cli.main:main",
        "dioptra-worker-v1": "dioptra_worker.cli.start:main",
    }


@pytest.mark.parametrize(
    "code",
    [
        "import dioptra_worker.settings",
        "import dioptra_worker.engine",
        "import dioptra_worker.cli.main",
    ],
)
def test_imports_are_cheap(code: str) -> None:
    """Settings, engine and the people's command load none of the slow packages."""
    assert _loaded(code, SLOW) == []


@pytest.mark.parametrize("module", ["main", "start"])
def test_help_is_cheap(module: str) -> None:
    """Neither command loads a slow package to print its help."""
    code = (
        f"from dioptra_worker.cli.{module} import main\n"
        "import sys\n"
        "sys.argv[1:] = ['--help']\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    assert not end.code\n"
    )
    assert _loaded(code, SLOW) == []


def test_daemon_stays_free_of_mlflow() -> None:
    """The daemon's modules load neither MLflow nor boto3, NumPy nor the engine."""
    code = (
        "import importlib, pkgutil\n"
        "import dioptra_worker.api, dioptra_worker.daemon as daemon\n"
        "import dioptra_worker.api.client, dioptra_worker.cli.start\n"
        "for module in pkgutil.iter_modules(daemon.__path__, daemon.__name__ + '.'):\n"
        "    importlib.import_module(module.name)\n"
    )
    engine = "dioptra_worker.engine.compiler"  # whose words for errors it uses
    assert _loaded(code, ("boto3", "mlflow", "numpy", "yaml", engine)) == []


def test_no_top_level_dioptra() -> None:
    """We install no module named dioptra, which belongs to the platform's package."""
    files = metadata.distribution("dioptra-worker").files or []
    assert not [file for file in files if file.parts[0] == "dioptra"]
