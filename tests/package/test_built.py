"""The package as it is released: the same bytes each time, and nothing is missing.

`make package` runs these tests, then builds what they have tried into ``dist/``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import HeaderParser
from typing import TYPE_CHECKING, NamedTuple

import pytest
from tests.plugins.later_pythons import ROOT, installed, interpreter

from dioptra_worker import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PYTHONS = {
    version: python
    for version in ("3.11", "3.12", "3.13", "3.14")
    if (python := interpreter(version))
}
"""Those that the machine has, the one that runs the tests among them."""
GENERATED = shutil.ignore_patterns(
    ".git", ".venv*", ".cache", "_build", "dist", "__pycache__", ".*_cache"
)


class _Built(NamedTuple):
    sdist: Path
    wheel: Path


def _python(
    module: str,
    *arguments: str | Path,
    folder: Path = ROOT,
    environment: Mapping[str, str] = os.environ,
) -> str:
    """What a program of the tests' environment prints; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def _build(source: Path, folder: Path) -> _Built:
    """Build the sdist, and the wheel from it, as who has the sdist only can."""
    _python("build", "--no-isolation", "--outdir", folder, source)
    (sdist,) = folder.glob("*.tar.gz")
    (wheel,) = folder.glob("*.whl")
    return _Built(sdist, wheel)


@pytest.fixture(name="built", scope="module")
def _built(tmp_path_factory: pytest.TempPathFactory) -> _Built:
    return _build(ROOT, tmp_path_factory.mktemp("built"))


def test_the_same_bytes_each_time(built: _Built, tmp_path: Path) -> None:
    """Another folder, other times and rights of files, another umask: no difference."""
    source = tmp_path / "elsewhere"
    shutil.copytree(ROOT, source, ignore=GENERATED, symlinks=True)
    for path in source.rglob("*"):
        if path.is_file() and not os.access(path, os.X_OK):
            path.chmod(0o600)
        os.utime(path, (1_000_000_000, 1_000_000_000), follow_symlinks=False)
    before = os.umask(0o077)
    try:
        again = _build(source, tmp_path / "dist")
    finally:
        os.umask(before)
    for first, second in zip(built, again, strict=True):
        assert first.name == second.name
        assert first.read_bytes() == second.read_bytes(), first.name


def test_what_an_index_would_say(built: _Built) -> None:
    """Its description can be shown, and nothing in the wheel is out of place."""
    assert "FAILED" not in _python("twine", "check", "--strict", *built)
    _python("check_wheel_contents", built.wheel)


def test_metadata(built: _Built) -> None:
    """Version, licence and authors are told, and the wheel is for every platform."""
    assert built.wheel.name == f"dioptra_worker-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(built.wheel) as archive:
        folder = f"dioptra_worker-{__version__}.dist-info"
        text = archive.read(f"{folder}/METADATA").decode()
        assert f"{folder}/licenses/LICENSE" in archive.namelist()
        assert "dioptra_worker/py.typed" in archive.namelist()
    fields = HeaderParser().parsestr(text)
    assert fields["Version"] == __version__
    assert fields["License-Expression"] == "Apache-2.0"
    assert fields["Author"] or fields["Author-Email"]
    topics = [c for c in fields.get_all("Classifier", []) if c.startswith("Topic ::")]
    assert topics


def test_the_sdist_passes_the_unit_tests(built: _Built, tmp_path: Path) -> None:
    """Who has the sdist only can run what needs neither a service nor a program."""
    with tarfile.open(built.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    said = _python(
        "pytest",
        *("-q", "-n", "2", "-p", "no:cacheprovider", "-m", "not process and not slow"),
        "tests/unit",
        folder=folder,
        environment={**os.environ, "PYTHONPATH": str(folder / "src")},
    )
    assert " passed" in said


@pytest.fixture(name="programs", scope="module", params=PYTHONS)
def _programs(request: pytest.FixtureRequest, built: _Built) -> Iterator[Path]:
    """The folder of the programs of an environment with nothing but the wheel."""
    with installed(PYTHONS[request.param], built.wheel) as programs:
        yield programs


def _said(program: Path, arguments: Sequence[str | Path], folder: Path) -> str:
    done = subprocess.run(
        [program, *arguments],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_installed_from_the_wheel(programs: Path, tmp_path: Path) -> None:
    """In an empty environment both commands are there, and an entrypoint runs."""
    for command in ("dioptra-worker", "dioptra-worker-v1"):
        assert __version__ in _said(programs / command, ["--version"], tmp_path)
    package = "lib/python*/site-packages/dioptra_worker"
    (examples,) = programs.parent.glob(f"{package}/examples")
    run = ["run", str(examples / "hello-world")]
    assert "finished" in _said(programs / "dioptra-worker", run, tmp_path)
    project = ["init-image", "mine", "--dir", str(tmp_path / "mine")]
    assert "Dockerfile" in _said(programs / "dioptra-worker", project, tmp_path)
