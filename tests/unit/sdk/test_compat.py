"""Tests of the folder of names that plugins import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import dioptra_worker
from dioptra_worker.sdk import compat
from dioptra_worker.sdk.artifact import ArtifactTaskInterface

pytestmark = pytest.mark.process

SOURCE = Path(dioptra_worker.__file__).resolve().parents[1]
NAMES = {
    "dioptra.pyplugs": "call exists funcs get info names register",
    "dioptra.sdk.api.artifact": "ArtifactTaskInterface",
    "dioptra.sdk.utilities.auth_client": "get_authenticated_worker_client",
    "dioptra.sdk.utilities.decorators": "require_package",
    "dioptra.sdk.utilities.paths": "set_cwd set_path_ext",
    "dioptra.client": "DioptraClient DioptraFile connect_json_dioptra_client "
    "connect_response_dioptra_client select_files_in_directory "
    "select_one_or_more_files",
    "dioptra.client.base": "APIConnectionError DioptraClientError DioptraFile "
    "FieldNameCollisionError FieldsValidationError IllegalArgumentError "
    "JSONDecodeError StatusCodeError SubCollectionUrlError",
    "dioptra.client.client": "DioptraClient connect_json_dioptra_client",
    "dioptra.client.utils": "FileTypes select_files_in_directory",
    "dioptra.sdk.exceptions": "ARTDependencyError TensorflowDependencyError "
    "UnknownPackageError UnknownPluginError UnknownPluginFunctionError",
    "dioptra.sdk.exceptions.base": "BaseDioptraError BaseOptionalDependencyError "
    "BasePyPlugsException BaseTaskPluginError",
}
LIGHT = """
import sys
from dioptra import pyplugs
from dioptra.sdk.api.artifact import ArtifactTaskInterface
from dioptra.sdk.utilities.auth_client import get_authenticated_worker_client
heavy = {"requests", "urllib3", "dioptra_worker.sdk.client"} & set(sys.modules)
assert not heavy, heavy
"""


def run(code: str, *folders: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, with folders in front on the path."""
    path = os.pathsep.join(map(str, (*folders, compat.path(), SOURCE)))
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_every_name_that_plugins_import_is_there() -> None:
    """Each documented name can be imported from where the platform has it."""
    lines = [
        f"from {module} import {', '.join(names.split())}"
        for module, names in NAMES.items()
    ]
    done = run("\n".join(lines))
    assert done.returncode == 0, done.stderr


def test_the_top_is_a_namespace_package() -> None:
    """``dioptra`` has no file of its own, so that another installation adds to it."""
    assert not (compat.path() / "dioptra" / "__init__.py").exists()


def test_a_name_that_nobody_has_is_named_in_the_error() -> None:
    """Without the platform, a name that compat lacks is an ordinary ImportError."""
    done = run("from dioptra.client.base import NoSuchName")
    assert "cannot import name 'NoSuchName' from 'dioptra.client.base'" in done.stderr


def test_what_compat_lacks_falls_through(tmp_path: Path) -> None:
    """Modules and names that only another installation has come from there."""
    client = tmp_path / "dioptra" / "client"
    client.mkdir(parents=True)
    (client / "__init__.py").write_text("raise RuntimeError('hidden')\n")
    (client / "base.py").write_text("class Theirs: pass\nStatusCodeError = 'hidden'\n")
    (client / "more.py").write_text("from .base import StatusCodeError, Theirs\n")
    code = f"""
import sys
sys.path.append({str(tmp_path)!r})
from dioptra.client.more import StatusCodeError, Theirs
from dioptra.client.base import StatusCodeError as ours, Theirs as same
assert StatusCodeError is ours
assert StatusCodeError != 'hidden'
assert Theirs is same
"""
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_what_most_plugins_import_is_light() -> None:
    """Registering tasks imports neither the client nor an HTTP library."""
    done = run(LIGHT)
    assert done.returncode == 0, done.stderr


def test_the_artifact_interface_is_a_metaclass_as_the_platform_s() -> None:
    """Artifact tasks may combine the interface with other bases, and are classes."""

    class Mixin:
        """Something else."""

    class Task(ArtifactTaskInterface, Mixin):
        """An artifact task that only writes."""

        @staticmethod
        def serialize(
            working_dir: Path, name: str, contents: object, **_: object
        ) -> Path:
            """Write nothing."""
            return working_dir / f"{name}{contents}"

    assert issubclass(ArtifactTaskInterface, type)
    assert issubclass(Task, ArtifactTaskInterface)
    assert Task.serialize(Path("d"), "a", 1) == Path("d/a1")
    with pytest.raises(NotImplementedError):
        Task.validation()
